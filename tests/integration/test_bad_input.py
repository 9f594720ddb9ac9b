"""Each mistake is a message that names the thing, the value and the remedy, and an exit code."""

import json
import os
import shutil
import socket
import subprocess

import lab
import pytest
from conftest import assert_balanced, assert_sums, free_port, send_uds, uds

OK, FAILED, USAGE, RUNS_ALREADY = 0, 1, 2, 3


def check(penstockd, text, *args):
    """penstockd --check of a configuration given as text."""
    daemon = penstockd(text)
    done = lab.run(lab.PENSTOCKD, "--config", daemon.config, "--check", *args, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_good_configuration_passes_the_check(penstockd, config):
    code, out = check(penstockd, json.dumps(config()))
    assert code == OK, out
    assert "MiB" in out  # the memory budget


@pytest.mark.parametrize("text, says", [
    ("penstock:\n  idel: busy\n", ["penstock.yaml:2", "idel", "idle"]),
    ("penstock:\n  idle: buzy\n", ["penstock.yaml:2", "idle", "buzy", "adaptive"]),
    ("penstock:\n  limits:\n    contexts: -4\n", ["penstock.yaml:3", "contexts", "-4"]),
    ("penstock:\n  limits:\n    memo_bytes: 3 bananas\n", ["penstock.yaml:3", "memo_bytes", "3 bananas"]),
    ("penstock:\n  exporters:\n    jsnol: {path: x}\n", ["penstock.yaml:3", "jsnol", "jsonl"]),
    ("penstock:\n  ports:\n    - device: net_null0\n      que: 1\n", ["penstock.yaml:4", "que", "queues"]),
    ("dogstatsd_buffer_size: eight\n", ["penstock.yaml:1", "dogstatsd_buffer_size", "eight"]),
    ("penstock: [\n", ["penstock.yaml"]),
    ("penstock:\n  wrong1: 1\n  wrong2: 2\n", ["wrong1", "wrong2"]),  # all, not just the first
])
def test_wrong_configuration(penstockd, text, says):
    code, out = check(penstockd, text)
    assert code == USAGE, out
    for word in says:
        assert word in out, f"{word!r} is not in: {out}"


def test_memory_limit(penstockd, config):
    code, out = check(penstockd, json.dumps(config({"limits": {"memory_limit": "10MiB"}})))
    assert code == USAGE and "memory_limit" in out and "10" in out, out


@pytest.mark.parametrize("args, says", [
    (["--config", "/nonexistent.yaml"], "/nonexistent.yaml"),
    (["--nonsense"], "nonsense"),
    ([], "--config"),
])
def test_usage(args, says):
    done = lab.run(lab.PENSTOCKD, *args, check=False)
    assert done.returncode == USAGE and says in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("binary", [lab.PENSTOCKD, lab.PENSTOCKCTL, lab.PKTGEN])
def test_help(binary):
    done = lab.run(binary, "--help")
    assert "usage" in done.stdout.lower()


def test_data_plane_refuses_to_run_without_a_plan():
    done = lab.run(lab.DATA_PLANE, check=False)
    assert done.returncode == 2 and done.stderr.strip()


def expect_exit(daemon, code, says, seconds=20):
    """Starts a daemon that must give up by itself."""
    daemon.spawn()
    try:
        got = daemon.process.wait(seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running\n{daemon.state()}")
    log = daemon.log.read_text()
    assert got == code, log
    for word in says:
        assert word in log, f"{word!r} is not in: {log}"


def test_missing_hugepages(penstockd, config, wire):
    free = int(lab.pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    if free:
        pytest.skip("somebody else's hugepages are free on this machine")
    ours = {"hugepages": "require", "ports": [{"device": f"net_af_xdp0,iface={wire.interface}"}]}
    expect_exit(penstockd(config(ours), netns=wire.daemon), USAGE, ["hugepages", "require", "vm.nr_hugepages"])


def test_unusable_port_and_nothing_else(penstockd, config, wire):
    ours = {"ports": [{"name": "gone", "device": "net_af_xdp0,iface=nosuch0", "udp_ports": [8125]}]}
    c = config(ours, dogstatsd_port=0, dogstatsd_socket="")
    expect_exit(penstockd(c, netns=wire.daemon), FAILED, ["gone", "nosuch0"])


def test_nothing_to_listen_on(penstockd, config):
    c = config(dogstatsd_port=0, dogstatsd_socket="")
    expect_exit(penstockd(c), FAILED, ["dogstatsd_port", "dogstatsd_socket"])


def test_busy_socket_path_fails_that_listener_only(penstockd, config, traffic):
    c = config()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(c["dogstatsd_socket"])
        daemon = penstockd(c).start()
        assert c["dogstatsd_socket"] in json.dumps(daemon.status())
        assert c["dogstatsd_socket"] in daemon.log.read_text()
        report = traffic(("--udp", f"127.0.0.1:{c['dogstatsd_port']}"), "u", packets=100, rate=1000).report()
        assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_busy_udp_port_fails_that_listener_only(penstockd, config, traffic):
    c = config()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", c["dogstatsd_port"]))
        daemon = penstockd(c).start()
        assert str(c["dogstatsd_port"]) in daemon.log.read_text()
        report = traffic(uds(c), "s", packets=100).report()
        assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_stale_socket_is_replaced_and_a_file_is_not(penstockd, config, folder):
    c = config()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(c["dogstatsd_socket"])
    daemon = penstockd(c).start()
    send_uds(c, "a:1|c")
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 1}
    plain = folder / "plain"
    plain.write_text("precious")
    expect_exit(penstockd(config(dogstatsd_port=0, dogstatsd_socket=str(plain))), FAILED, [str(plain)])
    assert plain.read_text() == "precious"


def test_busy_http_port_is_not_fatal(penstockd, config):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon = penstockd(config({"http": {"listen": f"127.0.0.1:{port}"}})).start()
        assert str(port) in daemon.log.read_text()


def test_second_penstockd_on_a_run_directory(penstockd, config):
    c = config()
    first = penstockd(c).start()
    second = penstockd({**c, "dogstatsd_port": free_port(socket.SOCK_DGRAM)})
    expect_exit(second, RUNS_ALREADY, [str(first.run_dir)])
    assert first.status()["data_plane"]["up"]


@pytest.fixture
def as_nobody(folder, penstockd):
    """A factory as penstockd, of one that runs as nobody, from copies that nobody can reach."""
    programs = folder / "bin"
    programs.mkdir()
    for binary in (lab.PENSTOCKD, lab.DATA_PLANE):
        shutil.copy(binary, programs)
    os.chown(folder, 65534, 65534)

    def make(c):
        daemon = penstockd(c, command=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                       programs / lab.PENSTOCKD.name))
        os.chown(daemon.folder, 65534, 65534)
        return daemon

    return make


def test_without_root_ports_are_refused(config, as_nobody):
    expect_exit(as_nobody(config({"ports": [{"device": "net_af_xdp0,iface=lo"}]})), USAGE, ["root", "net_af_xdp0"])


def test_without_root_sockets_work(config, as_nobody, traffic):
    c = config()
    daemon = as_nobody(c).start()
    report = traffic(uds(c), "s", packets=100).report()
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_full_disk_delays_and_loses_nothing(penstockd, config, traffic, folder):
    disk = folder / "disk"
    disk.mkdir()
    lab.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", disk)
    try:
        c = config({"exporters": {"jsonl": {"path": str(disk / "points.jsonl")}}})
        daemon = penstockd(c).start()
        daemon.output = disk / "points.jsonl"
        report = traffic(uds(c), "s", packets=300, contexts=2000).report()
        lab.wait_until(lambda: "no space left" in daemon.log.read_text(), 20, "the disk full")
        assert daemon.status()["data_plane"]["up"]  # ingest goes on
        more = traffic(uds(c), "more", packets=100).report()
        lab.run("mount", "-o", "remount,size=64m", disk)
        assert_balanced(daemon.stop())
        assert_sums(daemon, report, more)
    finally:
        lab.run("umount", "-l", disk, check=False)


def test_penstockctl_without_a_daemon(folder):
    done = lab.run(lab.PENSTOCKCTL, "--socket", folder / "none.sock", "status", check=False)
    assert done.returncode == 3 and str(folder / "none.sock") in done.stderr
    assert lab.run(lab.PENSTOCKCTL, "nonsense", check=False).returncode == USAGE
    assert lab.run(lab.PENSTOCKCTL, check=False).returncode == USAGE


def test_hostile_control_clients_do_not_stop_it(penstockd, config):
    daemon = penstockd(config()).start()
    clients = []
    for message in (b"", b"{", b"[]", b'{"verb":"nope"}', b"\xff" * 1000, b'{"verb":5}'):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(str(daemon.control_socket))
        if message:
            s.send(message)
        clients.append(s)  # and never reads
    assert daemon.status()["data_plane"]["up"]
    for s in clients:
        s.close()
