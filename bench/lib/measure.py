"""Runs a scenario and measures it: the highest rate without loss, what a line costs there, and whether the ledger
balanced."""

import collections
import functools
import os
import pathlib
import re
import subprocess
import tempfile
import time

from scenarios import CPUS, ROOT, SCENARIOS, PcapInline, lab

MOST_LOSS = 1e-4
MORE_TRIALS = 4  # where none of the search was without loss, each at half the rate
LONGEST_NS = 2**31  # that latencies are told apart up to
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
POLLING = re.compile(r"rte-worker|shard")  # the threads of a port's data cores
TICK_S = 0.05


def shards(daemon):
    return [b for b in daemon.stats().get("blocks", []) if b["kind"] == "shard"]


def shard_counters(daemon):
    """Sums over shards."""
    blocks = shards(daemon)
    return {name: sum(b["counters"][name] for b in blocks) for name in ("packets", "lines", "bytes", "contexts")}


def latencies(daemon):
    """Packets of all shards by what their latency is below, in ns; of the last bucket, by what it is at least."""
    counted = collections.Counter()
    for b in shards(daemon):
        counted.update({LONGEST_NS if limit == "inf" else int(limit): n for limit, n in b["latency"]["below_ns"].items()})
    return counted


def quantiles_us(below):
    """What so many of the packets counted in `below` were below, in us."""
    wanted = {name: q * sum(below.values()) for name, q in QUANTILES.items()}
    found, seen = {}, 0
    for limit in sorted(below):
        seen += below[limit]
        found |= {name: limit / 1000 for name, n in wanted.items() if name not in found and seen >= n}
    return found


def cpu_ns(pid):
    """CPU time so far of a process by thread."""
    spent = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name, ns = (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0])
        spent[name] = spent.get(name, 0) + ns
    return spent


