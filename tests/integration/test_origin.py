"""Origin detection by the credentials of Unix sockets: real processes, real cgroups."""

import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import urllib.request

import lab
import pytest
from conftest import assert_balanced, free_port, source

A, B = "a" * 64, "b" * 64
ECS = "34dc0b5e626f2c5c4c5170e34b10e765-1234567890"
OUTCOMES = ("origin_container", "origin_none", "origin_errors", "origin_replayed", "origin_unresolved", "origin_full")

# Goes into a cgroup, then sends each line of its input (JSON) as a datagram or frame and says so.
SENDER = """
import json, socket, struct, sys
path, kind, procs = sys.argv[1:]
if procs:
    open(procs, "w").write("0")
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
s.connect(path)
print("ready", flush=True)
for line in sys.stdin:
    payload = json.loads(line).encode()
    s.sendall((struct.pack("<I", len(payload)) if kind == "stream" else b"") + payload)
    print("sent", flush=True)
"""


class Sender:
    """A process that sends to `config`'s datagram or stream socket, from within the cgroup folder `cgroup`."""

    def __init__(self, config, cgroup=None, kind="datagram"):
        path = config["dogstatsd_stream_socket" if kind == "stream" else "dogstatsd_socket"]
        procs = str(cgroup / "cgroup.procs") if cgroup else ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", SENDER, path, kind, procs], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    @property
    def pid(self):
        return self.process.pid

    def send(self, *datagrams):
        for datagram in datagrams:
            self.process.stdin.write(json.dumps(datagram) + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "sent\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def sender():
    """A factory of Senders."""
    with contextlib.ExitStack() as made:
        yield lambda *args: made.enter_context(contextlib.closing(Sender(*args)))


def hierarchy(version):
    """Where cgroups of this version are mounted: the memory controller's (1), or the unified one (2)."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split(" ")[:4]
        if (kind == "cgroup2") if version == 2 else (kind == "cgroup" and "memory" in options.split(",")):
            return pathlib.Path(where)
    pytest.skip(f"no cgroups of version {version} are mounted")


@pytest.fixture
def cgroup(request):
    """A function: makes a cgroup below one of ours, in the hierarchy of the version that is the parameter."""
    top = hierarchy(request.param) / f"penstock-test-{os.getpid()}"
    made = [top]

    def make(name):
        made.append(top / name)
        made[-1].mkdir(parents=True)
        return made[-1]

    try:
        top.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    yield make
    for path in reversed(made):
        for folder in [path, *path.parents]:
            if folder == top.parent:
                break
            with contextlib.suppress(OSError):
                lab.wait_until(lambda f=folder: not (f / "cgroup.procs").read_text(), 10, "the cgroup is empty")
                folder.rmdir()


@pytest.fixture
def detecting(config):
    """A function: a configuration that detects origins, at cardinality high unless `top` says otherwise."""

    def make(ours=None, **top):
        return config(ours, **{"dogstatsd_origin_detection": True, "dogstatsd_port": 0,
                               "dogstatsd_tag_cardinality": "high", **top})

    return make


def tags_of(daemon, metric):
    """The tags of a metric's points, each set once."""
    return sorted({tuple(p["tags"]) for p in daemon.points() if p.get("metric") == metric})


def origins(ledger, listener="uds-unixgram"):
    """The outcomes of a Unix socket that are not 0; their sum is what was dispatched."""
    counters = source(ledger, listener)
    assert sum(counters[name] for name in OUTCOMES) == counters["dispatched"]
    return {name: counters[name] for name in OUTCOMES if counters[name]}


@pytest.mark.parametrize("cgroup", [1, 2], indirect=True, ids=["v1", "v2"])
def test_containers_of_real_cgroups(penstockd, detecting, cgroup, sender):
    c = detecting(dogstatsd_tag_cardinality="low", dogstatsd_origin_detection_client=True)
    a, b, pod = cgroup(f"docker-{A}.scope"), cgroup(f"kubepods/pod1/{B}/init.scope"), cgroup("user.slice")
    daemon = penstockd(c).start()
    senders = {"a": sender(c, a), "b": sender(c, b), "none": sender(c, pod)}
    for name, s in senders.items():
        for _ in range(100):
            s.send(f"{name}.high:1|c|card:high", f"{name}.low:1|c|#x:y")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert origins(ledger) == {"origin_container": 400, "origin_none": 200}
    assert source(ledger, "uds-unixgram")["origin_lookups"] == 3
    assert tags_of(daemon, "a.high") == [(f"container_id:{A}",)]
    assert tags_of(daemon, "b.high") == [(f"container_id:{B}",)]
    assert tags_of(daemon, "none.high") == [()]
    assert tags_of(daemon, "a.low") == tags_of(daemon, "none.low") == [("x:y",)]
    assert daemon.counter_sums() == {f"{n}.{card}": 100 for n in senders for card in ("high", "low")}


@pytest.mark.parametrize("cgroup", [1, 2], indirect=True, ids=["v1", "v2"])
def test_containers_of_streams(penstockd, detecting, cgroup, sender, folder):
    c = detecting(dogstatsd_stream_socket=str(folder / "stream.socket"))
    container = cgroup(f"kubepods.slice/cri-containerd-{A}.scope")
    daemon = penstockd(c).start()
    senders = {"a": sender(c, container, "stream"), "none": sender(c, None, "stream"), "datagram": sender(c, container)}
    for name, s in senders.items():
        s.send(*[f"{name}:1|c\n{name}:1|c"] * 200)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert origins(ledger, "uds-unix") == {"origin_container": 200, "origin_none": 200}
    assert origins(ledger) == {"origin_container": 200}
    assert tags_of(daemon, "a") == tags_of(daemon, "datagram") == [(f"container_id:{A}",)]
    assert tags_of(daemon, "none") == [()]
    assert daemon.counter_sums() == dict.fromkeys(senders, 400)


def put(proc_root, pid, cgroup_file):
    (proc_root / str(pid)).mkdir(parents=True)
    (proc_root / str(pid) / "cgroup").write_text(cgroup_file)


def test_a_proc_root_of_another_host(penstockd, detecting, folder, sender):
    """`container_proc_root`, with processes as they are found on hosts we do not have."""
    files = {
        "docker1": (f"12:pids:/docker/{A}\n4:memory:/docker/{A}\n0::/\n", A),
        "cri": (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{B}.scope\n", B),
        "ecs": (f"9:memory:/ecs/5a0d5ceddf6c44c1928d367a815d890f/{ECS}\n", ECS),
        "none": ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        "empty": ("", None),
    }
    proc = folder / "proc"
    c = detecting(container_proc_root=str(proc))
    daemon = penstockd(c).start()
    for name, (text, _) in files.items():
        s = sender(c)
        put(proc, s.pid, text)
        s.send(f"{name}:1|g", f"_e{{{len(name)},1}}:{name}|x", f"_sc|{name}|0")
    gone = sender(c)
    gone.send("gone:1|g")  # no such folder
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert origins(ledger) == {"origin_container": 9, "origin_none": 6, "origin_errors": 1}
    for name, (_, container) in files.items():
        tags = [f"container_id:{container}"] if container else []
        assert tags_of(daemon, name) == [tuple(tags)], name
        messages = [p for p in daemon.points() if name in (p.get("title"), p.get("name"))]
        assert [m.get("tags", []) for m in messages] == [tags, tags], name
    assert tags_of(daemon, "gone") == [()]


def send_as(config, payload, pid, uid, gid):
    """Sends with the credentials of somebody else, as only root can."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(config["dogstatsd_socket"])
        s.sendmsg([payload.encode()], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", pid, uid, gid))])


@pytest.mark.skipif(os.geteuid() != 0, reason="credentials of others need root")
def test_replayed_packets_have_no_container_of_this_machine(penstockd, detecting, folder):
    proc = folder / "proc"
    put(proc, os.getpid(), f"0::/docker/{A}\n")
    put(proc, 4242, f"0::/docker/{B}\n")
    c = detecting(container_proc_root=str(proc))
    daemon = penstockd(c).start()
    for _ in range(3):
        send_as(c, "replayed:1|c", os.getpid(), 4242, 999888777)
        send_as(c, "own:1|c", os.getpid(), 4242, 0)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert origins(ledger) == {"origin_replayed": 3, "origin_container": 3}
    assert tags_of(daemon, "replayed") == [()]
    assert tags_of(daemon, "own") == [(f"container_id:{A}",)]


def test_off_by_default(penstockd, config, folder):
    proc = folder / "proc"
    put(proc, os.getpid(), f"0::/docker/{A}\n")
    c = config(dogstatsd_tag_cardinality="high", container_proc_root=str(proc))
    daemon = penstockd(c).start()
    send_as(c, "off:1|c", os.getpid(), 0, 0)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert not [name for name in source(ledger, "uds-unixgram") if name.startswith("origin_")]
    assert tags_of(daemon, "off") == [()]


def test_thousands_of_short_processes(penstockd, detecting, folder):
    """Most end before they are looked up. None of their packets is lost, and each has its outcome."""
    c = detecting({"limits": {"io_buffers": 16, "origins": 16}})
    daemon = penstockd(c).start()
    script = ("import os, socket\n"
              "for i in range(2000):\n"
              "    pid = os.fork()\n"
              "    if pid == 0:\n"
              "        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
              f"        s.connect({c['dogstatsd_socket']!r})\n"
              "        s.send(b'short:1|c')\n"
              "        os._exit(0)\n"
              "    if i % 8 == 7:\n"
              "        for _ in range(8): os.wait()\n")
    lab.run(sys.executable, "-c", script)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert sum(origins(ledger).values()) == 2000
    assert source(ledger, "uds-unixgram")["origin_evicted"] > 1000
    assert ledger["bounds"]["origins"] > 1000
    assert daemon.counter_sums() == {"short": 2000}


def test_the_next_data_plane_knows_them_too(penstockd, detecting, folder, sender):
    proc, listen = folder / "proc", f"127.0.0.1:{free_port()}"
    c = detecting(container_proc_root=str(proc))
    c["penstock"]["http"] = {"listen": listen}
    daemon = penstockd(c).start()
    s = sender(c)
    put(proc, s.pid, f"0::/docker/{A}\n")
    s.send("before:1|c")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 1, 10, "it is counted")
    daemon.kill9_data_plane()
    s.send("after:1|c")
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 2, 10, "it is counted")
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
        telemetry = answer.read().decode()
    assert 'penstock_origin_packets_total{source="uds-unixgram",result="container"} 2\n' in telemetry
    assert 'penstock_origin_lookups_total{source="uds-unixgram",what="lookups"} 2\n' in telemetry
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert tags_of(daemon, "after") == [(f"container_id:{A}",)]
