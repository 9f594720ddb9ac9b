"""An AF_XDP port whose wire turns on it: raw frames of every kind, a link that goes down, an interface
that vanishes, XDP programs of others."""

import json
import os
import signal
import socket
import struct
import sys

import lab
import pytest
from conftest import assert_balanced, assert_sums, source
from test_ports import PORT, af_xdp

PAYLOAD = b"raw.c:1|c"
V4, V6 = socket.AF_INET, socket.AF_INET6
SENDER, RECEIVER = {V4: "10.125.0.1", V6: "fd00:125::1"}, {V4: "10.125.0.2", V6: "fd00:125::2"}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def addresses(family):
    return socket.inet_pton(family, SENDER[family]) + socket.inet_pton(family, RECEIVER[family])


def udp(payload=PAYLOAD, family=V4, port=PORT, length=None, wrong=0, none=False):
    length, real = (8 + len(payload) if length is None else length), 8 + len(payload)
    header = struct.pack("!HHHH", 4000, port, length, 0)
    pseudo = addresses(family) + struct.pack("!IHBB", real, 0, 0, 17)  # the same sum for both families
    check = 0 if none else (checksum(pseudo + header + payload) or 0xffff) ^ wrong
    return header[:6] + struct.pack("!H", check) + payload


def v4(body, total=None, words=None, options=b"", fragment=0, protocol=17, version=4, wrong=0):
    words = 5 + len(options) // 4 if words is None else words
    total = 20 + len(options) + len(body) if total is None else total
    header = struct.pack("!BBHHHBBH", version << 4 | words, 0, total, 7, fragment, 64, protocol, 0)
    header += addresses(V4) + options
    return header[:10] + struct.pack("!H", checksum(header) ^ wrong) + header[12:] + body


def v6(body, length=None, protocol=17, version=6):
    length = len(body) if length is None else length
    return struct.pack("!IHBB", version << 28, length, protocol, 64) + addresses(V6) + body


IPV4, IPV6, ARP, VLAN, QINQ = 0x0800, 0x86dd, 0x0806, (0x8100, 5), (0x88a8, 6)


def ethernet(body, kind=IPV4, tags=()):
    """What follows the two addresses."""
    return b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + body


UDP6 = udp(family=V6)
# name: (frame from the EtherType on, the counter it ends in when the port is all ours, the same when
# only our UDP ports are: None where the kernel gets it)
FRAMES = {
    "plain": (ethernet(v4(udp())), "dispatched", "dispatched"),
    "no checksum": (ethernet(v4(udp(none=True))), "dispatched", "dispatched"),
    "options": (ethernet(v4(udp(), options=b"\1" * 8)), "dispatched", "dispatched"),
    "padding": (ethernet(v4(udp()) + b"\xaa" * 20), "dispatched", "dispatched"),
    "empty": (ethernet(v4(udp(b"")) + b"\0" * 18), "dispatched", "dispatched"),
    "garbage": (ethernet(v4(udp(bytes(range(256)) * 5))), "dispatched", "dispatched"),
    "vlan": (ethernet(v4(udp()), tags=[VLAN]), "dispatched", "dispatched"),
    "two vlans": (ethernet(v4(udp()), tags=[QINQ, VLAN]), "dispatched", "dispatched"),
    "three vlans": (ethernet(v4(udp()), tags=[QINQ, VLAN, VLAN]), "not_ours", None),
    "vlan cut short": (ethernet(b"", VLAN[0]), "malformed_ethernet", None),
    "ipv6": (ethernet(v6(UDP6), IPV6), "dispatched", "dispatched"),
    "ipv6 hop-by-hop": (ethernet(v6(b"\x11\0" + b"\0" * 6 + UDP6, protocol=0), IPV6), "dispatched", None),
    "ipv6 no checksum": (ethernet(v6(udp(family=V6, none=True)), IPV6), "malformed_checksum", "malformed_checksum"),
    "ipv6 wrong checksum": (ethernet(v6(udp(family=V6, wrong=1)), IPV6), "malformed_checksum", "malformed_checksum"),
    "ipv6 too long": (ethernet(v6(UDP6, length=2000), IPV6), "malformed_ipv6", "malformed_ipv6"),
    "ipv6 of length 0": (ethernet(v6(UDP6, length=0), IPV6), "malformed_udp", "malformed_udp"),
    "ipv6 that is not": (ethernet(v6(UDP6, version=4), IPV6), "malformed_ipv6", "malformed_ipv6"),
    "ipv6 fragment": (ethernet(v6(b"\x11\0\0\1" + b"\0" * 4 + UDP6, protocol=44), IPV6), "malformed_fragment", "malformed_fragment"),
    "another port": (ethernet(v4(udp(port=9999))), "not_ours", None),
    "wrong checksum": (ethernet(v4(udp(wrong=1))), "malformed_checksum", "malformed_checksum"),
    "wrong header checksum": (ethernet(v4(udp(), wrong=1)), "malformed_checksum", "malformed_checksum"),
    "udp length 7": (ethernet(v4(udp(length=7))), "malformed_udp", "malformed_udp"),
    "udp too long": (ethernet(v4(udp(length=1000))), "malformed_udp", "malformed_udp"),
    "udp cut short": (ethernet(v4(udp()[:5])), "malformed_udp", None),
    "ip too long": (ethernet(v4(udp(), total=1400)), "malformed_ipv4", "malformed_ipv4"),
    "ip too short": (ethernet(v4(udp(), total=10)), "malformed_ipv4", "malformed_ipv4"),
    "ip cut short": (ethernet(v4(udp())[:12]), "malformed_ipv4", None),
    "header too short": (ethernet(v4(udp(), words=4)), "malformed_ipv4", None),
    "header too long": (ethernet(v4(udp(), words=15)), "malformed_ipv4", None),
    "ip that is not": (ethernet(v4(udp(), version=5)), "malformed_ipv4", "malformed_ipv4"),
    "first fragment": (ethernet(v4(udp(), fragment=0x2000)), "malformed_fragment", "malformed_fragment"),
    "last fragment": (ethernet(v4(b"x" * 100, fragment=0x10)), "malformed_fragment", "malformed_fragment"),
    "tcp": (ethernet(v4(b"\0" * 20, protocol=6)), "not_ours", None),
    "arp cut short": (ethernet(b"\0\1\x08\0", ARP), "not_ours", None),
    "nothing": (ethernet(b""), "malformed_ipv4", None),
}

