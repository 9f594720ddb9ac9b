"""The second half of tools/check: builds, tests and checks, each a step with a count of what passed."""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD, ASAN, TSAN = ROOT / "build", ROOT / "build-asan", ROOT / "build-tsan"
LOGS = BUILD / "logs"
CLANG = {"CC": "clang-14", "CXX": "clang++-14"}
FUZZ_SECONDS = 30  # over all fuzzers but these
OWN_FUZZ_SECONDS = {"differential": 30}
# The unit tests with threads; the rest would only repeat the other builds. `nic` is left out: the driver
# between its threads is DPDK's, which ThreadSanitizer cannot see into.
THREADED = ["ring", "sleeper", "worker", "sealer", "uring_loop", "uring_pipe", "uring_stream", "io_loop", "nic_life",
            "exporters", "supervisor", "control"]
# The release build runs every seed of the simulation.
FEW_SEEDS = {"PENSTOCK_SIM_COUNT": "100"}
# Undefined behaviour must fail a test, not scroll by. Leaks in a test binary fail it too.
SANITIZERS = {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", "TSAN_OPTIONS": "halt_on_error=1"}


class Failed(Exception):
    """A step that could not do its work; holds the log to show."""

    def __init__(self, log):
        super().__init__(str(log))
        self.log = log


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(log, *command, env=None, timeout=1200, check=True):
    """Runs a command with its output in LOGS/<log>.log, and stops all of it after `timeout` seconds."""
    path = LOGS / f"{log}.log"
    with path.open("ab") as out:
        process = subprocess.Popen([str(c) for c in command], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                                   start_new_session=True)
        try:
            code = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGTERM)  # the command's own group and nothing else
            try:
                process.wait(60)  # fixtures take their time
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            out.write(f"\nnot done after {timeout} s\n".encode())
            code = -1
    if check and code != 0:
        raise Failed(path)
    return code


def junit(path, code):
    """The counts of a JUnit file; a run that failed without a failed case counts as one."""
    count = Count()
    if path.exists():
        for case in ElementTree.parse(path).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                count.failed += 1
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                count.skipped += 1
            else:
                count.passed += 1
    if code != 0 and count.failed == 0:
        count.failed = 1
    return count


def build_release():
    run("build-release", ROOT / "tools/lib/build-release", BUILD, LOGS, "all")
    return Count(passed=1)


def configure(build, *options):
    if not (build / "build.ninja").exists():
        run("build-" + build.name, "meson", "setup", build, ROOT, "-Doptimization=2", "-Ddebug=false",
            "-Dcpp_args=-gline-tables-only", "-Db_lundef=false", "-Dbench=false", *options, env=CLANG)


def meson_test(build, *names, env=None):
    result = build / "meson-logs/testlog.junit.xml"
    result.unlink(missing_ok=True)
    code = run(f"unit-{build.name}", "meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs",
               "--timeout-multiplier", 3, *names, env=env, check=False)
    count = junit(result, code)
    if count.failed:
        show(LOGS / f"unit-{build.name}.log")
    return count


def unit_tests():
    return meson_test(BUILD)


def configure_asan():
    configure(ASAN, "-Db_sanitize=address,undefined", "-Dfuzzers=true")


def address_sanitizer():
    configure_asan()
    run("build-build-asan", "ninja", "-C", ASAN)
    count = meson_test(ASAN, env=SANITIZERS | FEW_SEEDS)
    count.add(fuzz())
    return count


def fuzz_one(fuzzer, seconds):
    """A fuzzer over its corpus, then on its own; whether it found nothing."""
    name = fuzzer.name.removeprefix("fuzz_")
    corpus = ROOT / "tests/fuzz/corpus" / name
    found = ASAN / "found" / name  # new inputs go to the first folder, never to the committed one
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    inputs = [found] + ([corpus] if corpus.is_dir() else [])
    dictionary = [f"-dict={d}" for d in (ROOT / "tests/fuzz").glob(f"*/{name}.dict")]
    log = f"fuzz-{name}"
    code = run(log, fuzzer, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
               f"-artifact_prefix={LOGS}/{name}-", *dictionary, *inputs, env=SANITIZERS, check=False, timeout=300)
    if code:
        show(LOGS / f"{log}.log")
    return code == 0


