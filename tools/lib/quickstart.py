"""The second half of tools/quickstart: Penstock end to end on a wire of its own."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lab  # noqa: E402

UDP_PORT = 8125
RATE = 10000  # packets a second on each path
HUGEPAGES = 128
PROMETHEUS = "127.0.0.1:9126"
HTTP = "127.0.0.1:5080"
KEPT = lab.BUILD / "quickstart/kept.json"
OUTPUT = lab.BUILD / "quickstart/points.jsonl"


def parse_args():
    parser = argparse.ArgumentParser(
        prog="tools/quickstart",
        description="Installs, builds and starts Penstock on a veth pair in namespaces of its own, sends it "
        "DogStatsD traffic over AF_XDP, kernel UDP and a Unix socket, and checks that nothing is missing. "
        "Needs root on Debian 12. Exits 0 when the ledger balances and the output equals what was sent.")
    parser.add_argument("--seconds", type=float, default=10, metavar="N", help="how long to send (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--keep", action="store_true", help="leave it running, and print how to talk to it")
    parser.add_argument("--stop", action="store_true", help="stop and clean up what an earlier --keep left")
    args = parser.parse_args()
    if not 1 <= args.seconds <= 3600:
        parser.error(f"--seconds {args.seconds}: must be from 1 to 3600")
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)


def configuration(folder, hugepages):
    return {
        "hostname": "quickstart",
        "dogstatsd_port": UDP_PORT,
        "dogstatsd_socket": str(folder / "dsd.socket"),
        "dogstatsd_so_rcvbuf": 8 << 20,
        "penstock": {
            "ports": [{
                "name": "wire0",
                "device": f"net_af_xdp0,iface={lab.Wire.interface}",
                "udp_ports": [UDP_PORT],
                "addresses": [lab.Wire.address],
            }],
            "hugepages": "auto" if hugepages else "never",
            "exporters": {
                "jsonl": {"path": str(folder / "points.jsonl")},
                "prometheus": {"listen": PROMETHEUS},
            },
            "http": {"listen": HTTP},
        },
    }


class Quickstart:
    def __init__(self, args):
        self.args = args
        self.name = f"pstk{os.getpid()}"
        self.undo = contextlib.ExitStack()

    def run(self):
        """The whole demonstration; returns its result as a dict."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"penstock-quickstart-{os.getpid()}-"))
        self.undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.reserve_hugepages()
        self.wire = lab.Wire(self.name)
        self.undo.callback(self.wire.close)
        self.wire.open()
        self.daemon = lab.Daemon(self.folder, configuration(self.folder, self.pages.reserved),
                                 netns=self.wire.daemon)
        self.undo.callback(self.daemon.close)
        say("[3/5] starting penstockd")
        self.daemon.start()
        say(f"[4/5] sending for {self.args.seconds:g} s on three paths")
        sent = self.send()
        say("[5/5] waiting for the last bucket" if self.args.keep else "[5/5] draining")
        ledger = self.settle(sent)
        return self.result(sent, ledger)

    def reserve_hugepages(self):
        self.pages = lab.Hugepages()
        self.undo.callback(self.pages.close)
        self.pages.reserve(HUGEPAGES, self.folder / "hugepages")
        if not self.pages.reserved:
            say(f"no hugepages ({self.pages.why}); going on without (--no-huge), which is slower")

    def send(self):
        paths = {
            "af_xdp": (("--udp", f"{lab.Wire.address}:{UDP_PORT}"), self.wire.outside),
            "udp": (("--udp", f"127.0.0.1:{UDP_PORT}"), self.wire.daemon),
            "uds": (("--uds", self.folder / "dsd.socket"), None),
        }
        running = {}
        for path, (target, netns) in paths.items():
            running[path] = lab.Traffic(target, f"quickstart.{path}", netns=netns, rate=RATE,
                                        seconds=self.args.seconds)
            self.undo.callback(running[path].close)
            running[path].start()
        return {path: traffic.report(self.args.seconds + 60) for path, traffic in running.items()}

    def settle(self, sent):
        """Lets everything reach the output, by a drain, or with --keep by waiting for the bucket."""
        if not self.args.keep:
            return self.daemon.stop()
        expected = expected_sums(sent)
        with contextlib.suppress(lab.LabError):
            lab.wait_until(lambda: not differences(expected, self.daemon.counter_sums()), 20, "output")
        return self.daemon.ledger()

    def result(self, sent, ledger):
        points = self.daemon.points()
        sums = lab.counter_sums(points)
        wrong = differences(expected_sums(sent), sums)
        output = self.daemon.output
        if not self.args.keep and output.exists():
            OUTPUT.parent.mkdir(exist_ok=True)
            output = shutil.move(output, OUTPUT)
        return {
            "ok": bool(ledger.get("balanced")) and not wrong,
            "hugepages": self.pages.reserved,
            "paths": {path: rates(report) for path, report in sent.items()},
            "top": sorted(sums.items(), key=lambda item: -item[1])[:10],
            "ledger": ledger,
            "differences": wrong,
            "output": str(output),
            "points": len(points),
        }

    def keep(self):
        """Hands what is running over to a later --stop."""
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps({
            "folder": str(self.folder), "name": self.name, "pid": self.daemon.daemon_pid(),
            "hugepages": self.pages.reserved, "mounted": self.pages.mounted,
        }))
        self.undo.pop_all()

    def how_to_talk(self):
        inside = f"ip netns exec {self.wire.daemon}"
        return f"""
still running (penstockd is process {self.daemon.daemon_pid()}):
  {lab.PENSTOCKCTL} --socket {self.daemon.control_socket} status
  {lab.PENSTOCKCTL} --socket {self.daemon.control_socket} ledger
  {inside} curl http://{PROMETHEUS}/metrics
  {inside} curl http://{HTTP}/healthz
  ip netns exec {self.wire.outside} {lab.PKTGEN} --udp {lab.Wire.address}:{UDP_PORT} --packets 100
  tail -f {self.daemon.output}
stop it and clean up:
  tools/quickstart --stop"""


