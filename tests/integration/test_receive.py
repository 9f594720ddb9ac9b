"""What the receive side makes of a network as it is: VLANs, fragments, several queues, jumbo frames, a link
that flaps, clients that come and go. Every sender is the kernel's, and what it really sent is compared with
the ledger."""

import itertools
import json
import os
import re
import subprocess
import sys

import lab
import pytest
from conftest import assert_balanced, assert_sums, source
from test_ports import PORT, af_xdp
from test_wire import checksum, ethernet, mac, udp, v4

TWO_CORES = {"control": 0, "data": [0, 1] if os.cpu_count() < 3 else [1, 2]}
BIG = {"packet_bytes": 8000, "lines_per_packet": 400}


def tap(**port):
    """net_tap: the kernel's end of the tap is the host on the other end of the wire."""
    return {"ports": [{"name": "tap0", "device": "net_tap0,iface=tap0", "udp_ports": [PORT], "own": "all",
                       "addresses": ["10.126.0.2", "fd00:126::2"], **port}]}


def plug_tap(netns):
    lab.run("ip", "-n", netns, "addr", "add", "10.126.0.1/24", "dev", "tap0")
    lab.run("ip", "-n", netns, "addr", "add", "fd00:126::1/64", "dev", "tap0", "nodad")
    lab.run("ip", "-n", netns, "link", "set", "tap0", "up")


def targets(wire):
    return [("--udp", f"{wire.address}:{PORT}"), ("--udp", f"[{wire.address6}]:{PORT}")]


def link(netns, interface):
    return json.loads(lab.run("ip", "-n", netns, "-s", "-d", "-j", "link", "show", interface).stdout)[0]


def assert_fragments_joined(port, datagrams):
    """Each datagram of 8000 bytes came in six frames, a last and shorter one in fewer, and none is left over."""
    assert port["dispatched"] == datagrams
    assert 4.9 * datagrams < port["fragments_joined"] <= 5 * datagrams
    assert port["fragments_waiting"] == port["fragments_full"] == port["malformed_fragment"] == 0


@pytest.mark.parametrize("own", ["udp", "all"])
def test_fragmented_datagrams_over_af_xdp(penstockd, config, traffic, wire, own):
    daemon = penstockd(config(af_xdp(wire, own=own, addresses=[wire.address, wire.address6])), netns=wire.daemon).start()

    def unseen():
        """Frames that the peer sent and the port did not get, or not yet."""
        sent = link(wire.outside, wire.peer)["stats64"]["tx"]["packets"]
        return sent - daemon.ledger()["packets"]["offered"]

    before = lab.settled(unseen, 5)
    reports = [traffic(target, f"f{i}", netns=wire.outside, rate=500, packets=500, **BIG).report()
               for i, target in enumerate(targets(wire))]
    lab.run("ping", "-q", "-c", 3, "-i", 0.1, "-W", 2, wire.address, netns=wire.outside)
    # With `udp` the kernel keeps its own fragments.
    lab.run("ping", "-q", "-c", 3, "-i", 0.1, "-s", 1400 if own == "all" else 4000, "-W", 2, wire.address, netns=wire.outside)
    if own == "all":
        assert lab.settled(unseen, 5) == before
    assert "xdp" in link(wire.daemon, wire.interface)
    ledger = daemon.stop()
    assert "xdp" not in link(wire.daemon, wire.interface)
    assert_balanced(ledger)
    assert_fragments_joined(source(ledger, "wire0/0"), 1000)
    assert_sums(daemon, *reports)


def test_fragmented_datagrams_on_a_whole_port(penstockd, config, traffic, wire):
    daemon = penstockd(config(tap()), netns=wire.daemon).start()
    plug_tap(wire.daemon)
    reports = [traffic(("--udp", f"{host}:{PORT}"), name, netns=wire.daemon, rate=500, packets=300, **BIG).report()
               for name, host in (("four", "10.126.0.2"), ("six", "[fd00:126::2]"))]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert_fragments_joined(source(ledger, "tap0/0"), 600)
    assert_sums(daemon, *reports)


