"""Forwarding and origin detection of the same packets: both hold them, each for as long as it must."""

import collections
import contextlib
import signal
import subprocess

import lab
import pytest
from conftest import assert_balanced, source
from test_forward import Receiver, offered, target, to
from test_origin import A, B, Sender, origins, put, tags_of
from test_overload import thread

PAD = "x" * 900


@pytest.fixture
def held():
    """Things that are closed at the end, the last one first."""
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


def shape(wire):
    done = lab.run("tc", "-n", wire.daemon, "qdisc", "add", "dev", wire.interface, "root", "tbf", "rate", "8mbit",
                   "burst", "4kb", "limit", "4mb", check=False)
    if done.returncode != 0:
        pytest.skip(f"this kernel has no shaper: {done.stderr.strip()}")


@contextlib.contextmanager
def slow_lookups(daemon, milliseconds):
    """As if each file of the proc file system took that long to open."""
    tid = thread(daemon.data_plane_pid(), "origin")
    delay = ("-e", "trace=openat", "-e", f"inject=openat:delay_enter={milliseconds}ms")
    tracer = subprocess.Popen(["strace", "-p", str(tid), *delay], stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in tracer.stderr.readline()
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=10)


def test_a_slow_target_while_the_resolver_waits(penstockd, config, wire, folder, held):
    """Every byte at the target that keeps up, what the slow one did not take counted, and each packet, the first
    ones of its process included, with its origin."""
    shape(wire)
    proc = folder / "proc"
    slow, near = held(Receiver(wire.peer_address, netns=wire.outside)), held(Receiver(netns=wire.daemon))
    c = config(to(slow, near, queue=256), dogstatsd_origin_detection=True, dogstatsd_tag_cardinality="high",
               dogstatsd_stream_socket=str(folder / "stream"), container_proc_root=str(proc), dogstatsd_port=0)
    daemon = penstockd(c, netns=wire.daemon).start()
    sent = []

    def sender(kind, cgroup):
        made = held(Sender(c, None, kind))
        put(proc, made.pid, cgroup)
        return made

    def send(to_whom, name, count):
        payloads = [text for i in range(count) for text in (f"{name}:{i}|c", f"no line of {name} {i} {PAD}")]
        to_whom.send(*payloads)
        sent.extend(p.encode() for p in payloads)

    first = sender("datagram", "0::/user.slice\n")

    def overrun():
        send(first, "first", 200)
        return target(daemon.ledger(), slow)["queue_full"] > 0

    lab.wait_until(overrun, 10, "more for the slow target than it takes")
    senders = {"datagram": (sender("datagram", f"0::/docker/{A}\n"), A),
               "stream": (sender("stream", f"0::/docker/{B}\n"), B),
               "none": (sender("stream", "0::/user.slice\n"), None)}
    with slow_lookups(daemon, 300):
        for name, (process, _) in senders.items():
            send(process, name, 40)
        send(first, "first", 200)  # whose process is known: nobody waits for the others
        lab.wait_until(lambda: offered(daemon.ledger()) == len(sent), 10, "all answered")
    for name, (process, _) in senders.items():
        send(process, name, 40)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert collections.Counter(near.close()) == collections.Counter(sent)
    got = slow.close(patience=0.5)
    assert not collections.Counter(got) - collections.Counter(sent)
    assert target(ledger, slow)["sent"] == len(got)
    assert target(ledger, slow)["queue_full"] == len(sent) - len(got) > 0
    assert target(ledger, near)["sent"] == offered(ledger) == len(sent)
    assert origins(ledger, "uds-unix") == {"origin_container": 160, "origin_none": 160}
    assert origins(ledger) == {"origin_container": 160, "origin_none": len(sent) - 480}
    for listener in ("uds-unix", "uds-unixgram"):
        assert source(ledger, listener)["origin_waited"] >= 80, listener
    sums = daemon.counter_sums()
    for name, (_, container) in senders.items():
        assert tags_of(daemon, name) == [(f"container_id:{container}",) if container else ()]
        assert sums[name] == 2 * sum(range(40))
