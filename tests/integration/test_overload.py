"""More than the machine takes; what the receiving threads ask of the kernel; bounds of packet memory."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import lab
import pytest
from conftest import IO_BUFFERS, ROOT, assert_balanced, assert_sums, source, udp, uds

@pytest.mark.parametrize("scenario", ["af_xdp", "memif", "udp", "uds"])
def test_every_packet_of_an_overload_is_in_one_bucket(scenario):
    done = lab.run(ROOT / "bench/e2e/overload", "--scenario", scenario, "--seconds", 3, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["sent"] > 10_000
    # A Unix socket holds its senders back; on all others more came than was taken.
    assert result.get("missed", 0) + result.get("ring_full", 0) > 0 or scenario == "uds"


def thread(pid, name):
    """The id of the thread of that name."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name}")


def system_calls(tids, seconds, log):
    """The system calls that threads make, as strace writes them."""
    pids = [a for tid in tids for a in ("-p", tid)]
    tracer = subprocess.Popen([str(a) for a in ("strace", "-o", log, *pids)], stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    tracer.send_signal(signal.SIGINT)
    said = tracer.communicate(timeout=10)[1]
    assert said.count("attached") == len(tids), said
    return [line for line in log.read_text().splitlines() if "<detached" not in line]


def pcap(folder, more="", **options):
    """A port that gets a capture of generated packets as fast as it takes them."""
    lab.Traffic(("--pcap", folder / "flood.pcap"), "p", **options).start().report()
    return {"ports": [{"name": "p", "device": f"net_pcap0,rx_pcap={folder}/flood.pcap{more}", "udp_ports": [8125]}]}


# On two CPUs the keeper of a busy pipeline must share one, and does where it is told so.
TWO = [0, 1] if os.cpu_count() < 3 else [1, 2]
WIRINGS = {
    "inline": ({"cores": {"control": 0, "data": [1]}}, ["rte-worker-1"]),
    "pipeline": ({"cores": {"control": 0, "data": TWO}, "wiring": "pipeline"}, ["rte-worker-1", "shard0"]),
}


@pytest.mark.parametrize("wiring", WIRINGS)
def test_busy_threads_of_a_port_make_no_system_calls(penstockd, config, folder, wiring):
    ours, threads = WIRINGS[wiring]
    ours = {**pcap(folder, ",infinite_rx=1", packets=1000), "idle": "busy", **ours}
    daemon = penstockd(config(ours, dogstatsd_port=0, dogstatsd_socket="")).start()
    tids = [thread(daemon.data_plane_pid(), name) for name in threads]
    before = daemon.ledger()["packets"]["dispatched"]
    assert system_calls(tids, 1, folder / "strace.log") == []
    assert daemon.ledger()["packets"]["dispatched"] > before + 1000
    assert_balanced(daemon.stop())


def test_a_busy_af_xdp_port_makes_no_system_calls(penstockd, config, traffic, wire, folder):
    ours = {"ports": [{"name": "x", "device": f"net_af_xdp0,iface={wire.interface}", "udp_ports": [8125]}],
            "idle": "busy", "cores": {"control": 0, "data": [1]}}
    daemon = penstockd(config(ours), netns=wire.daemon).start()
    load = traffic(("--udp", f"{wire.address}:8125"), "x", netns=wire.outside, seconds=4, rate=2000)
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > 100, 20, "traffic")
    assert system_calls([thread(daemon.data_plane_pid(), "rte-worker-1")], 2, folder / "strace.log") == []
    assert_sums_after_stop(daemon, load)


def test_a_busy_shard_behind_sockets_makes_no_system_calls(penstockd, config, traffic, folder):
    c = config({"idle": "busy", "cores": {"control": 0, "data": [1]}})
    daemon = penstockd(c).start()
    load = traffic(uds(c), "s", seconds=4)
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > 1000, 20, "traffic")
    before = daemon.ledger()["packets"]["dispatched"]
    assert system_calls([thread(daemon.data_plane_pid(), "shard0")], 2, folder / "strace.log") == []
    assert daemon.ledger()["packets"]["dispatched"] > before + 1000
    assert_sums_after_stop(daemon, load)


