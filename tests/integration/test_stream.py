"""Unix streams and named pipes: framing, limits, what happens at an end."""

import os
import resource
import select
import signal
import socket
import stat
import struct
import threading
import time

import lab
import pytest
from conftest import assert_balanced, assert_sums, source


@pytest.fixture
def stream(config, folder):
    """A configuration with a stream socket and nothing else."""
    def make(ours=None, **top):
        return config(ours, **{"dogstatsd_port": 0, "dogstatsd_socket": "",
                               "dogstatsd_stream_socket": str(folder / "stream.socket"), **top})
    return make


@pytest.fixture
def pipe(config, folder):
    """A configuration with a pipe and nothing else."""
    def make(ours=None, **top):
        return config(ours, **{"dogstatsd_port": 0, "dogstatsd_socket": "",
                               "dogstatsd_pipe_name": str(folder / "pipe"), **top})
    return make


def frame(payload):
    payload = payload.encode() if isinstance(payload, str) else payload
    return struct.pack("<I", len(payload)) + payload


def connect(config):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(config["dogstatsd_stream_socket"])
    return s


def is_closed(client):
    client.settimeout(10)
    return client.recv(1) == b""


def received(daemon, name="uds-unix"):
    return source(daemon.ledger(), name)["received"]


def kill_data_plane(daemon):
    """kill -9; returns as soon as it is gone, most likely before there is another."""
    old = daemon.data_plane_pid()
    os.kill(old, signal.SIGKILL)
    lab.wait_until(lambda: not lab.is_data_plane(old), 10, "its end")


def wait_received(daemon, count, name="uds-unix"):
    lab.wait_until(lambda: received(daemon, name) >= count, 20, f"{count} packets")


def test_stream_sums_are_exact(penstockd, stream, traffic):
    c = stream()
    daemon = penstockd(c).start()
    target = ("--uds-stream", c["dogstatsd_stream_socket"])
    reports = [traffic(target, "typical", packets=50000, flows=8).report(),
               traffic(target, "small", packets=100000, flows=3, profile="small").report()]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "uds-unix")["received"] == 150000 == ledger["packets"]["dispatched"]
    assert source(ledger, "uds-unix")["connections"] == 11 == source(ledger, "uds-unix")["connections_closed"]
    assert_sums(daemon, *reports)


def test_the_socket_has_the_agents_mode(penstockd, stream):
    c = stream()
    penstockd(c).start()
    mode = os.stat(c["dogstatsd_stream_socket"]).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o722


def test_every_fragmentation(penstockd, stream):
    c = stream()
    daemon = penstockd(c).start()
    data = frame("a:1|c") + frame("b:2|c\na:3|c") + frame("c:4|c")
    count = 0
    for first in range(1, len(data)):
        for second in range(first, len(data), 4):
            with connect(c) as s:
                for piece in (data[:first], data[first:second], data[second:]):
                    s.sendall(piece)
            count += 1
    with connect(c) as s:  # and every byte by itself
        for byte in data:
            s.sendall(bytes([byte]))
            time.sleep(0.001)
    count += 1
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["packets"]["dispatched"] == 3 * count
    assert daemon.counter_sums() == {"a": 4 * count, "b": 2 * count, "c": 4 * count}


def test_a_thousand_connections_of_slow_writers(penstockd, stream):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    c = stream()
    daemon = penstockd(c).start()
    clients = [connect(c) for _ in range(1000)]
    data = frame("slow:1|c") + frame("slow:2|c")
    for at in range(0, len(data), 5):  # each frame is begun by all before one ends it
        for s in clients:
            s.sendall(data[at:at + 5])
    wait_received(daemon, 2000)
    counters = source(daemon.ledger(), "uds-unix")
    assert counters["connections"] - counters["connections_closed"] == 1000
    for s in clients:
        s.close()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert daemon.counter_sums() == {"slow": 3000}
    assert source(ledger, "uds-unix")["malformed_cut_off"] == 0


def test_beyond_the_limit_clients_wait_and_lose_nothing(penstockd, stream):
    c = stream({"listeners": {"uds_stream": {"connections": 2}}})
    daemon = penstockd(c).start()
    clients = [connect(c) for _ in range(4)]
    for s in clients:
        s.sendall(frame("a:1|c"))
    wait_received(daemon, 2)
    assert source(daemon.ledger(), "uds-unix")["connections"] == 2
    clients[0].close()
    wait_received(daemon, 3)
    # The fourth still waits: a stop takes it in as well.
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert daemon.counter_sums() == {"a": 4}
    assert source(ledger, "uds-unix")["connections_full"] >= 2


