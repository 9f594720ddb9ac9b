"""Clients and a server that nobody here wrote, run as they are."""

import asyncio
import json
import math
import urllib.parse
import urllib.request

import lab
import pytest
from conftest import ROOT, assert_balanced, free_port, uds

CLIENTS = lab.BUILD / "clients"


def totals(points):
    """Sums of counters and counts of histograms by metric, gauges by (metric, tags)."""
    sums = lab.counter_sums(points)
    gauges = {(p["metric"], tuple(p["tags"])): p["value"] for p in points if p["type"] == "gauge"}
    return sums, gauges


@pytest.mark.parametrize("protocol", ["udp", "uds", "stream", "pipe"])
def test_hot_shots(penstockd, config, folder, protocol):
    assert (CLIENTS / "node_modules/hot-shots").is_dir(), f"run tools/install-packages --clients {CLIENTS}"
    c = config(dogstatsd_stream_socket=str(folder / "stream.socket"), dogstatsd_pipe_name=str(folder / "pipe"))
    daemon = penstockd(c).start()
    target = {"udp": ["udp", "127.0.0.1", c["dogstatsd_port"]], "uds": ["uds", c["dogstatsd_socket"]],
              "stream": ["stream", c["dogstatsd_stream_socket"]], "pipe": ["pipe", c["dogstatsd_pipe_name"]]}[protocol]
    script = CLIENTS / "clients.js"  # beside node_modules, where node looks for them
    script.write_text((ROOT / "tests/integration/clients.js").read_text())
    lab.run("node", script, *target)
    ledger = daemon.stop()
    assert_balanced(ledger)
    assert not any(ledger["lines"]["rejected"].values())
    points = daemon.points()
    sums, _ = totals(points)
    assert {k: v for k, v in sums.items() if v} == {
        "hs.hits": 1999, "hs.stock": -1000, "hs.sampled": 4, "hs.size.count": 100, "hs.took.count": 100}
    by_page = {}
    for p in points:
        if p.get("metric") == "hs.hits":
            by_page[p["tags"][1]] = by_page.get(p["tags"][1], 0) + lab.whole(p["value"] * 10)
            assert p["tags"][0] == "client:hot-shots"
    assert by_page == {f"page:{d}": sum(1 + i % 3 for i in range(d, 1000, 10)) for d in range(10)}
    # What follows may be split over two buckets: look at both.
    gauge = [p["value"] for p in points if p.get("metric") == "hs.level"]
    assert gauge[-1] == 7.5
    sketches = [p for p in points if p["type"] == "sketch"]
    assert sum(s["cnt"] for s in sketches) == 100 and sum(s["sum"] for s in sketches) == 5050
    assert {s["metric"] for s in sketches} == {"hs.latency"}
    assert 25 <= sum(p["value"] for p in points if p.get("metric") == "hs.users") <= 50
    (event,) = [p for p in points if p["type"] == "event"]
    assert (event["title"], event["text"], event["alert_type"], event["priority"]) == (
        "hs.Deployed", "version 2", "success", "low")  # hot-shots prefixes titles too
    assert event["tags"] == ["client:hot-shots", "v:2"]
    (check,) = [p for p in points if p["type"] == "service_check"]
    assert (check["name"], check["status"], check["message"]) == ("hs.db.up", 1, "slow")


def test_python_statsd(penstockd, config):
    import statsd
    c = config()
    daemon = penstockd(c).start()
    client = statsd.StatsClient("127.0.0.1", c["dogstatsd_port"], prefix="py")
    with client.pipeline() as batch:
        for i in range(500):
            batch.incr("hits", i % 5)
            batch.timing("took", 10)
        batch.decr("stock", 3)
        batch.gauge("level", 42)
        batch.set("users", "a")
        batch.set("users", "b")
    client.close()
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 1004, 10, "all lines")
    assert_balanced(daemon.stop())
    sums, gauges = totals(daemon.points())
    assert {k: v for k, v in sums.items() if v} == {"py.hits": 1000, "py.stock": -3, "py.took.count": 500}
    assert gauges[("py.level", ())] == 42
    assert gauges[("py.users", ())] == 2


def test_aiodogstatsd(penstockd, config):
    import aiodogstatsd
    c = config()
    daemon = penstockd(c).start()

    async def send():
        async with aiodogstatsd.Client(host="127.0.0.1", port=c["dogstatsd_port"], namespace="aio",
                                       constant_tags={"client": "aio"}) as client:
            for i in range(300):
                client.increment("hits", value=2, tags={"k": i % 3})
            client.decrement("stock", value=5)
            client.gauge("level", value=9)
            client.histogram("size", value=4)
            client.distribution("latency", value=4)
            client.timing("took", value=4)

    asyncio.run(send())
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == 305, 10, "all lines")
    assert_balanced(daemon.stop())
    points = daemon.points()
    sums, gauges = totals(points)
    assert {k: v for k, v in sums.items() if v} == {
        "aio.hits": 600, "aio.stock": -5, "aio.size.count": 1, "aio.took.count": 1}
    assert gauges[("aio.level", ("client:aio",))] == 9
    assert [s["cnt"] for s in points if s["type"] == "sketch"] == [1]


@pytest.fixture
def prometheus(folder):
    """A factory: a Prometheus that scrapes `target` each second; returns a function that queries it."""
    made = []

    def start(target):
        port = free_port()
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "penstock", "static_configs": [{"targets": [target]}]}]}))
        log = open(folder / "prometheus.log", "wb")
        made.append(lab.subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log))
        log.close()

        def query(expression):
            url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    result = json.load(answer)["data"]["result"]
            except OSError:  # not up yet
                return None
            return {r["metric"].get("__name__", ""): float(r["value"][1]) for r in result}

        return query

    yield start
    for process in made:
        process.terminate()
        process.wait(20)


def test_prometheus_scrapes_the_sums(penstockd, config, traffic, prometheus):
    listen = f"127.0.0.1:{free_port()}"
    c = config({"exporters": {"prometheus": {"listen": listen}}})
    penstockd(c).start()
    report = traffic(uds(c), "prom", packets=500, rate=1000).report()
    query = prometheus(listen)
    # Counters are cumulative; a name is the metric's with dots as underscores.
    expected = {name.replace(".", "_"): total for name, total in report["counters"].items()}

    def scraped():
        result = query('sum by (__name__) ({__name__=~"prom_.*", __name__!~".*(_count|_sum|_bucket)"})') or {}
        found = {name.removesuffix("_total"): value for name, value in result.items()}
        return all(math.isclose(found.get(name, -1), total) for name, total in expected.items())

    lab.wait_until(scraped, 30, "the sums in Prometheus")
    more = traffic(uds(c), "prom", packets=500, rate=1000).report()
    for name, total in more["counters"].items():
        expected[name.replace(".", "_")] += total
    lab.wait_until(scraped, 30, "the second sums on top of the first")


def test_health_and_own_telemetry(penstockd, config, traffic):
    listen = f"127.0.0.1:{free_port()}"
    c = config({"http": {"listen": listen}})
    daemon = penstockd(c).start()
    report = traffic(uds(c), "s", packets=100).report()
    lab.wait_until(lambda: daemon.ledger()["lines"]["total"] == report["lines"], 10, "all lines")
    for path in ("healthz", "readyz"):
        with urllib.request.urlopen(f"http://{listen}/{path}", timeout=5) as answer:
            assert answer.status == 200, path
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
        telemetry = answer.read().decode()
    assert "penstock_source_packets_total" in telemetry
    assert "\ns_" not in telemetry, "users' metrics are apart from ours"
