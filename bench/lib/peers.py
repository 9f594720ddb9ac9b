"""The servers that bench/peers sets side by side, and what becomes of a line in each."""

import json
import pathlib
import re
import shutil
import socket
import time
import urllib.request

from scenarios import lab
from servers import PATIENCE_S, Peer, Penstock, free_port

FOLDER = lab.BUILD / "peers"  # where tools/install-packages --peers puts what npm ships
FLUSHES_S = 2.5  # a flush a second, while counting
INSTALL = f"tools/install-packages --peers {FOLDER}"


def missing(path):
    return None if path and pathlib.Path(path).exists() else f"not installed; run {INSTALL}"


def number(pattern, text):
    """The sum of a pattern's group over its matches."""
    return sum(float(n) for n in re.findall(pattern, text, re.MULTILINE))


def stays(value):
    """What a counter says once two flushes of a second have not raised it. It may be missing now and then."""
    last, since = value(), time.monotonic()
    deadline = since + PATIENCE_S
    while time.monotonic() < min(deadline, since + FLUSHES_S):
        time.sleep(0.2)
        now = value()
        if now > last:
            last, since = now, time.monotonic()
    return last


class Netdata(Peer):
    """Its StatsD plugin, every other collector off; in memory, a value a second, as it comes."""

    name = "netdata"
    does_not = ("ignores tags: all contexts of a name are one metric; takes `d` for a dictionary, which counts "
                "texts; reads the first of packed values; past some 1000 metrics it counts lines and keeps no values")
    checked = "its count of events, from its API"
    OTHERS = ["timex", "checks", "idlejitter", "tc", "diskspace", "proc", "cgroups", "slabinfo", "apps", "ebpf",
              "python.d", "go.d", "charts.d", "fping", "ioping", "perf", "nfacct", "cups", "freeipmi", "xenstat",
              "enable running new plugins"]

    @classmethod
    def why_not(cls, _profile):
        return missing(shutil.which("netdata"))

    def command(self):
        self.web = free_port(socket.SOCK_STREAM)
        own = "\n".join(f"{name} = {self.folder}" for name in ("config", "cache", "lib", "log", "lock"))
        off = "\n".join(f"{plugin} = no" for plugin in self.OTHERS)
        (self.folder / ".opt-out-from-anonymous-statistics").touch()
        config = self.folder / "netdata.conf"
        # As it comes it would run only where nobody else wants the CPU.
        config.write_text(
            f"[global]\nrun as user = root\nprocess scheduling policy = keep\nprocess nice level = 0\n"
            f"[directories]\n{own}\n[db]\nmode = ram\n[logs]\nerror = none\naccess = none\n"
            f"[plugins]\nstatsd = yes\n{off}\n[ml]\nenabled = no\n[health]\nenabled = no\n[web]\n"
            f"bind to = 127.0.0.1:{self.web}\n[statsd]\nbind to = udp:127.0.0.1:{self.port}\n")
        return ["netdata", "-D", "-c", config]

    def took(self):
        def events():
            url = f"http://127.0.0.1:{self.web}/api/v1/allmetrics?format=prometheus&source=as-collected"
            text = urllib.request.urlopen(url, timeout=10).read().decode()
            return number(r'statsd_events_total\{[^}]*dimension="(?!unknown|errors)\w+"\} (\d+)', text)

        return stays(events) / self.lines_sent()


class Collectd(Peer):
    """Its StatsD plugin, and when counting its CSV plugin, a value a second."""

    name = "collectd"
    does_not = "refuses every line that has tags, `h` or `d`, each with an error in its log"
    checked = "the sum of its counters, in its CSV files"

    @classmethod
    def why_not(cls, _profile):
        return missing(shutil.which("collectd") or "/usr/sbin/collectd")

    def command(self):
        config = self.folder / "collectd.conf"
        csv = f'LoadPlugin csv\n<Plugin csv>\nDataDir "{self.folder}/csv"\n</Plugin>\n' if self.counting else ""
        config.write_text(
            f'BaseDir "{self.folder}"\nPIDFile "{self.folder}/pid"\nHostname "peer"\n'
            f'Interval {1 if self.counting else 10}\n'
            f'LoadPlugin statsd\n<Plugin statsd>\nHost "127.0.0.1"\nPort "{self.port}"\n</Plugin>\n{csv}')
        return ["/usr/sbin/collectd", "-f", "-C", config]

    def took(self):
        def total():
            last = [f.read_text().splitlines()[-1] for f in self.folder.glob("csv/*/statsd/derive-*")]
            return sum(int(line.split(",")[1]) for line in last)

        return stays(total) / sum(sum(r["counters"].values()) for r in self.reports)


