"""Every packet has its time from receipt to aggregation, whichever way it came."""

import re
import urllib.request

import lab
import pytest
from conftest import free_port, udp, uds
from test_pktgen import memif

PACKETS = 2000


def shard_of(daemon):
    (shard,) = [b for b in daemon.stats()["blocks"] if b["kind"] == "shard"]
    return shard


def take(daemon, generator):
    """Waits until all lines of a generator are aggregated."""
    before = shard_of(daemon)["counters"]["lines"]
    lines = generator.start().report()["lines"]
    lab.wait_until(lambda: shard_of(daemon)["counters"]["lines"] == before + lines, 10, "every line")


def assert_sane(daemon):
    """Each packet once, in buckets that the quantiles follow from, and the sum agrees with them. The packets."""
    shard = shard_of(daemon)
    times, below = shard["latency"], {float(limit): n for limit, n in shard["latency"]["below_ns"].items()}
    assert times["packets"] == sum(below.values()) == shard["counters"]["packets"]
    assert 0.2 < times["p50_us"] <= times["p99_us"] <= times["p999_us"] < 2.2e6, times
    assert min(below) <= 1e3 * times["p50_us"] <= 1e3 * times["p999_us"] <= max(below)
    assert shard["counters"]["latency_sum_ns"] <= sum(limit * n for limit, n in below.items())
    assert "latency_p99_us" in lab.run(lab.PENSTOCKCTL, "--socket", daemon.control_socket, "stats").stdout
    return times["packets"]


def test_kernel_sockets(penstockd, config, folder):
    listen, stream, pipe = f"127.0.0.1:{free_port()}", str(folder / "stream.socket"), str(folder / "pipe")
    c = config({"http": {"listen": listen}}, dogstatsd_stream_socket=stream, dogstatsd_pipe_name=pipe)
    daemon = penstockd(c).start()
    packets = 0
    for target in (udp(c), uds(c), ("--uds-stream", stream), ("--pipe", pipe)):
        take(daemon, lab.Traffic(target, "l", packets=PACKETS, rate=20_000))
        before, packets = packets, assert_sane(daemon)
        assert packets > before
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
        telemetry = answer.read().decode()
    buckets = [int(n) for n in re.findall(r'penstock_packet_latency_seconds_bucket\{le="[^"]+"\} (\d+)', telemetry)]
    assert len(buckets) > 20 and buckets == sorted(buckets) and buckets[-1] == packets
    assert f"\npenstock_packet_latency_seconds_count {packets}\n" in telemetry


@pytest.mark.parametrize("wiring", ["inline", "pipeline"])
def test_a_port(penstockd, config, folder, wiring):
    # Not the receive loop beside control: operating.md, memif.
    cores = {"control": 0, "data": [1] if wiring == "inline" else [1, 0]}
    daemon = penstockd(config({"ports": [memif(folder, "server")], "wiring": wiring, "cores": cores})).start()
    take(daemon, lab.Traffic(("--dpdk", memif(folder, "client")["device"]), "l", packets=PACKETS, rate=20_000))
    assert assert_sane(daemon) == PACKETS
