"""Packet buffers that run out: what is lost is named by the driver's own counter or by a bound, everything else goes
on, and the port recovers by itself."""

import struct

import lab
import pytest
from conftest import assert_balanced, assert_sums, source, uds
from test_forward import Receiver, target, to
from test_overload import TWO
from test_ports import PORT, af_xdp
from test_receive import link
from test_wire import checksum, ethernet, v4

PIPELINE = {"wiring": "pipeline", "cores": {"control": 0, "data": TWO}}
ENDS = b"\2\0\0\0\0\2\2\0\0\0\0\1"  # of a frame: to, from


def pcap_port(path, more="", **port):
    return {"ports": [{"name": "p", "device": f"net_pcap0,rx_pcap={path}{more}", "udp_ports": [PORT], **port}]}


def generate(path, **options):
    return lab.Traffic(("--pcap", path), "p", **options).start().report()


def append(path, frames):
    with path.open("ab") as f:
        for frame in frames:
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def test_the_kernel_has_no_frames_left_for_an_af_xdp_port(penstockd, config, traffic, wire):
    """net_af_xdp leaves 2048 frames with the kernel. With as many descriptors those run out before the ring does."""
    c = config(af_xdp(wire, descriptors=2048))
    daemon = penstockd(c, netns=wire.daemon).start()
    address = ("--udp", f"{wire.address}:{PORT}")

    def port():
        return source(daemon.ledger(), "wire0/0")

    def on_the_wire():
        return link(wire.outside, wire.peer)["stats64"]["tx"]["dropped"]

    before = on_the_wire()
    flood = [traffic(address, f"f{i}", netns=wire.outside, seconds=1) for i in range(6)]
    other = traffic(uds(c), "other", rate=2000, packets=2000).report()
    sent = sum(f.report()["packets"] for f in flood) - (on_the_wire() - before)

    def lost():
        return port()["no_buffer"] + port()["missed"]

    lab.wait_until(lambda: port()["received"] + lost() == sent, 10, "all of it accounted for")
    lost_in_flood = lost()
    assert port()["no_buffer"] > 0
    after = traffic(address, "after", netns=wire.outside, rate=1000, packets=1000).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["packets"]["missed"] + ledger["packets"]["no_buffer"] == lost_in_flood, "it has recovered"
    assert ledger["packets"]["offered"] == sent + other["packets"] + after["packets"]
    assert_sums(daemon, other, after)


def test_a_pool_that_the_driver_has_nearly_emptied(penstockd, config, traffic, folder):
    """net_pcap keeps a capture in the port's own buffers: fewer are left than the ring has slots, so that the pool is
    empty before the ring is full. The port waits for buffers to come home; nothing is lost."""
    few, limits = folder / "few.pcap", {"ring_slots": 4096, "fragments": 16}
    generate(few, packets=4400)
    c = config({**pcap_port(few, ",infinite_rx=1", descriptors=64), **PIPELINE, "limits": limits})
    daemon = penstockd(c).start()
    other = traffic(uds(c), "other", rate=2000, packets=2000).report()
    before = daemon.ledger()["packets"]["dispatched"]
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > before + 100_000, 20, "packets go on")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert_sums(daemon, other)
    assert source(ledger, "p/0")["received"] == source(ledger, "p/0")["dispatched"], "no bound but the pool was met"


def piece(number, body, offset, more):
    """A frame with a fragment of datagram `number`."""
    packet = bytearray(v4(body, fragment=(0x2000 if more else 0) | offset // 8))
    packet[4:6] = number.to_bytes(2, "big")
    packet[10:12] = b"\0\0"
    packet[10:12] = checksum(bytes(packet[:20])).to_bytes(2, "big")
    return ENDS + ethernet(bytes(packet))


def fragmented(number, lines):
    """The frames of a datagram of `lines` lines, without a checksum."""
    payload = b"\n".join(b"joined:1|c|#a:%d" % n for n in range(lines))
    body = struct.pack("!HHHH", 4000, PORT, 8 + len(payload), 0) + payload
    starts = range(0, len(body), 1400)
    return [piece(number, body[at:at + 1400], at, at + 1400 < len(body)) for at in starts]


def test_every_loan_of_buffers_at_once_leaves_some(penstockd, config, traffic, wire, folder):
    """A full ring, a target that takes nothing, pieces that wait and datagrams that were joined: each bound is met and
    counted, and as the pools are the sum of the bounds, no packet is lost for want of a buffer."""
    shaped = lab.run("tc", "-n", wire.daemon, "qdisc", "add", "dev", wire.interface, "root", "tbf", "rate", "2mbit",
                     "burst", "4kb", "limit", "4mb", check=False)
    if shaped.returncode != 0:
        pytest.skip(f"this kernel has no shaper: {shaped.stderr.strip()}")
    slow = Receiver(wire.peer_address, netns=wire.outside)
    flood = folder / "flood.pcap"
    generate(flood, packets=200)
    joined = [frame for number in range(400) for frame in fragmented(number, 300)]
    alone = [fragmented(1000 + number, 300)[0] for number in range(200)]
    append(flood, [*joined, *alone])
    generate(folder / "rest.pcap", packets=30_000, contexts=100_000)  # new to the shard: it falls behind
    with flood.open("ab") as f:
        f.write((folder / "rest.pcap").read_bytes()[24:])
    limits = {"ring_slots": 2048, "fragments": 64}
    c = config({**pcap_port(flood, descriptors=64), **PIPELINE, **to(slow, queue=2048), "limits": limits})
    daemon = penstockd(c, netns=wire.daemon).start()
    offered = 30_200 + len(joined) + len(alone)
    lab.wait_until(lambda: daemon.ledger()["packets"]["offered"] == offered, 20, "the whole capture")
    other = traffic(uds(c), "other", packets=2000).report()
    lab.wait_until(lambda: source(daemon.ledger(), "p/0")["fragments_waiting"] == 0, 5, "pieces given up")
    ledger = daemon.stop()
    slow.close(patience=0)
    assert_balanced(ledger)
    port = source(ledger, "p/0")
    assert port["received"] == offered and port["no_buffer"] == port["missed"] == 0
    for bound in ("ring_full", "fragments_full", "malformed_fragment", "forward_full"):
        assert port[bound] > 0, bound
    assert port["fragments_joined"] > 0 and target(ledger, slow)["queue_full"] > 0
    assert_sums(daemon, other)