class Statsd(Peer):
    """The original, in JavaScript, with no backend, and when counting with one that adds up its own counters."""

    name = "statsd (npm)"
    does_not = "refuses packed values; takes `h` and `d` for counters; tells contexts apart by the order of their tags"
    checked = "its counts of lines less bad lines, from a backend"
    HOME = FOLDER / "node_modules/statsd"
    BACKEND = """exports.init = (started, config, events) => {
  let lines = 0;
  events.on('flush', (at, {counters}) => {
    lines += counters['statsd.metrics_received'] - counters['statsd.bad_lines_seen'];
    require('fs').writeFileSync(config.linesFile, String(lines));
  });
  return true;
};
"""

    @classmethod
    def why_not(cls, _profile):
        return missing(shutil.which("node")) or missing(cls.HOME)

    def command(self):
        backend, config = self.folder / "backend.js", self.folder / "config.js"
        backend.write_text(self.BACKEND)
        config.write_text(json.dumps({
            "address": "127.0.0.1", "port": self.port, "mgmt_address": "127.0.0.1",
            "mgmt_port": free_port(socket.SOCK_STREAM), "flushInterval": 1000 if self.counting else 10000,
            "backends": [str(backend)] if self.counting else [], "linesFile": str(self.folder / "lines")}))
        return ["node", self.HOME / "stats.js", config]

    def took(self):
        lines = self.folder / "lines"
        return stays(lambda: float(lines.read_text() or 0) if lines.exists() else 0) / self.lines_sent()


class Datadog(Peer):
    """Datadog's own server for functions. What it flushes goes to a closed port of loopback, so that only its intake is
    measured. It reads packets into a queue of 1024 and drops what finds it full, which no counter shows: the loss is
    estimated from the lines that it refuses and logs, sets and malformed lines, of which all that were sent must be
    there. `small` has none, so one line in a hundred is malformed there."""

    name = "Datadog serverless-compat"
    does_not = "refuses `h`, `ms`, and sets of anything but numbers, the sets each with an error in its log"
    checked = "lines parsed, from its debug log"
    logs = True
    REFUSED = b"Failed to parse metric"
    PACKED = FOLDER / "node_modules/@datadog/serverless-compat-linux-x64/bin/datadog-serverless-compat"

    @classmethod
    def why_not(cls, _profile):
        return missing(cls.PACKED)

    def command(self):
        program = self.folder / "datadog-serverless-compat"
        shutil.copy(self.PACKED, program)
        program.chmod(0o755)  # npm may have left that out
        return [program]

    def env(self):
        return {"AWS_LAMBDA_FUNCTION_NAME": "bench", "DD_API_KEY": "0", "DD_DOGSTATSD_PORT": str(self.port),
                "DD_DD_URL": "http://127.0.0.1:9", "DD_LOG_LEVEL": "debug" if self.counting else "error"}

    def senders(self, **options):
        return super().senders(**options, **({"malformed": 1} if self.profile == "small" else {}))

    def lost(self):
        logged = sum(self.REFUSED in line for line in self.log.open("rb"))
        due = sum(r["samples"]["s"] + r["malformed"] for r in self.reports)
        return self.sent() * max(0, 1 - logged / due) if due else 0

    def took(self):
        return stays(lambda: number(r"Parsed (\d+) valid", self.log.read_text())) / self.lines_sent()


class PenstockUdp(Penstock):
    name, scenario = "Penstock, kernel UDP", "kernel-udp"


class PenstockAfXdp(Penstock):
    name, scenario = "Penstock, AF_XDP on veth", "af_xdp-veth"


class PenstockMemif(Penstock):
    name, scenario = "Penstock, memif", "memif-inline"


SERVERS = {"netdata": Netdata, "collectd": Collectd, "statsd": Statsd, "datadog": Datadog,
           "penstock-udp": PenstockUdp, "penstock-af_xdp": PenstockAfXdp, "penstock-memif": PenstockMemif}
