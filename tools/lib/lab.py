"""What quickstart and the integration tests share: network namespaces, hugepages, a penstockd and its
traffic. Everything made here is undone by the `close` of what made it, also after a failure."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PENSTOCK_BUILD", ROOT / "build"))
PENSTOCKD = BUILD / "controlplane/penstockd"
DATA_PLANE = BUILD / "dataplane/penstock-dataplane"
PENSTOCKCTL = BUILD / "tools/penstockctl/penstockctl"
PKTGEN = BUILD / "tools/pktgen/penstock-pktgen"
REPLAY = BUILD / "tools/replay/penstock-replay"


class LabError(Exception):
    """Something of the surroundings failed; the message says what and names the command."""


def run(*args, netns=None, timeout=60, check=True, stdin=None):
    """Runs a command, in the namespace `netns` if given, and returns the CompletedProcess."""
    command = in_netns(netns, args)
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]}: not found; run tools/install-packages") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: not done after {timeout} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done


def in_netns(netns, args):
    command = [str(a) for a in args]
    return ["ip", "netns", "exec", netns, *command] if netns else command


def wait_until(condition, seconds, what):
    """Calls `condition` until it is true and returns its value; LabError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"after {seconds} s still not: {what}")
        time.sleep(0.05)


def settled(value, seconds):
    """What `value` says once it says the same five times in a row; LabError after `seconds`."""
    last = []

    def same():
        last.append(value())
        return len(last) >= 5 and len(set(last[-5:])) == 1

    wait_until(same, seconds, "a value that stays the same")
    return last[-1]


class Wire:
    """Two namespaces joined by a one-queue veth pair: `daemon` with `interface` and `address`,
    where penstockd runs, and `outside` with `peer` and `peer_address`, where traffic comes from. Transmit
    checksum offload is off on the peer: AF_XDP would see checksums that were never filled in."""

    interface, address, address6 = "wire0", "10.125.0.2", "fd00:125::2"
    peer, peer_address, peer_address6 = "wire1", "10.125.0.1", "fd00:125::1"

    def __init__(self, name):
        self.daemon, self.outside = f"{name}-d", f"{name}-o"

    def open(self):
        for netns in (self.daemon, self.outside):
            run("ip", "netns", "add", netns)
            run("ip", "-n", netns, "link", "set", "lo", "up")
        return self.plug()

    def plug(self):
        one_queue = ("numrxqueues", 1, "numtxqueues", 1)
        run("ip", "-n", self.outside, "link", "add", self.peer, *one_queue, "type", "veth",
            "peer", "name", self.interface, "netns", self.daemon, *one_queue)
        for netns, link, v4, v6 in ((self.daemon, self.interface, self.address, self.address6),
                                    (self.outside, self.peer, self.peer_address, self.peer_address6)):
            run("ip", "-n", netns, "addr", "add", f"{v4}/24", "dev", link)
            run("ip", "-n", netns, "addr", "add", f"{v6}/64", "dev", link, "nodad")
            run("ip", "-n", netns, "link", "set", link, "up")
        run("ethtool", "-K", self.peer, "tx", "off", netns=self.outside)
        return self

    def close(self):
        for netns in (self.outside, self.daemon):
            run("ip", "netns", "del", netns, check=False)


class Hugepages:
    """Hugepages taken from the machine, and a hugetlbfs to map them from where it has none; both are
    given back by close. `reserved` is how many are ours: 0 before `reserve`, and when the machine has
    none to give, with the reason in `why`."""

    COUNT = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")

    def __init__(self, reserved=0, mounted=""):
        self.reserved, self.mounted, self.why = reserved, mounted, ""

    def reserve(self, pages, mount_point):
        try:
            before = int(self.COUNT.read_text())
            self.reserved = pages
            self.COUNT.write_text(str(before + pages))
            self.reserved = int(self.COUNT.read_text()) - before
            if self.reserved < pages:
                raise LabError(f"asked for {pages} pages of 2 MiB and got {self.reserved}")
            if " hugetlbfs " not in pathlib.Path("/proc/mounts").read_text():
                mount_point.mkdir(parents=True, exist_ok=True)
                self.mounted = str(mount_point)
                run("mount", "-t", "hugetlbfs", "none", mount_point)
        except (OSError, ValueError, LabError) as error:
            self.why = str(error)
            self.close()
        return self

    def close(self):
        if self.mounted:
            run("umount", self.mounted, check=False)
        if self.reserved:
            with contextlib.suppress(OSError):
                self.COUNT.write_text(str(max(0, int(self.COUNT.read_text()) - self.reserved)))
        self.reserved, self.mounted = 0, ""