KILLS = 2
@pytest.mark.parametrize("target", [uds, udp])
def test_a_data_plane_killed_under_load_loses_what_the_ledger_names(penstockd, config, traffic, target):
    """Clients notice nothing; packets wait in the kernel, and the open bucket is named as lost."""
    c = config()
    daemon = penstockd(c).start()
    load = traffic(target(c), "k", profile="small", rate=20_000, seconds=5)
    for kill in range(1, KILLS + 1):
        lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > kill * 20_000, 20, "traffic")
        daemon.kill9_data_plane()
    report = load.report()  # fails where a sender saw an error
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert daemon.log.read_text().count("samples of the open bucket") == KILLS
    packets, samples = ledger["packets"], ledger["samples"]
    assert report["refused"] == 0
    assert report["packets"] - KILLS * IO_BUFFERS <= packets["offered"] <= report["packets"]
    assert samples["lost_in_crash"] > 0
    assert samples["sealed"] == packets["dispatched"] - packets["lost_in_crash"] - samples["lost_in_crash"]
    delivered = sum(daemon.counter_sums("k").values())
    assert 0 < delivered < sum(report["counters"].values())


def test_few_buffers_hold_unix_senders_back_and_lose_nothing(penstockd, config, traffic):
    c = config({"limits": {"io_buffers": 16}})
    daemon = penstockd(c).start()
    loads = [traffic(uds(c), f"s{i}", packets=40_000, seed=i) for i in range(2)]
    assert_sums_after_stop(daemon, *loads)


def test_few_buffers_make_the_kernel_drop_udp_and_count_it(penstockd, config, traffic):
    c = config({"limits": {"io_buffers": 16}}, dogstatsd_so_rcvbuf=8192)
    daemon = penstockd(c).start()
    reports = [t.report() for t in [traffic(udp(c), f"u{i}", packets=40_000, seed=i) for i in range(2)]]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "udp")["missed"] > 0
    assert ledger["packets"]["offered"] == sum(r["packets"] for r in reports)


def test_datagrams_gather_in_a_socket_with_room(penstockd, config, traffic):
    """A wake-up takes in several: the io thread sleeps 4100 times for 60 000 packets, and 15 000 times where each may
    wake it."""
    c = config(dogstatsd_so_rcvbuf=1 << 20)
    daemon = penstockd(c).start()
    io = pathlib.Path(f"/proc/{daemon.data_plane_pid()}/task/{thread(daemon.data_plane_pid(), 'io')}/status")

    def sleeps():
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", io.read_text(), re.MULTILINE)[1])

    before = sleeps()
    report = traffic(udp(c), "u", profile="small", rate=60_000, seconds=1).report()
    slept = sleeps() - before
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["packets"]["offered"] == report["packets"]
    assert slept < report["packets"] / 8, (slept, report["packets"])


def test_a_full_ring_drops_the_newest_and_counts_it(penstockd, config, folder):
    packets = 20_000
    ours = {**pcap(folder, packets=packets), "wiring": "pipeline", "cores": {"control": 0, "data": TWO},
            "limits": {"ring_slots": 64}}
    daemon = penstockd(config(ours, dogstatsd_port=0, dogstatsd_socket="")).start()
    lab.wait_until(lambda: daemon.ledger()["packets"]["offered"] == packets, 20, "the whole capture")
    ledger = daemon.stop()
    assert_balanced(ledger)
    port = source(ledger, "p/0")
    assert port["ring_full"] > 0
    assert port["received"] == port["ring_full"] + port["dispatched"] == packets


def assert_sums_after_stop(daemon, *loads):
    reports = [load.report() for load in loads]
    assert_balanced(daemon.stop())
    assert_sums(daemon, *reports)