SEND_PIECES = """
import json, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for frame in json.load(sys.stdin): s.send(bytes.fromhex(frame))
"""


def test_fragments_that_never_make_a_datagram(penstockd, config, wire):
    """First pieces without a second: a bounded number waits for a second, and all are in the ledger."""
    limit = 64
    ours = {**af_xdp(wire, own="all", addresses=[wire.address]), "limits": {"fragments": limit}}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    ends = bytes.fromhex(mac(wire.daemon, wire.interface) + mac(wire.outside, wire.peer))
    frames = []
    for number in range(300):
        packet = bytearray(v4(udp(b"x" * 8), fragment=0x2000))
        packet[4:6] = number.to_bytes(2, "big")
        packet[10:12] = b"\0\0"
        packet[10:12] = checksum(bytes(packet[:20])).to_bytes(2, "big")
        frames.append((ends + ethernet(bytes(packet))).hex())
    send = ("-c", SEND_PIECES, wire.peer)
    lab.run(sys.executable, *send, netns=wire.outside, stdin=json.dumps(frames))

    def port():
        return source(daemon.ledger(), "wire0/0")

    lab.wait_until(lambda: port()["fragments_full"] + port()["malformed_fragment"] + port()["fragments_waiting"] == 300,
                   5, "all of them received")
    assert port()["fragments_full"] >= 300 - limit - 64  # those that came while others waited
    assert daemon.ledger()["bounds"]["fragments"] == port()["fragments_full"]
    assert_balanced(daemon.ledger())
    lab.wait_until(lambda: port()["fragments_waiting"] == 0, 5, "those that wait given up")
    lab.run(sys.executable, *send, netns=wire.outside, stdin=json.dumps(frames[:10]))
    lab.wait_until(lambda: port()["fragments_waiting"] == 10, 5, "ten waiting")
    ledger = daemon.stop()  # at once
    assert_balanced(ledger)
    last = source(ledger, "wire0/0")
    assert last["fragments_waiting"] == 0
    assert last["fragments_full"] + last["malformed_fragment"] == 310


# A kernel interface `mq0` of two queues, whose other end this script is: it sends each (queue, frame) of a
# line of JSON.
TWO_QUEUES = """
import fcntl, json, os, struct, subprocess, sys
queues = [os.open("/dev/net/tun", os.O_RDWR) for _ in range(2)]
TUNSETIFF, TAP, NO_PI, MULTI_QUEUE = 0x400454ca, 0x2, 0x1000, 0x100
for q in queues: fcntl.ioctl(q, TUNSETIFF, struct.pack("16sH22x", b"mq0", TAP | NO_PI | MULTI_QUEUE))
subprocess.run(["ip", "link", "set", "mq0", "up"], check=True)
print("up", flush=True)
for line in sys.stdin:
    for queue, frame in json.loads(line): os.write(queues[queue], bytes.fromhex(frame))
    print("sent", flush=True)
"""


