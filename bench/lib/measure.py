"""Runs a scenario and measures it: the highest rate without loss, what a line costs there, and whether the ledger
balanced."""

import functools
import os
import pathlib
import re
import subprocess
import tempfile
import time

from scenarios import CPUS, ROOT, SCENARIOS, PcapInline, lab

MOST_LOSS = 1e-4
BUCKETS = ["missed", "no_buffer", "not_ours", "malformed", "truncated", "ring_full", "dispatched", "lost_in_crash"]
POLLING = re.compile(r"rte-worker|shard")  # the threads of a port's data cores
TICK_S = 0.05


def shard_counters(daemon):
    """Sums over shards."""
    shards = [b["counters"] for b in daemon.stats().get("blocks", []) if b["kind"] == "shard"]
    return {name: sum(s[name] for s in shards) for name in ("packets", "lines", "bytes", "contexts")}


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
                   "polling_cpu_ns_per_line": round(polling / lines, 1)}
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
    """The trial with the highest rate that lost at most MOST_LOSS (the one that lost least where none did), by binary
    search below what it takes flat out, and packets sent in all. `send` makes a trial of seconds and packets a second."""
    warm = send(1, 0)  # contexts become known
    done = [send(seconds, 0)]
    low, high = 0, done[0]["sent_per_s"]
    while done[0]["loss"] > MOST_LOSS and len(done) <= trials:
        # Nothing is gained above what was taken flat out, and often not much below it.
        rate = (low + high) // 2 if len(done) > 1 else min(high, done[0]["packets_per_s"])
        done.append(send(seconds, rate))
        low, high = (rate, high) if done[-1]["loss"] <= MOST_LOSS else (low, rate)
    kept = [t for t in done if t["loss"] <= MOST_LOSS]
    best = max(kept, key=lambda t: t["lines_per_s"]) if kept else min(done, key=lambda t: t["loss"])
    return {**best, "taken_flat_out_per_s": done[0]["packets_per_s"], "trials": len(done)}, \
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
    return {**trial.end(), "loss": 0.0}


def run(daemon, scenario, seconds, trials):
    """The figures of a scenario whose penstockd is started, its final ledger included."""
    sent = None
    if isinstance(scenario, PcapInline):
        figures = replay(daemon, scenario, seconds)
    else:
        figures, sent = highest_rate(functools.partial(send, daemon, scenario), seconds, trials)
    memory = [memory_mib(pid) for pid in (daemon.data_plane_pid(), daemon.daemon_pid())]
    (keeper,) = [b["counters"] for b in daemon.stats()["blocks"] if b["kind"] == "keeper"]
    before = scenario.lost_before()
    ledger = daemon.stop(60)
    buckets = sum(ledger["packets"][b] for b in BUCKETS)
    figures["rss_mib"] = round(sum(m["VmRSS"] for m in memory), 1)
    figures["peak_rss_mib"] = round(sum(m["VmHWM"] for m in memory), 1)
    if keeper["segments_sealed"]:
        figures["seal_ms_max"] = keeper["seal_us_max"] / 1000
    figures["balanced"] = ledger["balanced"]
    if sent is not None:
        figures["unaccounted"] = sent - before - buckets
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


def machine():
    """Where this was measured."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = lab.run("git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10", check=False).stdout.strip()
    return {"cpu": cpu[1] if cpu else "unknown", "cpus": len(CPUS), "kernel": os.uname().release, "commit": commit,
            "load": os.getloadavg()[0]}