def fuzz():
    """Every fuzzer for its share of the time, one a CPU at once, the longest first."""
    fuzzers = [f for f in sorted((ASAN / "tests/fuzz").glob("fuzz_*")) if f.is_file()]
    share = max(1, FUZZ_SECONDS // max(1, len(fuzzers) - len(OWN_FUZZ_SECONDS)))
    seconds = {f: OWN_FUZZ_SECONDS.get(f.name.removeprefix("fuzz_"), share) for f in fuzzers}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as cpus:
        passed = list(cpus.map(lambda f: fuzz_one(f, seconds[f]), sorted(fuzzers, key=seconds.get, reverse=True)))
    return Count(passed=passed.count(True), failed=passed.count(False))


def thread_sanitizer():
    configure(TSAN, "-Db_sanitize=thread")
    run("build-build-tsan", "ninja", "-C", TSAN, *(f"tests/unit/test_{name}" for name in THREADED))
    return meson_test(TSAN, *THREADED, env=SANITIZERS)


def sources(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name]


def formatting():
    code = run("format", "clang-format-14", "--dry-run", "-Werror", *sources("*.cc", "*.h", "*.c"), check=False)
    if code:
        show(LOGS / "format.log")
    return Count(failed=1) if code else Count(passed=1)


def tidy():
    files = sources("parsers/*.cc", "dataplane/*.cc", "controlplane/*.cc", "tools/*.cc")
    configure_asan()  # its compile commands are clang's own
    code = run("tidy", "run-clang-tidy-14", "-quiet", "-p", ASAN, "-j", os.cpu_count(),
               *(f"{ROOT}/{name}$" for name in files), timeout=3600, check=False)
    if code:
        show(LOGS / "tidy.log", only=re.compile(r"(error|warning): "))
    return Count(failed=1) if code else Count(passed=1)


def integration():
    result = LOGS / "integration.xml"
    result.unlink(missing_ok=True)
    code = run("integration", "/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
               f"--junitxml={result}", "tests/integration",
               env={"PENSTOCK_BUILD": str(BUILD), "PYTHONDONTWRITEBYTECODE": "1"}, check=False)
    count = junit(result, code)
    if count.failed or count.skipped:
        show(LOGS / "integration.log")
    return count


def instruction_gate():
    """Each case of the gate counts; those that got worse are shown."""
    log = LOGS / "gate.log"
    code = run("gate", ROOT / "bench/micro/gate", BUILD, check=False)
    lines = log.read_text(errors="replace").splitlines()
    count = Count(passed=sum(line.startswith("ok ") for line in lines), failed=sum(line.startswith("FAIL ") for line in lines))
    if code and not count.failed:
        count.failed = 1
    if count.failed:
        show(log, only=re.compile("^(?!ok )"))
    return count


def leftovers():
    """What tests must not leave behind: our namespaces, and processes of this build."""
    found = []
    netns = pathlib.Path("/run/netns")
    if netns.is_dir():
        found += [f"network namespace {n.name}" for n in netns.iterdir() if n.name.startswith(f"pst{os.getpid()}x")]
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            exe = os.readlink(proc / "exe")
        except OSError:
            continue
        if exe.startswith(f"{BUILD}/"):
            found.append(f"process {proc.name} ({exe})")
    for what in found:
        print(f"      left behind: {what}")
    return Count(failed=1) if found else Count(passed=1)


STEPS = {
    "format": formatting,
    "release build": build_release,
    "unit tests": unit_tests,
    "address and undefined behaviour sanitizers, fuzzers": address_sanitizer,
    "thread sanitizer": thread_sanitizer,
    "clang-tidy": tidy,
    "instruction counts": instruction_gate,
    "integration tests": integration,
    "nothing left behind": leftovers,
}


def show(log, lines=40, only=None):
    text = [line for line in log.read_text(errors="replace").splitlines() if only is None or only.search(line)]
    print("", *(f"      {line}" for line in text[-lines:]), sep="\n")
    print(f"      all of it: {log}")


def run_step(name, step, number, total):
    print(f"[{number}/{total}] {name} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        count = step()
    except Failed as failed:
        show(failed.log)
        count = Count(failed=1)
    seconds = time.monotonic() - started
    print(f"{count} ({seconds:.0f} s)", flush=True)
    return count


def main():
    parser = argparse.ArgumentParser(
        prog="tools/check", description="Builds and runs every test and check. Logs are in build/logs. Exits 0 "
        "when nothing failed; the last line is the sum over all runners.")
    parser.add_argument("--only", metavar="WORD", help="only the steps whose name contains WORD")
    parser.add_argument("--started", type=int, default=int(time.time()), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only and not any(args.only in name for name in STEPS):
        parser.error(f"--only {args.only}: the steps are {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    total = Count()
    for number, (name, step) in enumerate(STEPS.items(), start=2):
        if args.only and args.only not in name:
            continue
        count = run_step(name, step, number, len(STEPS) + 1)
        total.add(count)
        if step is build_release and count.failed:
            break
    print(f"{time.time() - args.started:.0f} s in all")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
