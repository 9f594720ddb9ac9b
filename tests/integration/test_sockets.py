"""Kernel UDP and Unix datagrams: sums, types, garbage, limits."""

import math
import socket

import lab
import pytest
from conftest import assert_balanced, assert_sums, send_uds, source, udp, uds


def test_udp_sums_are_exact(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    report = traffic(udp(c), "u", rate=4000, packets=12000).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert source(ledger, "udp")["received"] == report["packets"]
    assert ledger["lines"]["total"] == ledger["lines"]["ok"] == report["lines"]
    assert ledger["samples"]["total"] == sum(report["samples"].values())
    assert_sums(daemon, report)


def test_uds_never_drops(penstockd, config, traffic):
    c = config(dogstatsd_port=0)
    daemon = penstockd(c).start()
    reports = [traffic(uds(c), f"s{i}", packets=30000, flows=4, seed=i) for i in range(2)]
    reports = [t.report() for t in reports]
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["packets"]["dispatched"] == sum(r["packets"] for r in reports)
    assert_sums(daemon, *reports)


def test_small_packets(penstockd, config, traffic):
    c = config()
    daemon = penstockd(c).start()
    report = traffic(uds(c), "small", profile="small", packets=50000).report()
    assert_balanced(daemon.stop())
    assert_sums(daemon, report)


def test_udp_ipv6_when_all_interfaces_are_bound(penstockd, config, traffic):
    c = config(dogstatsd_non_local_traffic=True)
    daemon = penstockd(c).start()
    v6 = traffic(("--udp", f"[::1]:{c['dogstatsd_port']}"), "six", packets=500, rate=2000).report()
    v4 = traffic(udp(c), "four", packets=500, rate=2000).report()
    assert_balanced(daemon.stop())
    assert_sums(daemon, v6, v4)


# Spec 8.9, each in one datagram so that it is in one bucket.
EXAMPLES = {
    "counter": ("a:3|c\na:2|c|@0.5", {("a", "rate"): 0.7}),
    "gauge": ("b:1|g\nb:7|g\nb:4|g", {("b", "gauge"): 4}),
    "set": ("u:x|s\nu:y|s\nu:x|s", {("u", "gauge"): 2}),
    "histogram": ("h:1:2:3:4:5:6:7:8:9:10|h", {
        ("h.max", "gauge"): 10, ("h.median", "gauge"): 5, ("h.avg", "gauge"): 5.5, ("h.count", "rate"): 1,
        ("h.95percentile", "gauge"): 10}),
    "timing is a histogram": ("m:7|ms", {
        ("m.max", "gauge"): 7, ("m.median", "gauge"): 7, ("m.avg", "gauge"): 7, ("m.count", "rate"): 0.1,
        ("m.95percentile", "gauge"): 7}),
    "histogram with a rate": ("r:10|h|@0.3", {
        ("r.max", "gauge"): 10, ("r.median", "gauge"): 10, ("r.avg", "gauge"): 100 / 9, ("r.count", "rate"): 0.3,
        ("r.95percentile", "gauge"): 10}),
    "timestamped": ("t:50|c|@0.1|T1700000003", {("t", "rate"): 5}),
}


def test_worked_examples(penstockd, config):
    c = config()
    daemon = penstockd(c).start()
    send_uds(c, *(lines for lines, _ in EXAMPLES.values()))
    assert_balanced(daemon.stop())
    got = {}
    for p in daemon.points():
        assert p["interval"] == 10 and p["host"] == "test"
        if p["value"] != 0:  # a counter may have zeros after its bucket
            assert (p["metric"], p["type"]) not in got, p
            got[(p["metric"], p["type"])] = p["value"]
            assert p["ts"] == 1700000003 if p["metric"] == "t" else p["ts"] % 10 == 0
    expected = {key: value for _, points in EXAMPLES.values() for key, value in points.items()}
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        assert math.isclose(got[key], value, rel_tol=1e-12), key


@pytest.mark.parametrize("line, keys, counts, summary", [
    ("d:1:2:2:42|d", [1338, 1383, 1579], [1, 2, 1], (4, 1, 42, 11.75, 47)),
    ("d:2|d|@0.3", [1383], [3], (3, 2, 2, 2, 2 / 0.3)),
])
def test_distribution_examples(penstockd, config, line, keys, counts, summary):
    c = config()
    daemon = penstockd(c).start()
    send_uds(c, line)
    assert_balanced(daemon.stop())
    (sketch,) = [p for p in daemon.points() if p["type"] == "sketch"]
    assert (sketch["metric"], sketch["k"], sketch["n"]) == ("d", keys, counts)
    got = [sketch[k] for k in ("cnt", "min", "max", "avg", "sum")]
    assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(got, summary)), got


