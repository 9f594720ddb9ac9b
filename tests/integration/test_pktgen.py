"""What penstock-pktgen says it sent is what penstockd's ledger and output say came, on every output."""

import json

import lab
import pytest
from conftest import assert_balanced, assert_sums, udp, uds

MALFORMED = {"profile": "typical", "malformed": 10, "contexts": 500, "packets": 400, "rate": 2000}


def assert_equal(report, ledger):
    assert ledger["lines"]["total"] == report["lines"]
    rejected = {reason: n for reason, n in ledger["lines"]["rejected"].items() if n}
    assert rejected == {reason: n for reason, n in report["rejected"].items() if n}
    assert ledger["samples"]["total"] == sum(report["samples"].values())
    assert_balanced(ledger)


@pytest.mark.parametrize("output", ["udp", "uds", "uds-stream", "pipe"])
def test_the_ledger_agrees(penstockd, config, traffic, folder, output):
    stream, pipe = str(folder / "stream.socket"), str(folder / "pipe")
    settings = config(dogstatsd_stream_socket=stream, dogstatsd_pipe_name=pipe)
    daemon = penstockd(settings).start()
    target = {"udp": udp(settings), "uds": uds(settings), "uds-stream": ("--uds-stream", stream),
              "pipe": ("--pipe", pipe)}[output]
    report = traffic(target, "p", **MALFORMED).report()
    assert report["malformed"] > 0
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] >= report["lines"], 10, "every line")
    assert_equal(report, daemon.stop())
    assert_sums(daemon, report)


def test_pcap_and_json_lines_are_the_same_traffic(folder):
    made = {}
    for kind in ("pcap", "jsonl"):
        file = folder / f"traffic.{kind}"
        report = json.loads(lab.run(lab.PKTGEN, f"--{kind}", file, "--profile", "long", "--packets", 60, "--rate", 5,
                                    "--malformed", 5).stdout)
        made[kind] = lab.run(lab.REPLAY, "--input", file).stdout
        sums = lab.counter_sums([json.loads(line) for line in made[kind].splitlines()])
        assert {name: sums.get(name) for name in report["counters"]} == report["counters"]
    assert made["pcap"] == made["jsonl"]
