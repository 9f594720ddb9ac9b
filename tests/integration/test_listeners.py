"""Kernel UDP: the address, several sockets, spread."""

import json
import socket

import lab
import pytest
from conftest import assert_balanced, assert_sums, source


def addresses(daemon):
    return {entry["name"]: entry["address"] for entry in daemon.status()["listeners"]}


def test_a_random_port_is_shown_and_outlives_both_processes(penstockd, config, traffic):
    daemon = penstockd(config(dogstatsd_port="__random__", dogstatsd_socket="")).start()
    address = addresses(daemon)["udp"]
    assert address.startswith("127.0.0.1:") and not address.endswith(":0")
    reports = []
    for step in (lambda: None, daemon.kill9_data_plane, lambda: (daemon.kill9(), daemon.start())):
        step()
        assert addresses(daemon) == {"udp": address}
        reports.append(traffic(("--udp", address), f"r{len(reports)}", rate=2000, packets=500).report())
        lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] == 500 * len(reports), 10, "all of it counted")
    assert source(daemon.ledger(), "udp")["address"] == address
    table = lab.run(lab.PENSTOCKCTL, "--socket", daemon.control_socket, "ledger").stdout
    assert f"listener udp {address}\n" in table
    ledger = daemon.stop()
    assert source(ledger, "udp")["address"] == address
    assert_sums(daemon, *reports[1:])  # the first went with the data plane


@pytest.mark.parametrize("everywhere", [False, True])
def test_several_sockets_on_one_address(penstockd, config, traffic, everywhere):
    c = config({"listeners": {"udp": {"sockets": 3}}}, dogstatsd_port="__random__", dogstatsd_socket="",
               dogstatsd_non_local_traffic=everywhere)
    daemon = penstockd(c).start()
    at = addresses(daemon)
    assert list(at) == ["udp/0", "udp/1", "udp/2"] and len(set(at.values())) == 1
    target = ("--udp", "127.0.0.1:" + at["udp/0"].rsplit(":", 1)[1])
    reports = [traffic(target, "a", rate=5000, packets=5000, flows=64).report()]
    daemon.kill9()
    daemon.start()
    assert addresses(daemon) == at
    reports.append(traffic(target, "b", rate=5000, packets=1000, flows=64).report())
    ledger = daemon.stop()
    assert_balanced(ledger)
    parts = [source(ledger, name)["dispatched"] for name in at]
    assert all(parts) and sum(parts) == sum(r["packets"] for r in reports)
    assert_sums(daemon, *reports)


def test_spread_keeps_sums_and_the_last_gauge(penstockd, config, traffic):
    """One client's packets go to two shards, and the value it sent last is the one that counts."""
    c = config({"listeners": {"udp": {"spread": True}, "uds": {"spread": True}}, "cores": {"data": [0, 1]}})
    daemon = penstockd(c).start()
    target = ("--udp", f"127.0.0.1:{c['dogstatsd_port']}")
    report = traffic(target, "s", flows=1, rate=20_000, packets=20_000).report()
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] == report["packets"], 10, "all of it counted")
    handled = [b["counters"]["packets"] for b in daemon.stats()["blocks"] if b["kind"] == "shard"]
    assert len(handled) == 2 and min(handled) > report["packets"] // 10, handled
    send_gauges(c["dogstatsd_socket"], 200)
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)
    assert [p["value"] for p in daemon.points() if p["metric"] == "last"][-1] == 199


def send_gauges(path, count):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(path)
        for value in range(count):
            s.send(f"last:{value}|g".encode())


def test_a_receive_buffer_beyond_the_limit_of_the_kernel_is_told(penstockd, config):
    with open("/proc/sys/net/core/rmem_max") as limit:
        most = int(limit.read())
    daemon = penstockd(config(dogstatsd_so_rcvbuf=2 * most)).start()
    assert f"the kernel gives {most} bytes; raise net.core.rmem_max" in daemon.log.read_text()
    assert json.loads(daemon.ctl("status").stdout)["state"] == "running"