def test_bad_frames_end_their_connection_alone(penstockd, stream):
    c = stream(dogstatsd_buffer_size=1000)
    daemon = penstockd(c).start()
    with connect(c) as good, connect(c) as empty, connect(c) as long, connect(c) as huge:
        good.sendall(frame("a:1|c"))
        empty.sendall(frame("b:1|c") + frame("") + frame("never:1|c"))
        long.sendall(frame("c:1|c") + frame("d:1|c\n" * 167))  # 1002 bytes
        huge.sendall(b"\xff\xff\xff\xff" + b"x" * 100)
        assert all(is_closed(s) for s in (empty, long, huge))
        good.sendall(frame("a:1|c\n" + "a:1|c\n" * 165))  # 996 bytes
    with connect(c) as s:
        s.sendall(frame("e:1|c") + frame("f:1|c")[:-1])
    with connect(c) as s:
        s.sendall(b"\1\0")
    wait_received(daemon, 9)
    ledger = daemon.stop()
    assert_balanced(ledger)
    counters = source(ledger, "uds-unix")
    assert [counters[f"malformed_{k}"] for k in ("frame_empty", "frame_long", "cut_off")] == [1, 2, 2]
    assert ledger["packets"]["malformed"] == 5
    assert daemon.counter_sums() == {"a": 167, "b": 1, "c": 1, "e": 1}


def test_eol_required_holds_for_frames(penstockd, stream):
    c = stream(dogstatsd_eol_required=["uds"])
    daemon = penstockd(c).start()
    with connect(c) as s:
        s.sendall(frame("a:1|c\nb:1|c") + frame("c:1|c\n"))
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["lines"]["rejected"]["unterminated"] == 1
    assert daemon.counter_sums() == {"a": 1, "c": 1}


def test_stalled_clients_do_not_slow_another(penstockd, stream, traffic):
    """By turns alone and beside 100 clients that stop in a frame, as the machine is not ours alone; the best
    of each."""
    c = stream()
    daemon = penstockd(c).start()
    reports = []

    def rate():
        reports.append(traffic(("--uds-stream", c["dogstatsd_stream_socket"]), "t", packets=300000, flows=1,
                               profile="small").report())
        return reports[-1]["packets"] / reports[-1]["seconds"]

    alone, beside = [], []
    for _ in range(5):
        alone.append(rate())
        stalled = [connect(c) for _ in range(100)]
        for s in stalled:
            s.sendall(frame("x" * 8000)[:-1])
        beside.append(rate())
        for s in stalled:
            s.close()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "uds-unix")["malformed_cut_off"] == 500
    assert_sums(daemon, *reports)
    print(f"alone {max(alone):.0f} packets/s, beside 100 stalled {max(beside):.0f}")
    assert max(beside) > 0.6 * max(alone)


class Sender(threading.Thread):
    """Sends frames until told to stop or refused for good; connects again when its connection ends."""

    def __init__(self, config, payload):
        super().__init__()
        self.config, self.payload = config, frame(payload)
        self.sent = self.reconnects = self.written = 0
        self.stopping = False

    def run(self):
        while not self.stopping:
            try:
                with connect(self.config) as s:
                    self.send_on(s)
            except ConnectionRefusedError:
                return  # penstockd stops
            except OSError:
                self.reconnects += 1

    def send_on(self, s):
        while not self.stopping:
            rest = self.payload
            while rest:
                n = s.send(rest)
                self.written += n
                rest = rest[n:]
            self.sent += 1


def test_data_plane_killed_under_load(penstockd, stream):
    """Clients see their connection end and connect again; what the ledger has is what came out."""
    c = stream()
    daemon = penstockd(c).start()
    senders = [Sender(c, "before:1|c") for _ in range(4)]
    for s in senders:
        s.start()
    wait_received(daemon, 2000)
    daemon.kill9_data_plane()
    wait_received(daemon, received(daemon) + 2000)
    for s in senders:
        s.stopping = True
    for s in senders:
        s.join(20)
    with connect(c) as s:
        s.sendall(frame("after:1|c") * 500)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert all(s.reconnects >= 1 for s in senders)
    sums = daemon.counter_sums()
    assert sums["after"] == 500
    lost = ledger["samples"]["lost_in_crash"] + ledger["packets"]["lost_in_crash"]
    assert sums["before"] + lost + 500 == ledger["packets"]["dispatched"]
    assert ledger["packets"]["dispatched"] - 500 <= sum(s.sent for s in senders)
    counters = source(ledger, "uds-unix")
    assert counters["connections"] == counters["connections_closed"]


def test_a_stop_takes_in_all_that_was_sent(penstockd, stream):
    """Under load, to the frame: what the kernel took from a client is in the output."""
    c = stream()
    daemon = penstockd(c).start()
    idle = [connect(c) for _ in range(50)]
    for s in idle:
        s.sendall(frame("idle:1|c") * 20)
    senders = [Sender(c, "load:1|c") for _ in range(4)]
    for s in senders:
        s.start()
    wait_received(daemon, 3000)
    ledger = daemon.stop()
    for s in senders:
        s.join(20)
        assert not s.is_alive()
    assert_balanced(ledger)
    sums = daemon.counter_sums()
    assert sums["idle"] == 1000
    size = len(frame("load:1|c"))
    whole = sum(s.written for s in senders) // size
    assert sums["load"] + source(ledger, "uds-unix")["malformed_cut_off"] >= whole
    assert sums["load"] == sum(s.sent for s in senders)