def memory_mib(pid):
    """Resident memory of a process, now and at its peak."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


class Instructions:
    """Instructions in user space that a process retires, where the machine lets perf count them."""

    def __init__(self, pid):
        self.perf = None
        try:
            self.perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "instructions:u", "-p", str(pid)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            pass

    def count(self):
        """Ends counting; None where there was none."""
        if self.perf is None:
            return None
        self.perf.send_signal(2)
        said = self.perf.communicate(timeout=10)[1]
        counted = re.search(r"^(\d+),", said, re.MULTILINE)
        return int(counted[1]) if counted else None


class Trial:
    """What one stretch of traffic came to. Between construction and `end`, traffic flows."""

    def __init__(self, daemon, scenario):
        self.daemon, self.pid, self.polls = daemon, daemon.data_plane_pid(), "ports" in scenario.config()["penstock"]
        self.instructions = Instructions(self.pid)
        self.latencies = latencies(daemon)
        self.counters, self.cpu, self.at = shard_counters(daemon), cpu_ns(self.pid), time.monotonic()

    def end(self, seconds=None):
        """The figures; `seconds` is how long traffic flowed, by default since construction."""
        counters, cpu = shard_counters(self.daemon), cpu_ns(self.pid)
        seconds = seconds or time.monotonic() - self.at
        done = {name: counters[name] - self.counters[name] for name in ("packets", "lines", "bytes")}
        spent = {name: ns - self.cpu.get(name, 0) for name, ns in cpu.items()}
        polling = sum(ns for name, ns in spent.items() if self.polls and POLLING.match(name))
        lines = max(1, done["lines"])
        figures = {"packets": done["packets"], **{f"{name}_per_s": round(n / seconds) for name, n in done.items()},
                   "contexts": counters["contexts"], "cpu_ns_per_line": round(sum(spent.values()) / lines, 1),
                   "polling_cpu_ns_per_line": round(polling / lines, 1),
                   "latency_us": quantiles_us(latencies(self.daemon) - self.latencies)}
        instructions = self.instructions.count()
        if instructions is not None:
            figures["instructions_per_line"] = round(instructions / lines, 1)
        return figures


def send(daemon, scenario, seconds, rate):
    """One trial: generators at `rate` packets a second in all (0: flat out) until they are done and all is taken."""
    trial = Trial(daemon, scenario)
    senders = scenario.senders(daemon, seconds=seconds, **({"rate": rate} if rate else {}))
    try:
        for sender in senders:
            sender.start()
        reports = [sender.report(seconds + 120) for sender in senders]
    finally:
        for sender in senders:
            sender.close()
    lab.settled(lambda: shard_counters(daemon)["packets"], 120)
    figures = trial.end(max(r["seconds"] for r in reports))
    sent = sum(r["packets"] for r in reports)
    loss = 1 - figures["packets"] / sent
    return {**figures, "sent": sent, "sent_per_s": round(sent / seconds), "loss": round(loss, 7),
            "waits": sum(r["waits"] for r in reports)}


def highest_rate(send, seconds, trials):
    """The trial with the highest rate that lost at most MOST_LOSS, by binary search below what it takes flat out, and
    packets sent in all. Where none did, not at the lowest rate tried either, the one that lost least. `send` makes a
    trial of seconds and packets a second."""
    warm = send(1, 0)  # contexts become known
    done = [send(seconds, 0)]
    low, high = 0, done[0]["sent_per_s"]
    while done[0]["loss"] > MOST_LOSS and len(done) <= trials + (0 if low else MORE_TRIALS):
        # Nothing is gained above what was taken flat out, and often not much below it.
        rate = (low + high) // 2 if len(done) > 1 else min(high, done[0]["packets_per_s"])
        done.append(send(seconds, rate))
        low, high = (rate, high) if done[-1]["loss"] <= MOST_LOSS else (low, rate)
    kept = [t for t in done if t["loss"] <= MOST_LOSS]
    best = max(kept, key=lambda t: t["lines_per_s"]) if kept else min(done, key=lambda t: t["loss"])
    return {**best, "lossless": bool(kept), "taken_flat_out_per_s": done[0]["packets_per_s"], "trials": len(done)}, \
        warm["sent"] + sum(t["sent"] for t in done)


def replay(daemon, scenario, seconds):
    """One trial on a capture, which plays as fast as it is taken."""
    warm = scenario.packets // 8 if not scenario.endless else 10 * scenario.packets
    lab.wait_until(lambda: shard_counters(daemon)["packets"] > warm, 60, "traffic")
    trial = Trial(daemon, scenario)
    deadline = trial.at + seconds
    while time.monotonic() < deadline:
        time.sleep(TICK_S)
        if not scenario.endless and shard_counters(daemon)["packets"] > scenario.packets * 0.9:
            break
    return trial.end()


def run(daemon, scenario, seconds, trials):
    """The figures of a scenario whose penstockd is started, its final ledger included."""
    sent = None
    if isinstance(scenario, PcapInline):
        figures = replay(daemon, scenario, seconds)
    else:
        figures, sent = highest_rate(functools.partial(send, daemon, scenario), seconds, trials)
    memory = [memory_mib(pid) for pid in (daemon.data_plane_pid(), daemon.daemon_pid())]
    (keeper,) = [b["counters"] for b in daemon.stats()["blocks"] if b["kind"] == "keeper"]
    pause = max(b["counters"]["pause_ns_max"] for b in shards(daemon))
    before = scenario.lost_before()
    ledger = daemon.stop(60)
    packets = ledger["packets"]
    figures["rss_mib"] = round(sum(m["VmRSS"] for m in memory), 1)
    figures["peak_rss_mib"] = round(sum(m["VmHWM"] for m in memory), 1)
    if keeper["segments_sealed"]:
        figures["seal_pause_us_max"] = pause / 1000
        figures["seal_ms_max"] = keeper["seal_us_max"] / 1000
    figures["balanced"] = ledger["balanced"]
    if sent is None:
        figures["loss"] = round(1 - packets["dispatched"] / packets["offered"], 7)
        figures["lossless"] = figures["loss"] <= MOST_LOSS
    else:
        figures["unaccounted"] = sent - before - packets["offered"]
    return {name: value for name, value in figures.items() if name not in ("packets", "sent")}


def measure(name, profile, seconds=5, trials=6, **options):
    """One scenario with one profile, from the start of penstockd to its end."""
    head = {"scenario": name, "profile": profile}
    if profile == "long" and not SCENARIOS[name].jumbo:
        return {**head, "skipped": "packets of 8 KiB do not fit its frames"}
    with tempfile.TemporaryDirectory(prefix="pstb", dir="/dev/shm") as folder:
        os.chmod(folder, 0o755)
        scenario = SCENARIOS[name](folder, profile, **options)
        daemon = None
        try:
            scenario.open()
            daemon = lab.Daemon(folder, scenario.config(), netns=scenario.netns)
            daemon.start(60)
            return {**head, "data_cpus": len(scenario.data_cpus), **run(daemon, scenario, seconds, trials)}
        finally:
            if daemon:
                daemon.close()
            scenario.close()


def sound(results):
    """Whether each ledger balanced and has every packet that was sent."""
    return all(r.get("balanced", True) and r.get("unaccounted", 0) == 0 for r in results)


def machine():
    """Where this was measured."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = lab.run("git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10", check=False).stdout.strip()
    return {"cpu": cpu[1] if cpu else "unknown", "cpus": len(CPUS), "kernel": os.uname().release, "commit": commit,
            "load": os.getloadavg()[0]}
