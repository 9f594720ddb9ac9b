"""Packet forwarding: every packet of every source, byte for byte, and never at the expense of receiving."""

import itertools
import os
import socket
import threading

import lab
import pytest
from conftest import IO_BUFFERS, assert_balanced, assert_sums, send_uds, udp, uds
from test_ports import PORT, af_xdp, in_netns_socket
from test_stream import frame

SO_RCVBUFFORCE = 33  # Python has no name for it

# Good, bad and odd, each told apart from the others.
PAYLOADS = [b"a:1|c", b"", b"no line \x00\xff", b"b:1|c\nb:2|g\n", b"\n", b"x" * 8192, b"_e{1,1}:t|x", b"c:3|c|#k:v"]


class Receiver:
    """A forward target: a UDP socket that keeps what it gets. Waits at `address`:`port`."""

    def __init__(self, address="127.0.0.1", netns=None, port=0):
        self.socket = in_netns_socket(netns) if netns else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.socket.bind((address, port))
        self.address, self.port = self.socket.getsockname()
        self.name = f"{self.address}:{self.port}"
        self.got, self.done, self.patience = [], False, 0.05
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    def _receive(self):
        while True:
            self.socket.settimeout(self.patience)
            try:
                self.got.append(self.socket.recv(65536))
            except (TimeoutError, BlockingIOError):
                if self.done:
                    return

    def close(self, patience=0.05):
        """What came, and comes until for `patience` seconds nothing more does."""
        self.done, self.patience = True, patience
        self.thread.join()
        self.socket.close()
        return self.got


@pytest.fixture
def receiver():
    made = []

    def make(*args, **options):
        made.append(Receiver(*args, **options))
        return made[-1]

    yield make
    for each in made:
        if not each.done:
            each.close()


def to(*targets, **more):
    return {"forward": {"targets": [t if isinstance(t, str) else t.name for t in targets], **more}}


def target(ledger, name):
    """The counters of one target of a ledger."""
    return next(t for t in ledger["forward"] if t["name"] == getattr(name, "name", name))


def offered(ledger):
    return ledger["packets"]["dispatched"] + ledger["packets"]["ring_full"]