def test_connections_outlive_penstockd(penstockd, stream):
    c = stream()
    daemon = penstockd(c).start()
    with connect(c) as s:
        s.sendall(frame("a:1|c") + frame("a:2|c")[:6])
        wait_received(daemon, 1)
        daemon.kill9()
        s.sendall(frame("a:2|c")[6:])
        daemon.start()
        s.sendall(frame("a:3|c"))
        wait_received(daemon, 3)
    with connect(c) as s:
        s.sendall(frame("a:4|c"))
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 10}


def connect_to_nobody(c):
    """A connection that waits to be accepted. The kernel takes the io_uring of a killed process apart a moment after the
    process is gone, and that may still accept one, which then ends at once."""
    while True:
        s = connect(c)
        if not select.select([s], [], [], 0.02)[0]:
            return s
        s.close()


def test_clients_that_nobody_accepts_wait(penstockd, stream):
    """While there is no data plane a client can connect and send: the next one takes it in."""
    c = stream()
    daemon = penstockd(c).start()
    kill_data_plane(daemon)
    with connect_to_nobody(c) as s:
        s.sendall(frame("a:1|c"))
    wait_received(daemon, 1)
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 1}


def write_pipe(config, *pieces):
    fd = os.open(config["dogstatsd_pipe_name"], os.O_WRONLY)
    for piece in pieces:
        os.write(fd, piece.encode())
    os.close(fd)


def test_pipe_sums_are_exact(penstockd, pipe, traffic):
    c = pipe()
    daemon = penstockd(c).start()
    target = ("--pipe", c["dogstatsd_pipe_name"])
    running = [traffic(target, f"w{i}", packets=20000, seed=i) for i in range(3)]
    running.append(traffic(target, "small", packets=50000, profile="small"))
    reports = [t.report() for t in running]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["lines"]["total"] == ledger["lines"]["ok"] == sum(r["lines"] for r in reports)
    assert_sums(daemon, *reports)


def test_pipe_lines(penstockd, pipe):
    c = pipe(dogstatsd_buffer_size=1000)
    daemon = penstockd(c).start()
    mode = os.stat(c["dogstatsd_pipe_name"]).st_mode
    assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o722
    long = "x" * 999  # with its line feed the longest
    write_pipe(c, "a:1|c\na:", "2|c\n", f"{long}\n", f"{long}y\n", "b:1|c\n" * 500, "b:1|c", "\n")
    write_pipe(c, "z" * 5000 + "\nc:1|c\n")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 505, 10, "all lines")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "named_pipe")["truncated"] == 2
    assert ledger["lines"]["rejected"]["no-pipe"] == 1
    assert daemon.counter_sums() == {"a": 3, "b": 501, "c": 1}


def test_pipe_tail_is_lost_and_counted(penstockd, pipe):
    c = pipe()
    daemon = penstockd(c).start()
    write_pipe(c, "a:1|c\na:2|c\na:4|")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "named_pipe")["malformed_cut_off"] == 1
    assert daemon.counter_sums() == {"a": 3}


def test_pipe_outlives_the_data_plane(penstockd, pipe):
    """Lines wait in the pipe. Of the line that the dead one may have begun, the rest is no line."""
    c = pipe()
    daemon = penstockd(c).start()
    write_pipe(c, "a:1|c\nlost:1|c\nhalf")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 2, 10, "two lines")
    kill_data_plane(daemon)
    write_pipe(c, "way:1|c\nb:1|c\n")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 3, 10, "the third line")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "named_pipe")["malformed_cut_off"] == 1
    assert daemon.counter_sums()["b"] == 1 and "way" not in daemon.counter_sums()


def test_pipe_outlives_penstockd(penstockd, pipe):
    c = pipe()
    daemon = penstockd(c).start()
    write_pipe(c, "a:1|c\na:2")
    daemon.kill9()
    write_pipe(c, "|c\n")
    daemon.start()
    write_pipe(c, "a:3|c\n")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 3, 10, "three lines")
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 6}


def test_pipe_drained_and_started_again_alone(penstockd, pipe):
    """A data plane that is told to stop takes in what is there; the next one goes on."""
    c = pipe()
    daemon = penstockd(c).start()
    for _ in range(3):
        write_pipe(c, "a:1|c\n" * 100)
        old = daemon.data_plane_pid()
        os.kill(old, signal.SIGTERM)
        lab.wait_until(lambda: daemon.data_plane_pid() not in (None, old), 20, "a new data plane")
        daemon.wait_ready()
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 300}


def test_a_pipe_that_is_there_is_used(penstockd, pipe, folder):
    path = folder / "pipe"
    os.mkfifo(path, 0o600)
    c = pipe()
    daemon = penstockd(c).start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    write_pipe(c, "a:1|c\n")
    # A second penstockd must not take half of it.
    other = penstockd(pipe(dogstatsd_socket=str(folder / "other.socket"))).start()
    assert "another process has locked it" in str(other.status())
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 1}


def test_what_is_no_pipe_is_left_alone(penstockd, pipe, folder):
    path = folder / "pipe"
    path.write_text("precious")
    daemon = penstockd(pipe(dogstatsd_socket=str(folder / "dsd.socket"))).start()
    assert "exists and is not a pipe; remove it" in str(daemon.status())
    assert path.read_text() == "precious"
