"""Servers that take StatsD lines, each started, pinned, observed and ended in the same way, so that figures of one
trial stand beside those of another."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

from measure import cpu_ns, memory_mib, shard_counters
from scenarios import CPUS, SCENARIOS, lab

RECEIVE_BUFFER = 4 << 20  # of every server's socket
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; as SO_RCVBUF, but above net.core.rmem_max
SYS_PIDFD_GETFD = 438
CALM_S, CALM_SHARE = 0.1, 0.3  # a server has nothing left to do when it takes less of a core than that
PATIENCE_S = 60


def family(pid):
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server whose files are in `folder`, on the last CPU, and its traffic from the others. With `counting` it is set
    up to show which lines it took, which may cost it what a measured one does not pay."""

    name = ""
    does_not = ""  # of DogStatsD, for the report
    checked = ""  # where `took` looks

    def __init__(self, folder, profile, counting=False):
        self.folder, self.profile, self.counting = pathlib.Path(folder), profile, counting
        self.reports = []  # of the generators so far

    @classmethod
    def why_not(cls, profile):
        """Why it cannot be measured with a profile, and the remedy; None where it can."""
        raise NotImplementedError

    def start(self):
        """Starts it and returns once it receives."""
        raise NotImplementedError

    def finish(self):
        """Looks whether it was well to the end, before `close`."""

    def close(self):
        """Ends it and whatever it started."""
        raise NotImplementedError

    def roots(self):
        """The pids of its processes; what descends from them counts as well."""
        raise NotImplementedError

    def senders(self, **options):
        """Generators, not yet started."""
        raise NotImplementedError

    def lost(self):
        """Packets lost so far, of those in `reports`."""
        raise NotImplementedError

    def drained(self):
        """Returns once it has worked through what was sent."""
        raise NotImplementedError

    def took(self):
        """The share of the lines in `reports` that its own count has, where `counting`."""
        raise NotImplementedError

    def lines_sent(self):
        return sum(r["lines"] for r in self.reports)

    def sent(self):
        return sum(r["packets"] for r in self.reports)

    def pids(self):
        return dict.fromkeys(pid for root in self.roots() for pid in family(root))

    def cpu_ns(self):
        spent = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # it has ended
                spent += sum(cpu_ns(pid).values())
        return spent

    def memory_mib(self):
        """Resident memory of its processes, now and at the peak of each."""
        sums = {"VmRSS": 0, "VmHWM": 0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for name, mib in memory_mib(pid).items():
                    sums[name] += mib
        return sums


class Peer(Server):
    """Somebody else's server, on a UDP socket of loopback."""

    logs = False  # its log is looked at also where it is measured; else it goes nowhere then

    def __init__(self, folder, profile, counting=False):
        super().__init__(folder, profile, counting)
        self.port, self.process, self.log = free_port(socket.SOCK_DGRAM), None, self.folder / "log"

    def command(self):
        raise NotImplementedError

    def env(self):
        return {}

    def start(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(CPUS[-1]), *map(str, self.command())], cwd=self.folder,
                env={**os.environ, **self.env()}, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                stdout=log if self.counting or self.logs else subprocess.DEVNULL, start_new_session=True)
        lab.wait_until(self.listens, 30, f"{self.name} listening on UDP port {self.port}")
        self.give_buffer()

    def close(self):
        if not self.process:
            return
        pids = self.pids()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for pid in pids:
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def roots(self):
        return [self.process.pid]

    def senders(self, **options):
        others = [c for c in CPUS if c != CPUS[-1]] or CPUS
        sender = lab.Traffic(("--udp", f"127.0.0.1:{self.port}"), "o0", profile=self.profile, **options)
        sender.command = ["taskset", "-c", ",".join(map(str, others)), *sender.command]
        return [sender]

    def socket_row(self):
        """What the kernel says of its socket: the fields of its line in /proc/net/udp, or None."""
        for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == self.port:
                return fields
        return None

    def listens(self):
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace")[-2000:] if self.log.is_file() else ""
            raise lab.LabError(f"{self.name} exited with {self.process.returncode}: {said}")
        return self.socket_row()

    def open_socket(self):
        """As socket_row, of a server that must not have closed it."""
        row = self.listens()
        if row is None:
            raise lab.LabError(f"{self.name} has closed UDP port {self.port}")
        return row

    def give_buffer(self):
        """Few of them can be told how large a receive buffer to ask for: their socket is borrowed and told."""
        link = f"socket:[{self.open_socket()[9]}]"
        for pid in self.pids():
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(fd) == link:
                        handle = os.pidfd_open(pid)
                        borrowed = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, handle, int(fd.name), 0)
                        os.close(handle)
                        with socket.socket(fileno=borrowed) as s:
                            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
                        return
        raise lab.LabError(f"{self.name}: no process of it has the socket of UDP port {self.port}; run as root")

    def lost(self):
        return int(self.open_socket()[12])

    def drained(self):
        lab.wait_until(lambda: int(self.open_socket()[4].split(":")[1], 16) == 0, PATIENCE_S,
                       f"{self.name} having read its socket")

        def calm():
            before = self.cpu_ns()
            time.sleep(CALM_S)
            return self.cpu_ns() - before < CALM_SHARE * CALM_S * 1e9

        lab.wait_until(calm, PATIENCE_S, f"{self.name} at rest")


class Penstock(Server):
    """The real penstockd and data plane, by one of the ways in of scenarios.py."""

    scenario = ""
    checked = "lines accepted, in the final ledger, which balanced"

    def __init__(self, folder, profile, counting=False):
        super().__init__(folder, profile, counting)
        self.way, self.daemon = SCENARIOS[self.scenario](folder, profile), None

    @classmethod
    def why_not(cls, profile):
        return None if SCENARIOS[cls.scenario].jumbo or profile != "long" else "packets of 8 KiB do not fit its frames"

    def start(self):
        self.way.open()
        self.daemon = lab.Daemon(self.folder, self.way.config(), netns=self.way.netns)
        self.daemon.start(60)

    def finish(self):
        ledger = self.daemon.stop(60)
        if not ledger["balanced"]:
            raise lab.LabError(f"{self.name}: its ledger does not balance: {ledger['differences']}")
        return ledger

    def took(self):
        return self.finish()["lines"]["ok"] / self.lines_sent()

    def close(self):
        if self.daemon:
            self.daemon.close()
        self.way.close()

    def roots(self):
        return [self.daemon.daemon_pid(), self.daemon.data_plane_pid()]

    def senders(self, **options):
        return self.way.senders(self.daemon, **options)

    def lost(self):
        return self.sent() - shard_counters(self.daemon)["packets"]

    def drained(self):
        lab.settled(lambda: shard_counters(self.daemon)["packets"], PATIENCE_S)