@pytest.fixture
def two_queues(wire):
    """A function that sends (queue, frame from the EtherType on) to `mq0` in the daemon's namespace. A veth
    has as many queues, but does not tell net_af_xdp."""
    process = subprocess.Popen(lab.in_netns(wire.daemon, [sys.executable, "-c", TWO_QUEUES]),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    ends = link(wire.daemon, "mq0")["address"].replace(":", "") + "020000000001"

    def send(frames):
        process.stdin.write(json.dumps([(queue, ends + frame.hex()) for queue, frame in frames]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "sent\n"

    yield send
    process.kill()
    process.communicate()


def test_two_queues_of_af_xdp(penstockd, config, wire, two_queues):
    """Each queue has its socket, its loop and its table of fragments; the kernel keeps what is not ours."""
    ours = {"ports": [{"name": "mq", "device": "net_af_xdp0,iface=mq0", "queues": 2, "udp_ports": [PORT]}],
            "cores": TWO_CORES, "wiring": "inline"}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    text = daemon.status()["ports"][0]["text"]
    assert "2 queues" in text and "flow rules: " in text, text
    datagram = udp(b"x:1|c" + b" " * 100)
    first, last = (bytearray(v4(part, fragment=field)) for part, field in ((datagram[:56], 0x2000), (datagram[56:], 7)))
    plain, alien = ethernet(v4(udp(b"two.queues:1|c"))), ethernet(v4(udp(port=9)))
    two_queues([(0, plain)] * 300 + [(1, plain)] * 200 + [(0, alien)] * 50 + [(1, alien)] * 50)
    two_queues([(1, ethernet(bytes(first))), (1, ethernet(bytes(last)))])
    # In another queue than the first, the rest has nothing to join.
    two_queues([(0, ethernet(bytes(first))), (1, ethernet(bytes(last)))])
    lab.wait_until(lambda: source(daemon.ledger(), "mq/1")["fragments_waiting"] == 1, 5, "the last frame")
    ledger = daemon.stop()
    assert_balanced(ledger)
    queues = [source(ledger, f"mq/{n}") for n in (0, 1)]
    assert [q["dispatched"] for q in queues] == [300, 201]
    assert [q["fragments_joined"] for q in queues] == [0, 1]
    assert [q["malformed_fragment"] for q in queues] == [1, 1]
    assert [q["not_ours"] for q in queues] == [0, 0]
    assert daemon.counter_sums()["two.queues"] == 500


def test_two_queues_of_a_tap(penstockd, config, traffic, wire):
    ours = {**tap(queues=2, promiscuous=True), "cores": TWO_CORES, "wiring": "inline"}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    plug_tap(wire.daemon)
    assert link(wire.daemon, "tap0")["promiscuity"] >= 1
    text = daemon.status()["ports"][0]["text"]
    assert "promiscuous" in text and ("steered by the NIC" in text or "found by software" in text), text
    report = traffic(("--udp", f"10.126.0.2:{PORT}"), "x", netns=wire.daemon, rate=2000, packets=3000, flows=64).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    queues = [source(ledger, f"tap0/{n}") for n in (0, 1)]
    assert sum(q["dispatched"] for q in queues) == 3000
    assert all(q["dispatched"] for q in queues), queues
    assert_sums(daemon, report)


def test_jumbo_frames(penstockd, config, traffic, wire):
    """net_pcap on an interface of the kernel, the one virtual driver without a limit of its own."""
    for netns, interface in ((wire.daemon, wire.interface), (wire.outside, wire.peer)):
        lab.run("ip", "-n", netns, "link", "set", interface, "mtu", 9000)
    ours = {"ports": [{"name": "big0", "udp_ports": [PORT], "addresses": ["10.125.0.77"], "mtu": 9000,
                       "device": f"net_pcap0,rx_iface_in={wire.interface},tx_iface={wire.interface}"}]}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    report = traffic(("--udp", f"10.125.0.77:{PORT}"), "j", netns=wire.outside, rate=50, packets=20, **BIG).report()
    # libpcap hands frames over in blocks, at its own time.
    lab.wait_until(lambda: source(daemon.ledger(), "big0/0")["dispatched"] == 20, 10, "all of it received")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "big0/0")["fragments_joined"] == 0
    assert_sums(daemon, report)


def test_an_mtu_beyond_the_driver_is_refused(penstockd, config, wire):
    ours = af_xdp(wire, mtu=9000)
    ours["ports"] += tap(mtu=9000)["ports"]
    daemon = penstockd(config({**ours, "cores": TWO_CORES}), netns=wire.daemon).start()
    for state in daemon.status()["ports"]:
        assert not state["up"]
        assert "MTU 9000" in state["text"] and "lower penstock.ports.mtu" in state["text"], state


# Prints every ARP packet and every ICMPv6 message that comes in, in hex.
CAPTURE = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind((sys.argv[1], 3))
print("up", flush=True)
while True:
    try: f = s.recv(2000)
    except OSError: continue  # the link went down
    if f[12:14] == b"\\x08\\x06" or (f[12:14] == b"\\x86\\xdd" and f[20] == 58): print(f.hex(), flush=True)
"""


@pytest.fixture
def captured(wire, folder):
    """A function: what came in at the peer so far."""
    with open(folder / "capture", "w") as out:
        process = subprocess.Popen(lab.in_netns(wire.outside, [sys.executable, "-c", CAPTURE, wire.peer]), stdout=out)
    lab.wait_until(lambda: (folder / "capture").read_text(), 5, "the capture runs")
    yield lambda: (folder / "capture").read_text().splitlines()[1:]
    process.kill()
    process.wait()


def test_a_flapping_link_is_shown_and_the_addresses_announced(penstockd, config, traffic, wire, captured):
    """A whole AF_XDP port: at each link-up it tells its neighbours, twice, where its addresses are."""
    address, address6 = "10.125.0.77", "fd00:125::77"
    daemon = penstockd(config(af_xdp(wire, own="all", addresses=[address, address6])), netns=wire.daemon).start()
    # An ARP request from and for our address; an advertisement of it to all nodes.
    wanted = [re.compile("f{12}.{12}0806" "0001080006040001.{12}0a7d004d0{12}0a7d004d"),
              re.compile("333300000001.{12}86dd.{16}" "fd000125000000000000000000000077ff020{27}188")]

    def announced():
        return min(sum(bool(w.match(frame)) for frame in captured()) for w in wanted)

    lab.wait_until(lambda: announced() == 2, 10, "addresses announced at the start")
    for _ in range(2):
        before = announced()
        lab.run("ip", "-n", wire.outside, "link", "set", wire.peer, "down")
        lab.wait_until(lambda: not daemon.status()["ports"][0]["link"], 5, "link down")
        lab.run("ip", "-n", wire.outside, "link", "set", wire.peer, "up")
        lab.wait_until(lambda: daemon.status()["ports"][0]["link"], 5, "link up")
        lab.wait_until(lambda: announced() >= before + 2, 10, "addresses announced")
    lab.run("ip", "-n", wire.outside, "addr", "add", "fd00:125::1/64", "dev", wire.peer, "nodad", check=False)
    for target in (address, address6):
        lab.run("ping", "-q", "-c", 3, "-i", 0.1, "-W", 5, target, netns=wire.outside)
    reports = [traffic(("--udp", f"{host}:{PORT}"), name, netns=wire.outside, rate=2000, packets=1000).report()
               for name, host in (("four", address), ("six", f"[{address6}]"))]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "wire0/0")["dispatched"] == 2000
    assert_sums(daemon, *reports)


CHURN = """
import socket, sys
for port in range(20000, 20000 + int(sys.argv[2])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", port))
    s.sendto(b"churn:1|c|#a:b", (sys.argv[1], 8125)); s.close()
"""


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_ten_thousand_clients_leave_no_trace(penstockd, config, wire):
    daemon = penstockd(config(af_xdp(wire)), netns=wire.daemon).start()

    def churn(clients):
        lab.run(sys.executable, "-c", CHURN, wire.address, clients, netns=wire.outside)
        port = source(daemon.ledger(), "wire0/0")
        return port["received"] + port["missed"] + port["no_buffer"]

    lab.wait_until(lambda: churn(2000) >= 2000, 10, "the first clients")
    resident = [rss_kib(daemon.data_plane_pid())]
    for _ in range(3):
        churn(10000)
        resident.append(rss_kib(daemon.data_plane_pid()))
    ledger = daemon.stop()
    assert_balanced(ledger)
    offered = ledger["packets"]["offered"]
    assert offered >= 32000 and offered % 2000 == 0, ledger["packets"]
    port = source(ledger, "wire0/0")
    assert port["dispatched"] + port["missed"] + port["no_buffer"] == offered
    # A trace would be there each time; where an interval ends, tables are used for the first time.
    assert min(after - before for before, after in itertools.pairwise(resident)) < 512, resident
    lost = offered - port["dispatched"]
    assert daemon.counter_sums()["churn"] == offered - lost