class Daemon:
    """A penstockd of its own: configuration, run directory, output and log in `folder`. `config` is the
    text of a configuration or a dict; where a dict leaves them out, run_dir and a JSON-lines exporter to
    `output` are filled in. `command` starts penstockd, up to its options."""

    def __init__(self, folder, config, netns=None, env=None, command=(PENSTOCKD,)):
        self.folder, self.netns, self.command = pathlib.Path(folder), netns, command
        self.env = {**os.environ, **(env or {})}
        self.run_dir = self.folder / "run"
        self.output = self.folder / "points.jsonl"
        self.log = self.folder / "penstockd.log"
        self.config = self.folder / "penstock.yaml"
        self.process = None
        self.data_planes = set()  # every pid seen, so that close leaves none behind
        if isinstance(config, dict):
            config = self._complete(config)
        self.config.write_text(config)

    def _complete(self, config):
        ours = config.setdefault("penstock", {})
        ours.setdefault("run_dir", str(self.run_dir))
        ours.setdefault("exporters", {}).setdefault("jsonl", {"path": str(self.output)})
        return json.dumps(config, indent=2)  # JSON is YAML

    @property
    def control_socket(self):
        return self.run_dir / "control.sock"

    def start(self, seconds=20):
        """Starts penstockd and waits until it receives."""
        self.spawn()
        self.wait_ready(seconds)
        return self

    def spawn(self):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            in_netns(self.netns, [*self.command, "--config", self.config]), stdout=log,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.env, start_new_session=True)
        log.close()

    def wait_ready(self, seconds=20):
        def ready():
            if self.process.poll() is not None:
                raise LabError(f"penstockd exited with {self.process.returncode}; its log:\n{self.log_tail()}")
            return self.status().get("data_plane", {}).get("up", False)

        try:
            wait_until(ready, seconds, "penstockd ready")
        except LabError as error:
            raise LabError(f"{error}\n{self.state()}") from None
        self.data_plane_pid()
        self.data_plane_pid()

    def ctl(self, *args, timeout=60):
        return run(PENSTOCKCTL, "--socket", self.control_socket, "--json", *args, check=False,
                   timeout=timeout)

    def _ctl_json(self, verb):
        done = self.ctl(verb)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def status(self):
        """What `penstockctl status` says; empty while no penstockd answers."""
        return self._ctl_json("status")

    def ledger(self):
        return self._ctl_json("ledger")

    def stats(self):
        return self._ctl_json("stats")

    def data_plane_pid(self):
        """The pid of the running data plane, or None."""
        with contextlib.suppress(LabError, OSError, ValueError):
            pid = self.status().get("data_plane", {}).get("pid")
            if pid:
                self.data_planes.add(pid)
            return pid or None
        return None

    def daemon_pid(self):
        """The pid of penstockd itself."""
        return self.process.pid

    def kill9(self):
        """kill -9 of penstockd; its data plane goes on."""
        self.data_plane_pid()
        os.kill(self.daemon_pid(), signal.SIGKILL)
        self.process.wait(10)

    def kill9_data_plane(self):
        """kill -9 of the data plane; returns once penstockd has started another."""
        old = self.data_plane_pid()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: self.data_plane_pid() not in (None, old), 20, "a new data plane")
        self.wait_ready()

    def stop(self, seconds=30):
        """SIGTERM, drain, exit; returns the final ledger."""
        self.process.terminate()
        code = self.process.wait(seconds)
        if code != 0:
            raise LabError(f"penstockd exited with {code} after SIGTERM\n{self.state()}")
        return self.final_ledger()

    def final_ledger(self):
        return json.loads((self.run_dir / "ledger.json").read_text())

    def points(self):
        """The objects of the JSON-lines output so far."""
        if not self.output.exists():
            return []
        text = self.output.read_text()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def counter_sums(self, prefix=""):
        return counter_sums(self.points(), prefix)

    def log_tail(self, lines=40):
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def state(self):
        """Status, ledger and the end of the log, for a failure."""
        answers = "\n".join(f"{verb}: {self.ctl(verb).stdout.strip()}" for verb in ("status", "ledger"))
        return f"--- {self.folder}\n{answers}\n--- end of {self.log}\n{self.log_tail()}"

    def close(self):
        """Stops penstockd and every data plane it had, by force if need be."""
        self.data_plane_pid()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.data_plane_pid()
        for pid in self.data_planes:
            if is_data_plane(pid):
                os.kill(pid, signal.SIGKILL)


def is_data_plane(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/exe").resolve().name.split(" ")[0] == DATA_PLANE.name
    return False


def counter_sums(points, prefix=""):
    """Sum of value * interval by metric name over the rate series. Sums of integers come out as
    integers."""
    sums = {}
    for point in points:
        if point["type"] == "rate" and point["metric"].startswith(prefix):
            sums[point["metric"]] = sums.get(point["metric"], 0) + whole(point["value"] * point["interval"])
    return sums


def whole(x):
    """`x` as an integer when it is one but for rounding in the last bits."""
    return round(x) if abs(x - round(x)) <= 1e-9 * max(1.0, abs(x)) else x


class Traffic:
    """A penstock-pktgen; `target` is ("--udp", "HOST:PORT") or ("--uds", PATH), `options` are its
    others."""

    def __init__(self, target, prefix, netns=None, **options):
        args = [PKTGEN, *target, "--prefix", prefix]
        for name, value in options.items():
            args += [f"--{name.replace('_', '-')}", value]
        self.command = in_netns(netns, args)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, start_new_session=True)
        return self

    def report(self, seconds=60):
        """Waits for the end and returns what was sent."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.close()
            raise LabError(f"{' '.join(self.command)}: not done after {seconds} s") from None
        if self.process.returncode != 0:
            raise LabError(f"{' '.join(self.command)}: exit {self.process.returncode}: {err.strip()}")
        return json.loads(out)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
