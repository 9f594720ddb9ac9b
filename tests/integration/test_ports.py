"""DPDK ports: AF_XDP beside the kernel, and a whole port of our own."""

import os
import socket
import subprocess
import sys

import lab
import pytest
from conftest import assert_balanced, assert_sums, source

PORT = 8125

# Runs inside a namespace: echoes one TCP connection, or one UDP datagram.
TCP_ECHO = """
import socket
s = socket.create_server(("%s", 7777)); print("up", flush=True)
c, _ = s.accept()
while data := c.recv(65536): c.sendall(data)
"""
UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("%s", 7778)); print("up", flush=True)
data, sender = s.recvfrom(2000); s.sendto(data, sender)
"""
TCP_CLIENT = """
import socket
c = socket.create_connection(("%s", 7777), timeout=10); data = bytes(range(256)) * 4096; got = b""
import threading
threading.Thread(target=c.sendall, args=(data,), daemon=True).start()
while len(got) < len(data): got += c.recv(65536)
assert got == data
"""
UDP_CLIENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(b"hello", ("%s", 7778)); assert s.recv(100) == b"hello"
"""


def python(netns, script):
    return lab.run(sys.executable, "-c", script, netns=netns, timeout=30)


@pytest.fixture
def server(wire):
    """Starts a script in the daemon's namespace and waits until it says it is up."""
    made = []

    def start(script):
        made.append(subprocess.Popen(lab.in_netns(wire.daemon, [sys.executable, "-c", script]),
                                     stdout=subprocess.PIPE, text=True))
        assert made[-1].stdout.readline() == "up\n"

    yield start
    for process in made:
        process.kill()
        process.wait()
        process.stdout.close()


def af_xdp(wire, **port):
    return {"ports": [{"name": "wire0", "device": f"net_af_xdp0,iface={wire.interface}", "udp_ports": [PORT],
                       **port}]}


def test_af_xdp_leaves_the_rest_to_the_kernel(penstockd, config, traffic, wire, server):
    daemon = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()
    load = traffic(("--udp", f"{wire.address}:{PORT}"), "x", netns=wire.outside, rate=4000, seconds=4)
    ping = lab.run("ping", "-q", "-c", 20, "-i", 0.05, "-W", 2, wire.address, netns=wire.outside)
    assert " 0% packet loss" in ping.stdout
    server(TCP_ECHO % wire.address)
    python(wire.outside, TCP_CLIENT % wire.address)
    server(UDP_ECHO % wire.address)  # another UDP port is the kernel's
    python(wire.outside, UDP_CLIENT % wire.address)
    assert load.process.poll() is None, "the load ended before the kernel's turn did"
    report = load.report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "wire0/0")["dispatched"] == report["packets"]
    assert_sums(daemon, report)


def test_af_xdp_ipv6(penstockd, config, traffic, wire):
    daemon = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()
    report = traffic(("--udp", f"[{wire.address6}]:{PORT}"), "x", netns=wire.outside, rate=3000, packets=3000).report()
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)


@pytest.mark.parametrize("wiring", ["inline", "pipeline"])
def test_both_wirings_on_all_paths(penstockd, config, traffic, wire, wiring):
    ours = {**af_xdp(wire), "wiring": wiring}
    if wiring == "pipeline":
        ours["cores"] = {"control": 0, "data": [0, 1] if os.cpu_count() < 3 else [1, 2]}
    c = config(ours)
    daemon = penstockd(c, netns=wire.daemon).start()
    running = [
        traffic(("--udp", f"{wire.address}:{PORT}"), "x", netns=wire.outside, rate=2000, packets=4000),
        traffic(("--udp", f"127.0.0.1:{c['dogstatsd_port']}"), "u", netns=wire.daemon, rate=2000, packets=4000),
        traffic(("--uds", c["dogstatsd_socket"]), "s", packets=4000),
    ]
    reports = [t.report() for t in running]
    assert_balanced(daemon.stop())
    assert_sums(daemon, *reports)


def test_af_xdp_starts_again_after_its_data_plane_was_killed(penstockd, config, traffic, wire):
    daemon = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()
    target = ("--udp", f"{wire.address}:{PORT}")
    before = traffic(target, "before", netns=wire.outside, rate=2000, packets=1000).report()
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == before["lines"], 10, "all of it counted")
    daemon.kill9_data_plane()
    after = traffic(target, "after", netns=wire.outside, rate=2000, packets=1000).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert_sums(daemon, after)


def test_whole_port_answers_arp_ndp_and_ping(penstockd, config, traffic, wire):
    """net_tap: the kernel's end of the tap is the host on the other end of the wire."""
    ours = {"ports": [{"name": "tap0", "device": "net_tap0,iface=tap0", "udp_ports": [PORT], "own": "all",
                       "addresses": ["10.126.0.2", "fd00:126::2"]}]}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    lab.run("ip", "-n", wire.daemon, "addr", "add", "10.126.0.1/24", "dev", "tap0")
    lab.run("ip", "-n", wire.daemon, "addr", "add", "fd00:126::1/64", "dev", "tap0", "nodad")
    lab.run("ip", "-n", wire.daemon, "link", "set", "tap0", "up")
    for address in ("10.126.0.2", "fd00:126::2"):
        ping = lab.run("ping", "-q", "-c", 5, "-i", 0.1, "-W", 2, address, netns=wire.daemon)
        assert " 0% packet loss" in ping.stdout, address
    assert "FAILED" not in lab.run("ip", "-n", wire.daemon, "neigh", "show", "dev", "tap0").stdout
    v4 = traffic(("--udp", f"10.126.0.2:{PORT}"), "four", netns=wire.daemon, rate=2000, packets=2000).report()
    v6 = traffic(("--udp", f"[fd00:126::2]:{PORT}"), "six", netns=wire.daemon, rate=2000, packets=2000).report()
    with in_netns_socket(wire.daemon) as s:  # not our port
        s.sendto(b"a:1|c", ("10.126.0.2", 9))
    ledger = daemon.stop()
    assert_balanced(ledger)
    port = source(ledger, "tap0/0")
    assert port["dispatched"] == v4["packets"] + v6["packets"]
    assert port["replies"] >= 12  # an ARP, a solicitation, ten echoes
    assert port["not_ours"] >= port["replies"] + 1
    assert_sums(daemon, v4, v6)


def in_netns_socket(netns):
    """A UDP socket that lives in `netns`; the calling thread is back in its own afterwards."""
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{netns}") as away:
        os_setns(away.fileno())
        try:
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        finally:
            os_setns(home.fileno())


def os_setns(fd):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def test_one_bad_port_does_not_stop_the_others(penstockd, config, traffic, wire):
    ours = af_xdp(wire)
    ours["ports"].append({"name": "bad", "device": "net_af_xdp1,iface=nosuch0", "udp_ports": [PORT]})
    ours["cores"] = {"control": 0, "data": [0, 1]}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    report = traffic(("--udp", f"{wire.address}:{PORT}"), "x", netns=wire.outside, rate=2000, packets=1000).report()
    assert "nosuch0" in str(daemon.status())
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)