SEND_RAW = """
import json, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for frame in json.load(sys.stdin):
    for _ in range(3): s.send(bytes.fromhex(frame))
"""


def mac(netns, interface):
    return json.loads(lab.run("ip", "-n", netns, "-j", "link", "show", interface).stdout)[0]["address"].replace(":", "")


@pytest.mark.parametrize("own", ["udp", "all"])
def test_every_frame_is_in_its_counter(penstockd, config, wire, own):
    daemon = penstockd(config(af_xdp(wire, own=own)), netns=wire.daemon).start()
    ends = mac(wire.daemon, wire.interface) + mac(wire.outside, wire.peer)
    lab.run(sys.executable, "-c", SEND_RAW, wire.peer, netns=wire.outside,
            stdin=json.dumps([ends + frame.hex() for frame, _, _ in FRAMES.values()]))
    ledger = daemon.stop()
    assert_balanced(ledger)
    expected = {}
    for _, whole, ports_only in FRAMES.values():
        counter = whole if own == "all" else ports_only
        if counter:
            expected[counter] = expected.get(counter, 0) + 3
    if own == "all":
        del expected["not_ours"]  # the kernel outside has things to say, too
    port = source(ledger, "wire0/0")
    assert {name: port[name] for name in expected} == expected


def port_state(daemon):
    return daemon.status()["ports"][0]


def test_af_xdp_interface_goes_down_and_away(penstockd, config, traffic, wire):
    c = config(af_xdp(wire))
    daemon = penstockd(c, netns=wire.daemon).start()
    target = ("--udp", f"{wire.address}:{PORT}")
    link = ("ip", "-n", wire.daemon, "link", "set", wire.interface)
    lab.run(*link, "down")
    lab.wait_until(lambda: not port_state(daemon)["link"], 5, "link down")
    lab.run(*link, "up")
    lab.wait_until(lambda: port_state(daemon)["link"], 5, "link up")
    lab.run("ping", "-q", "-c", 1, "-W", 5, wire.address, netns=wire.outside)
    reports = [traffic(target, "a", netns=wire.outside, rate=2000, packets=2000).report()]

    lab.run("ip", "-n", wire.outside, "link", "del", wire.peer)
    lab.wait_until(lambda: not port_state(daemon)["up"], 5, "port down")
    assert "wire0 is gone" in port_state(daemon)["text"]
    assert daemon.status()["state"] == "degraded"
    reports.append(traffic(("--uds", c["dogstatsd_socket"]), "b", packets=2000).report())

    wire.plug()
    old = daemon.data_plane_pid()
    os.kill(old, signal.SIGTERM)
    lab.wait_until(lambda: daemon.data_plane_pid() not in (None, old), 20, "a new data plane")
    daemon.wait_ready()
    reports.append(traffic(target, "c", netns=wire.outside, rate=2000, packets=2000).report())
    assert_balanced(daemon.stop())
    assert_sums(daemon, *reports)


@pytest.fixture
def foreign_program(folder):
    """An XDP program that is not ours, as a path for `ip link set ... xdp obj`."""
    text = """__attribute__((section("xdp"), used)) int somebody(void* c) { return 2; }
              char _license[] __attribute__((section("license"))) = "GPL";"""
    lab.run("clang-14", "-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", folder / "foreign.o", stdin=text)
    return folder / "foreign.o"


def test_xdp_programs_of_others(penstockd, config, wire, foreign_program):
    link = ("ip", "-n", wire.daemon, "link", "set", wire.interface, "xdpdrv")
    lab.run(*link, "obj", foreign_program, "sec", "xdp")
    first = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()
    state = port_state(first)
    assert not state["up"]
    assert '"somebody"' in state["text"] and "ip link set wire0 xdp off" in state["text"]
    first.stop()
    assert "somebody" in lab.run("ip", "-n", wire.daemon, "link", "show", wire.interface).stdout

    lab.run(*link, "off")
    second = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()
    assert port_state(second)["up"]
    lab.run(*link, "off")
    lab.wait_until(lambda: not port_state(second)["up"], 5, "its program is missed")
    assert "took our XDP program off" in port_state(second)["text"]