def send_udp(address, payloads, netns=None):
    with (in_netns_socket(netns) if netns else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.connect(address)
        for payload in payloads:
            s.send(payload)


def test_kernel_sockets_byte_for_byte_to_several_targets(penstockd, config, receiver):
    first, second = receiver(), receiver()
    c = config(to(second), statsd_forward_host="127.0.0.1", statsd_forward_port=first.port)
    daemon = penstockd(c).start()
    send_udp(("127.0.0.1", c["dogstatsd_port"]), [*PAYLOADS, b"y" * 8193])
    send_uds(c, *PAYLOADS, b"y" * 8193)
    lab.wait_until(lambda: daemon.ledger()["packets"]["truncated"] == 2, 10, "the last of each")
    ledger = daemon.stop()
    assert_balanced(ledger)
    for each in (first, second):
        assert sorted(each.close()) == sorted(2 * PAYLOADS)
        t = target(ledger, each)
        assert t["sent"] == t["offered"] == t["datagrams"] == offered(ledger) == 2 * len(PAYLOADS)
        assert t["bytes"] == 2 * sum(map(len, PAYLOADS))


def test_streams_and_pipes_byte_for_byte(penstockd, config, receiver, folder):
    t = receiver()
    c = config(to(t), dogstatsd_stream_socket=str(folder / "stream"), dogstatsd_pipe_name=str(folder / "pipe"))
    daemon = penstockd(c).start()
    frames = [p for p in PAYLOADS if p]  # an empty one ends its connection
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(c["dogstatsd_stream_socket"])
        s.sendall(b"".join(map(frame, frames)))
    lines = b"p:1|c\nnonsense\n"
    with open(c["dogstatsd_pipe_name"], "wb", buffering=0) as pipe:
        pipe.write(lines)
    lab.wait_until(lambda: offered(daemon.ledger()) == len(frames) + 1, 10, "all received")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert sorted(t.close()) == sorted([*frames, lines])
    assert target(ledger, t)["sent"] == len(frames) + 1


@pytest.mark.parametrize("wiring, listeners", [("inline", False), ("pipeline", True)])
def test_ports_byte_for_byte(penstockd, config, traffic, wire, receiver, wiring, listeners):
    """The target is beyond the very interface that the packets come from."""
    outside = receiver(wire.peer_address, netns=wire.outside)
    ours = {**af_xdp(wire), **to(outside), "wiring": wiring}
    if wiring == "pipeline":
        ours["cores"] = {"control": 0, "data": [0, 1] if os.cpu_count() < 3 else [1, 2]}
    c = config(ours) if listeners else config(ours, dogstatsd_port=0, dogstatsd_socket="")
    daemon = penstockd(c, netns=wire.daemon).start()
    short = [p for p in PAYLOADS if len(p) < 1400]
    send_udp((wire.address, PORT), short, netns=wire.outside)
    if listeners:
        send_uds(c, *PAYLOADS)
    lab.wait_until(lambda: offered(daemon.ledger()) >= len(short), 10, "all received")
    report = traffic(("--udp", f"{wire.address}:{PORT}"), "x", netns=wire.outside, rate=4000, packets=8000).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert_sums(daemon, report)
    got = outside.close()
    by_hand = short + (PAYLOADS if listeners else [])
    assert sorted(g for g in got if not g.startswith(b"x.")) == sorted(by_hand)
    assert len(got) == report["packets"] + len(by_hand)
    assert target(ledger, outside)["sent"] == offered(ledger) == len(got)


def test_two_in_a_row_have_the_same_sums(penstockd, config, traffic):
    second_config = config(dogstatsd_socket="", dogstatsd_so_rcvbuf=16 << 20)
    second = penstockd(second_config).start()
    name = f"127.0.0.1:{second_config['dogstatsd_port']}"
    c = config(to(name))
    first = penstockd(c).start()
    running = [traffic(udp(c), "u", rate=2000, packets=6000), traffic(uds(c), "s", rate=2000, packets=6000)]
    reports = [t.report() for t in running]
    ledger = first.stop()
    second_ledger = second.stop()
    for each in (ledger, second_ledger):
        assert_balanced(each)
    assert target(ledger, name)["sent"] == second_ledger["packets"]["dispatched"] == sum(r["packets"] for r in reports)
    assert_sums(first, *reports)
    assert_sums(second, *reports)


def test_joined_packets_have_the_same_sums(penstockd, config, traffic):
    second_config = config(dogstatsd_socket="", dogstatsd_so_rcvbuf=16 << 20)
    second = penstockd(second_config).start()
    name = f"127.0.0.1:{second_config['dogstatsd_port']}"
    c = config(to(name, batch=True))
    first = penstockd(c).start()
    report = traffic(uds(c), "s", profile="small", packets=20000).report()
    ledger, second_ledger = first.stop(), second.stop()
    assert_balanced(ledger)
    assert_balanced(second_ledger)
    t = target(ledger, name)
    assert t["sent"] == report["packets"] and t["datagrams"] < t["sent"]
    assert second_ledger["packets"]["offered"] == t["datagrams"]
    assert second_ledger["packets"]["missed"] == 0
    assert_sums(first, report)
    assert_sums(second, report)


def test_a_target_that_goes_and_comes_back(penstockd, config, traffic, receiver):
    gone = receiver()
    c = config(to(gone))
    daemon = penstockd(c).start()
    running = traffic(uds(c), "s", rate=3000, seconds=4)
    lab.wait_until(lambda: len(gone.got) > 100, 10, "packets at the target")
    before = gone.close(patience=0)
    lab.wait_until(lambda: target(daemon.ledger(), gone)["errors"] > 100, 10, "errors")
    assert daemon.status()["forward"][0]["last_error"] == "Connection refused"
    assert daemon.status()["state"] == "running", "receiving is well"
    back = receiver(port=gone.port)
    lab.wait_until(lambda: len(back.got) > 100, 10, "packets at the target again")
    report = running.report()
    ledger = daemon.stop()
    after = back.close()
    assert_balanced(ledger)
    assert_sums(daemon, report)
    t = target(ledger, gone)
    assert t["offered"] == report["packets"]
    # Of what was sent, each datagram to the closed port made the next one an error; a few came between the last look
    # at the socket and its end.
    assert len(before) + len(after) <= t["sent"] <= len(before) + len(after) + t["errors"] + 50


def test_a_slow_link_to_a_target_slows_nobody(penstockd, config, traffic, wire, receiver):
    """A shaper in the way fills the socket: what does not fit is given up and counted."""
    slow, near = receiver(wire.peer_address, netns=wire.outside), receiver(netns=wire.daemon)
    shaped = lab.run("tc", "-n", wire.daemon, "qdisc", "add", "dev", wire.interface, "root", "tbf", "rate", "2mbit",
                     "burst", "4kb", "limit", "4mb", check=False)
    if shaped.returncode != 0:
        pytest.skip(f"this kernel has no shaper: {shaped.stderr.strip()}")
    c = config({**to(slow, near, queue=256), "limits": {"io_buffers": 256}})
    daemon = penstockd(c, netns=wire.daemon).start()
    report = traffic(uds(c), "s", rate=4000, seconds=2).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert_sums(daemon, report)
    assert target(ledger, slow)["queue_full"] > 0
    assert target(ledger, near)["sent"] == report["packets"] == len(near.close())


def test_what_cannot_be_a_target_is_off_and_the_rest_runs(penstockd, config, receiver):
    good = receiver()
    c = config()
    own = f"127.0.0.1:{c['dogstatsd_port']}"
    c["penstock"].update(to(own, "nosuch.invalid:8125", good))
    daemon = penstockd(c).start()
    send_uds(c, "a:1|c")
    lab.wait_until(lambda: good.got, 10, "the packet")
    status = daemon.status()
    assert [f["open"] for f in status["forward"]] == [False, False, True]
    reasons = "\n".join(status["reasons"])
    assert status["state"] == "degraded"
    assert f"{own} is our own listener udp: every packet would come back" in reasons
    assert "forward target nosuch.invalid:8125: the name does not resolve" in reasons
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert [t["name"] for t in ledger["forward"]] == [good.name]
    assert daemon.counter_sums() == {"a": 1}


def test_forwarding_goes_on_after_either_process_was_killed(penstockd, config, traffic, receiver):
    c_target = receiver()
    c = config(to(c_target))
    daemon = penstockd(c).start()
    running = traffic(uds(c), "s", rate=3000, seconds=5)
    counts = itertools.count(1)

    def more_arrives():
        have = len(c_target.got)
        lab.wait_until(lambda: len(c_target.got) > have + 500, 10, f"packets at the target, time {next(counts)}")

    more_arrives()
    daemon.kill9()
    more_arrives()
    daemon.start()
    assert daemon.status()["forward"][0]["open"], daemon.status()
    daemon.kill9_data_plane()  # the next one gets a socket of its own
    more_arrives()
    report = running.report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    t = target(ledger, c_target)
    assert t["sent"] == len(c_target.close())
    assert t["offered"] == ledger["packets"]["dispatched"]
    # What the kernel had put into buffers of the killed data plane is in no counter (docs/operating.md).
    assert report["packets"] - IO_BUFFERS <= t["offered"] <= report["packets"]


def test_a_forward_target_named_wrong_names_line_and_remedy(folder):
    path = folder / "bad.yaml"
    path.write_text("hostname: x\npenstock:\n  forward:\n    targets: [nowhere]\n    quue: 5\n")
    done = lab.run(lab.PENSTOCKD, "--config", path, "--check", check=False)
    assert done.returncode == 2
    assert 'bad.yaml:4: penstock.forward.targets = "nowhere": must be "host:port"' in done.stderr
    assert 'bad.yaml:5: penstock.forward.quue: unknown key; did you mean "queue"?' in done.stderr