def expected_sums(sent):
    return {name: total for report in sent.values() for name, total in report["counters"].items()}


def differences(expected, sums):
    """One sentence for each counter that is not in the output as it was sent."""
    return [f"{name}: sent {total}, output has {sums.get(name, 0)}"
            for name, total in expected.items() if sums.get(name, 0) != total]


def rates(report):
    seconds = max(report["seconds"], 1e-9)
    return {
        "packets": report["packets"], "lines": report["lines"],
        "packets_per_s": round(report["packets"] / seconds), "lines_per_s": round(report["lines"] / seconds),
    }


def ledger_text(ledger):
    """The ledger in words: `balanced`, or each difference."""
    if not ledger:
        return ["ledger: none; penstockd did not answer"]
    verdict = "balanced" if ledger["balanced"] else "NOT balanced"
    lines = [f"ledger: {verdict}"]
    for part in ("packets", "lines", "samples", "points"):
        counts = {k: v for k, v in ledger[part].items() if isinstance(v, int) and v}
        lines.append(f"  {part:8} " + "  ".join(f"{k} {v}" for k, v in counts.items()))
    for exporter in ledger["points"].get("exporters", []):
        lines.append(f"  {exporter['name']:8} " + "  ".join(f"{k} {v}" for k, v in exporter.items() if k != "name"))
    return lines + [f"  difference: {d}" for d in ledger["differences"]]


def text(result):
    lines = [f"{'path':8} {'packets':>10} {'packets/s':>10} {'lines':>10} {'lines/s':>10}"]
    for path, r in result["paths"].items():
        lines.append(f"{path:8} {r['packets']:>10} {r['packets_per_s']:>10} {r['lines']:>10} {r['lines_per_s']:>10}")
    lines += ["", "top ten counters, with what they counted"]
    lines += [f"  {value:>12}  {name}" for name, value in result["top"]]
    lines += ["", *ledger_text(result["ledger"]), ""]
    wrong = result["differences"]
    lines += [f"  {d}" for d in wrong[:10]]
    lines.append(f"counters: {len(wrong)} differ from what was sent" if wrong else
                 "counters: the output's sums equal what was sent")
    lines.append(f"output: {result['output']} ({result['points']} points)")
    return "\n".join(lines)


def stop_kept():
    """Undoes an earlier --keep; what is gone already is no error."""
    if not KEPT.exists():
        say("nothing was kept")
        return 0
    kept = json.loads(KEPT.read_text())
    folder = pathlib.Path(kept["folder"])
    if (folder / "run/control.sock").exists():
        done = lab.run(lab.PENSTOCKCTL, "--socket", folder / "run/control.sock", "stop", check=False)
        print(done.stdout, end="")
    for end in ("o", "d"):
        lab.run("ip", "netns", "del", f"{kept['name']}-{end}", check=False)
    lab.Hugepages(kept["hugepages"], kept["mounted"]).close()
    shutil.rmtree(folder, ignore_errors=True)
    KEPT.unlink()
    return 0


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def on_signal(number, _frame):
    for each in SIGNALS:  # one is enough; the next must not stop the cleaning up
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main():
    args = parse_args()
    if os.geteuid() != 0:
        sys.exit("quickstart: needs root, for namespaces and AF_XDP")
    if args.stop:
        return stop_kept()
    if args.keep and KEPT.exists():
        sys.exit("quickstart: one is kept already; tools/quickstart --stop ends it")
    for number in SIGNALS:
        signal.signal(number, on_signal)
    quickstart = Quickstart(args)
    with quickstart.undo:
        try:
            result = quickstart.run()
        except lab.LabError as error:
            sys.exit(f"quickstart: {error}")
        except KeyboardInterrupt:
            sys.exit("quickstart: interrupted; cleaning up")
        print(json.dumps(result) if args.json else text(result), flush=True)
        if args.keep:
            say(quickstart.how_to_talk())
            quickstart.keep()
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
