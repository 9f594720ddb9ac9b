"""What penstock-pktgen says it sent is what penstockd's ledger and output say came, on every output."""

import json
import os
import signal
import time

import lab
import pytest
from conftest import assert_balanced, assert_sums, udp, uds

MALFORMED = {"profile": "typical", "malformed": 10, "contexts": 500, "packets": 400, "rate": 2000}


def memif(folder, role):
    """The port of a penstockd (role server), or the generator's end of it (client)."""
    return {"name": "memif", "udp_ports": [8125],
            "device": f"net_memif0,role={role},socket={folder}/memif.sock,socket-abstract=no"}


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


@pytest.mark.parametrize("output", ["udp", "uds", "uds-stream", "dpdk"])
def test_several_senders_send_what_one_does(penstockd, config, traffic, folder, output):
    stream = str(folder / "stream.socket")
    port = {"ports": [{**memif(folder, "server"), "queues": 2}], "cores": {"control": 0, "data": [0, 1]}}
    settings = config(port if output == "dpdk" else None, dogstatsd_stream_socket=stream)
    daemon = penstockd(settings).start()
    target = {"udp": udp(settings), "uds": uds(settings), "uds-stream": ("--uds-stream", stream),
              "dpdk": ("--dpdk", memif(folder, "client")["device"])}[output]
    report = traffic(target, "p", **MALFORMED, senders=2, flows=8).report()
    assert report["packets"] == MALFORMED["packets"]
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] >= report["lines"], 10, "every line")
    assert_equal(report, daemon.stop())
    assert_sums(daemon, report)
    file = folder / "report.json"
    file.write_text(json.dumps(report))
    lab.run(lab.PKTGEN, "--verify", daemon.output, "--report", file)


def test_a_generator_waits_until_its_ring_is_empty(penstockd, config, traffic, folder):
    """What a memif ring holds is gone with the generator: it stays until a receiver that stands has taken it."""
    daemon = penstockd(config({"ports": [memif(folder, "server")]})).start()
    generator = traffic(("--dpdk", memif(folder, "client")["device"]), "p", packets=900, rate=1500)
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > 0, 20, "the first packet")
    os.kill(daemon.data_plane_pid(), signal.SIGSTOP)
    try:
        until = time.monotonic() + 2  # 0.6 s are what the packets take
        lab.wait_until(lambda: generator.process.poll() is not None or time.monotonic() > until, 10, "2 s")
        assert generator.process.poll() is None
    finally:
        os.kill(daemon.data_plane_pid(), signal.SIGCONT)
    report = generator.report()
    assert report["packets"] == 900
    ledger = daemon.stop()
    assert ledger["packets"]["dispatched"] == 900
    assert_equal(report, ledger)
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
