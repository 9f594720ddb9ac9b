"""Fixtures of the integration tests. Every penstockd a test starts is stopped at its end and its ledger
must balance then; a failure prints status, ledger and log."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))
import lab  # noqa: E402

IO_BUFFERS = 1024  # default of penstock.limits: what a data plane may hold of kernel sockets, uncounted, when it dies

numbers = itertools.count()


def pytest_configure():
    # tools/check ends us with SIGTERM; fixtures must still be undone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def folder():
    """A temporary folder with a path short enough for sockets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="pst"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def penstockd(folder):
    """A factory: penstockd(config, **of lab.Daemon) makes one, not yet started."""
    made = []

    def make(config, **options):
        home = folder / f"d{len(made)}"
        home.mkdir()
        made.append(lab.Daemon(home, config, **options))
        return made[-1]

    make.all = made
    yield make
    try:
        for daemon in made:
            if daemon.process and daemon.process.poll() is None:
                assert_balanced(daemon.stop())
    except BaseException:
        for daemon in made:
            print(daemon.state())
        raise
    finally:
        for daemon in made:
            daemon.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what each penstockd of a failed test has to say."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed and "penstockd" in item.funcargs:
        for daemon in item.funcargs["penstockd"].all:
            report.sections.append(("penstockd", daemon.state()))


@pytest.fixture
def wire():
    """A lab.Wire: two namespaces and a veth pair."""
    made = lab.Wire(f"pst{os.getppid()}x{next(numbers)}")
    try:
        yield made.open()
    finally:
        made.close()


@pytest.fixture
def traffic():
    """A factory: traffic(target, prefix, **of lab.Traffic) starts a generator."""
    made = []

    def start(*args, **options):
        made.append(lab.Traffic(*args, **options))
        return made[-1].start()

    yield start
    for each in made:
        each.close()


@pytest.fixture
def config(folder):
    """A function: the configuration of a penstockd that listens on a free UDP port and a socket in the
    folder, with `ours` below `penstock:` and the rest at the top."""

    def make(ours=None, **top):
        return {
            "hostname": "test",
            "dogstatsd_port": free_port(socket.SOCK_DGRAM),
            "dogstatsd_socket": str(folder / "dsd.socket"),
            "dogstatsd_so_rcvbuf": 4 << 20,
            **top,
            "penstock": {"http": {"listen": ""}, **(ours or {})},
        }

    return make


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def udp(config):
    """pktgen's target for the kernel UDP listener of `config`."""
    return ("--udp", f"127.0.0.1:{config['dogstatsd_port']}")


def uds(config):
    return ("--uds", config["dogstatsd_socket"])


def send_uds(config, *datagrams):
    """Sends datagrams; blocks while the receiver is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(config["dogstatsd_socket"])
        for datagram in datagrams:
            s.send(datagram if isinstance(datagram, bytes) else datagram.encode())


def assert_balanced(ledger):
    assert ledger["balanced"], json.dumps(ledger, indent=1)
    assert ledger["differences"] == []


def assert_sums(daemon, *reports):
    """The output's counters are what the reports say was sent: no more, no less."""
    sent = {}
    for report in reports:
        for name, total in report["counters"].items():
            sent[name] = sent.get(name, 0) + total
    sums = daemon.counter_sums()
    wrong = {name: (total, sums.get(name, 0)) for name, total in sent.items() if sums.get(name, 0) != total}
    assert not wrong, f"{len(wrong)} of {len(sent)} differ (sent, output): {dict(itertools.islice(wrong.items(), 5))}"


def assert_no_duplicates(points):
    """No series has two points of one time: nothing was delivered twice."""
    seen = set()
    for p in points:
        if p["type"] in ("rate", "gauge", "count", "sketch"):
            key = (p["ts"], p["type"], p["metric"], p["host"], tuple(p["tags"]))
            assert key not in seen, f"twice: {key}"
            seen.add(key)


def source(ledger, name):
    """The counters of one source of a ledger."""
    return next(s for s in ledger["sources"] if s["name"] == name)
