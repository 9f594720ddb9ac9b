"""What survives kill -9 and SIGTERM."""

import os
import signal
import time

import lab
import pytest
from conftest import IO_BUFFERS, assert_balanced, assert_no_duplicates, assert_sums, source, udp, uds


def test_killed_penstockd_loses_nothing(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    running = [traffic(udp(c), "u", rate=1500, seconds=14), traffic(uds(c), "s", rate=1500, seconds=14)]
    data_plane = daemon.data_plane_pid()
    for _ in range(3):  # over bucket boundaries too
        lab.wait_until(lambda: daemon.ledger().get("lines", {}).get("total"), 10, "lines")
        daemon.kill9()
        time.sleep(1)  # away; the sum must not depend on how long
        daemon.start()
        assert daemon.data_plane_pid() == data_plane, "adopted, not restarted"
    reports = [t.report() for t in running]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["samples"]["lost_in_crash"] == 0
    assert_sums(daemon, *reports)
    assert_no_duplicates(daemon.points())


def test_segments_wait_for_a_penstockd_that_is_away(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    running = traffic(uds(c), "s", rate=500, seconds=12)
    daemon.kill9()
    report = running.report()  # at least one bucket closed with nobody there
    daemon.start()
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)
    assert_no_duplicates(daemon.points())


def test_killed_data_plane_loses_at_most_the_open_bucket(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    before = traffic(uds(c), "before", packets=500).report()
    lab.wait_until(lambda: before["counters"].items() <= daemon.counter_sums("before").items(), 15, "the bucket delivered")
    open_bucket = traffic(uds(c), "open", packets=500).report()
    lines = before["lines"] + open_bucket["lines"]
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == lines, 10, "all of it counted")
    daemon.kill9_data_plane()
    status = daemon.status()
    after = traffic(uds(c), "after", packets=500).report()
    ledger = daemon.stop()

    assert_balanced(ledger)
    assert_sums(daemon, before, after)
    # The bucket may have closed just before the kill; then some or all of it is there.
    sums = {k: v for k, v in daemon.counter_sums("open").items() if k in open_bucket["counters"]}
    assert all(sums[name] <= open_bucket["counters"][name] for name in sums)
    lost = ledger["samples"]["lost_in_crash"]
    assert lost <= sum(open_bucket["samples"].values())
    assert (lost == 0) == (sums == open_bucket["counters"])
    assert ledger["samples"]["total"] == sum(sum(r["samples"].values()) for r in (before, open_bucket, after))
    assert status["data_plane"]["restarts"] == 1
    assert status["lost_in_crash"]["samples"] == lost


def test_data_plane_that_keeps_dying_is_restarted_with_back_off(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    for _ in range(3):
        daemon.kill9_data_plane()
    report = traffic(uds(c), "after", packets=100).report()
    assert daemon.status()["data_plane"]["restarts"] == 3
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_both_killed_starts_afresh(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    data_plane = daemon.data_plane_pid()
    daemon.kill9()
    os.kill(data_plane, signal.SIGKILL)
    lab.wait_until(lambda: not lab.is_data_plane(data_plane), 10, "the data plane gone")
    daemon.start()
    report = traffic(uds(c), "after", packets=100).report()
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_sigterm_delivers_the_open_bucket(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    reports = [traffic(uds(c), "s", packets=2000).report(), traffic(udp(c), "u", rate=3000, packets=2000).report()]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["samples"]["open"] == 0 and ledger["points"]["held"] == 0
    assert_sums(daemon, *reports)


def test_sigterm_in_mid_load_counts_all_it_accepted(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    running = traffic(uds(c), "s", rate=5000, seconds=20, flows=1)
    lab.wait_until(lambda: daemon.ledger()["packets"]["dispatched"] > 2000, 10, "traffic")
    ledger = daemon.stop()
    out, err = running.process.communicate(timeout=10)
    assert "closed the socket" in err
    assert_balanced(ledger)
    report = lab.json.loads(out)
    assert source(ledger, "uds-unixgram")["received"] == report["packets"]
    assert_sums(daemon, report)


def test_penstockctl_stop_prints_the_final_ledger(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    report = traffic(uds(c), "s", packets=100).report()
    done = daemon.ctl("stop")
    assert done.returncode == 0, done.stderr
    assert daemon.process.wait(10) == 0
    printed = lab.json.loads(done.stdout)
    assert_balanced(printed)
    assert printed["lines"]["ok"] == report["lines"]
    assert daemon.final_ledger() == printed
    assert_sums(daemon, report)
    assert not lab.is_data_plane(daemon.data_plane_pid() or 0)


@pytest.mark.parametrize("verb", ["status", "ledger", "stats"])
def test_penstockctl_for_people_and_scripts(penstockd, config, verb):
    daemon = penstockd(config()).start()
    done = daemon.ctl(verb)
    assert done.returncode == 0 and isinstance(lab.json.loads(done.stdout), dict)
    table = lab.run(lab.PENSTOCKCTL, "--socket", daemon.control_socket, verb)
    assert table.stdout.strip() and not table.stdout.startswith("{")


def test_drops_of_a_socket_are_counted_once_over_all_data_planes(penstockd, config, traffic):
    c = config(dogstatsd_so_rcvbuf=4096)
    daemon = penstockd(c).start()

    flood = traffic(udp(c), "u", seconds=3)
    time.sleep(1)
    daemon.kill9_data_plane()  # drops go on while none is there
    sent = flood.report()["packets"]
    daemon.kill9()
    daemon.start()
    flood = traffic(udp(c), "u", seconds=2)
    time.sleep(1)
    os.kill(daemon.data_plane_pid(), signal.SIGTERM)
    sent += flood.report()["packets"]
    lab.wait_until(lambda: daemon.status()["data_plane"]["restarts"] == 2, 20, "a third data plane")
    daemon.wait_ready()
    ledger = daemon.stop()
    assert_balanced(ledger)
    port = source(ledger, "udp")
    assert port["missed"] > 0
    assert sent - IO_BUFFERS <= port["received"] + port["missed"] <= sent