def test_tags_are_sorted_unique_and_host_is_taken_out(penstockd, config):
    c = config(dogstatsd_tags=["team:x"], statsd_metric_namespace="ns")
    daemon = penstockd(c).start()
    send_uds(c, "a:1|c|#z:1,b:2,z:1,host:other", "a:2|c|#b:2,z:1,host:other")
    assert_balanced(daemon.stop())
    sums = {}
    for p in daemon.points():
        assert (p["metric"], p["host"], p["tags"]) == ("ns.a", "other", ["b:2", "team:x", "z:1"])
        sums[p["metric"]] = sums.get(p["metric"], 0) + p["value"] * 10
    assert sums == {"ns.a": 3}


def test_events_and_checks_come_out(penstockd, config):
    c = config()
    daemon = penstockd(c).start()
    send_uds(c, "_e{5,4}:title|text|p:low|t:warning|#k:v", "_sc|disk.ok|1|#k:v|m:full")
    assert_balanced(daemon.stop())
    points = {p["type"]: p for p in daemon.points()}
    event, check = points["event"], points["service_check"]
    assert (event["title"], event["text"], event["priority"], event["alert_type"]) == ("title", "text", "low", "warning")
    assert (check["name"], check["status"], check["message"]) == ("disk.ok", 1, "full")
    assert event["tags"] == check["tags"] == ["k:v"]
    assert event["hostname"] == check["hostname"] == "test"


GARBAGE = {
    "no-pipe": "a:1", "no-colon": "a|c", "empty-name": ":1|c", "empty-value": "a:|c", "bad-type": "a:1|q",
    "bad-value": "a:x|c", "bad-rate": "a:1|c|@x", "bad-timestamp": "a:1|c|Tx", "sc-format": "_sc|x",
    "event-no-colon": "_e{1,1}",
}


def test_garbage_is_counted_by_reason(penstockd, config):
    c = config()
    daemon = penstockd(c).start()
    send_uds(c, "good:1|c", *GARBAGE.values(), "\n".join(GARBAGE.values()), b"\xff\x00\xfe", b"x" * 300)
    ledger = daemon.stop()
    assert_balanced(ledger)
    rejected = {k: v for k, v in ledger["lines"]["rejected"].items() if v}
    expected = dict.fromkeys(GARBAGE, 2)
    expected["no-pipe"] += 2
    assert rejected == expected
    assert ledger["lines"]["ok"] == 1
    assert daemon.counter_sums() == {"good": 1}


def test_a_datagram_longer_than_the_buffer_is_refused_whole(penstockd, config):
    c = config(dogstatsd_buffer_size=1000)
    daemon = penstockd(c).start()
    line = "a:1|c\n"
    fits = (line * 200)[:1000]
    assert len(fits) == 1000
    send_uds(c, fits, line * 167)  # 1002 bytes
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto((line * 167).encode(), ("127.0.0.1", c["dogstatsd_port"]))
    lab.wait_until(lambda: daemon.ledger()["packets"]["offered"] == 3, 10, "three packets")
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["packets"]["truncated"] == 2
    assert daemon.counter_sums() == {"a": 166}  # the last line of `fits` is cut: "a:1|"


def test_contexts_are_bounded(penstockd, config, traffic):
    c = config({"limits": {"contexts": 500}})
    daemon = penstockd(c).start()
    report = traffic(uds(c), "many", contexts=5000, tags=1, packets=4000).report()
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert ledger["samples"]["overflow"] > 0
    assert ledger["samples"]["total"] == sum(report["samples"].values())


def test_empty_datagrams_are_harmless(penstockd, config):
    c = config()
    daemon = penstockd(c).start()
    send_uds(c, b"", b"\n\n\n", "a:1|c")
    assert_balanced(daemon.stop())
    assert daemon.counter_sums() == {"a": 1}
