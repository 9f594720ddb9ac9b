"""Spec 8.4 to 8.9, sentence by sentence, through penstock-replay. The expected values are worked out by hand; where a
ruling or docs/differences.md decides otherwise than the sentence, the case says so."""

import json
import math

import pytest
from test_replay import OK, record, replay

B = 1700000000  # start of the first bucket
DISTINCT = [f"{v}" for v in range(1, 21)]
COPY = {"histogram_copy_to_distribution": True, "histogram_aggregates": [], "histogram_percentiles": []}


def series(metric, value, kind="gauge", ts=B, tags=()):
    return {"ts": ts, "type": kind, "metric": metric, "host": "", "tags": list(tags), "interval": 10, "value": value}


def rate(metric, value, ts=B, tags=()):
    return series(metric, value, "rate", ts, tags)


def sketch(metric, keys, counts, cnt, low, high, avg, total, ts=B):
    return {"ts": ts, "type": "sketch", "metric": metric, "host": "", "tags": [], "k": keys, "n": counts, "cnt": cnt,
            "min": low, "max": high, "avg": avg, "sum": total}


def histogram(metric, high, median, avg, count, p95):
    """The series of the default configuration; `count` is the number of samples."""
    return [series(f"{metric}.max", high), series(f"{metric}.median", median), series(f"{metric}.avg", avg),
            rate(f"{metric}.count", count / 10), series(f"{metric}.95percentile", p95)]


def zeros(metric, first, end):
    return [rate(metric, 0, ts) for ts in range(first, end, 10)]


# name: ([(seconds after B, packet)] or one packet at B, points, configuration)
CASES = {
    # 8.9, the worked examples
    "8.9 counter": ("a:3|c\na:2|c|@0.5", [rate("a", 0.7)], {}),
    "8.9 gauge": ("b:1|g\nb:7|g\nb:4|g", [series("b", 4)], {}),
    "8.9 set": ("u:x|s\nu:y|s\nu:x|s", [series("u", 2)], {}),
    "8.9 histogram": ("h:1:2:3:4:5:6:7:8:9:10|h", histogram("h", 10, 5, 5.5, 10, 10), {}),
    "8.9 histogram with a rate": ("h:10|h|@0.3", histogram("h", 10, 10, 100 / 9, 3, 10), {}),
    "8.9 sketch": ("d:1:2:2:42|d", [sketch("d", [1338, 1383, 1579], [1, 2, 1], 4, 1, 42, 11.75, 47)], {}),
    "8.9 sketch with a rate": ("d:2|d|@0.3", [sketch("d", [1383], [3], 3, 2, 2, 2, 20 / 3)], {}),
    "8.9 timestamped": ("t:50|c|@0.1|T1700000003", [rate("t", 5, 1700000003)], {}),
    "8.9 zeros in buckets that start before last seen + 300": (
        [(5, "a:1|c"), (500, "x:1|g")], [rate("a", 0.1), *zeros("a", B + 10, B + 305), series("x", 1, ts=B + 500)], {}),
    # 8.4 counters
    "sum of value times 1/rate over 10": ("a:1:2:3|c|@0.5\na:-4|c", [rate("a", 0.8)], {}),
    "a sum of 0 is a point": ("a:1|c\na:-1|c", [rate("a", 0)], {}),
    "samples of one bucket only": ([(0, "a:1|c"), (9.999, "a:2|c"), (10, "a:4|c")],
                                   [rate("a", 0.3), rate("a", 0.4, B + 10)], {}),
    "zeros end with the configured expiry": ([(0, "a:1|c"), (100, "")], [rate("a", 0.1), rate("a", 0, B + 10)],
                                             {"dogstatsd_expiry_seconds": 15}),
    "zeros need no other traffic (rulings)": ([(0, "a:1|c"), (25, "")], [rate("a", 0.1), *zeros("a", B + 10, B + 30)], {}),
    "a discarded value makes a counter known (ruling 3)": ([(0, "a:nan|c"), (15, "")], zeros("a", B, B + 20), {}),
    "distributions alone fill no zeros": ([(0, "d:1|d"), (15, "")], [sketch("d", [1338], [1], 1, 1, 1, 1, 1)], {}),
    # 8.4 gauges and sets
    "the last gauge wins, packed values included": ("b:1:9:3|g", [series("b", 3)], {}),
    "a gauge's rate is ignored": ("b:4|g|@0.5\nc:4|g|@0", [series("b", 4), series("c", 4)], {}),
    "no zero fill but for counters": ([(0, "b:1|g\nu:1|s\nh:1|h"), (30, "")],
                                      [series("b", 1), series("u", 1), *histogram("h", 1, 1, 1, 1, 1)], {}),
    "sets count raw strings": ("u:1|s\nu:1.0|s\nu:01|s\nu:x|s\nu:X|s\nu:1|s|@0.1", [series("u", 5)], {}),
    "a set's value is one string": ("u:1:2|s\nu:2:1|s", [series("u", 2)], {}),
    "sets start anew in each bucket": ([(0, "u:x|s\nu:y|s"), (10, "u:x|s")], [series("u", 2), series("u", 1, ts=B + 10)], {}),
    "without samples nothing is sent": ("b:nan|g\nh:inf|h\nd:-inf|d", [], {}),
    "types are kept apart (differences)": ("x:1|c\nx:9|g", [rate("x", 0.1), series("x", 9)], {}),
    # 8.5
    "weight int(1/r), sum with 1/r": (
        "h:7|h|@0.7", [series("h.sum", 10), series("h.avg", 10), rate("h.count", 0.1)],
        {"histogram_aggregates": ["sum", "avg", "count"], "histogram_percentiles": []}),
    "median: first cumulative weight above (count - 1) / 2": (
        "a:1:2|h\nb:4:3:2:1|h\nc:1|h|@0.5\nc:5|h\nd:1|h\nd:5|h|@0.5",
        [series("a.median", 1), series("b.median", 2), series("c.median", 1), series("d.median", 5)],
        {"histogram_aggregates": ["median"], "histogram_percentiles": []}),
    "percentile: first cumulative weight above (p * count - 1) / 100": (
        f"h:{':'.join(DISTINCT)}|h\ni:8|h\nj:1|h|@0.05\nj:2|h",
        [series("h.95percentile", 19), series("i.95percentile", 8), series("j.95percentile", 1)],
        {"histogram_aggregates": []}),
    "percentiles are int(x * 100 + 0.5), bad ones skipped": (
        f"h:{':'.join(DISTINCT)}|h",
        [series("h.0percentile", 1), series("h.50percentile", 10), series("h.96percentile", 20), series("h.100percentile", 20)],
        {"histogram_aggregates": [], "histogram_percentiles": ["0.999", "0.955", "0", "0.5", "2", "-0.1", "x"]}),
    "max, min, and unknown aggregates skipped": (
        "h:3:-5:4|h", [series("h.max", 4), series("h.min", -5)],
        {"histogram_aggregates": ["max", "mode", "min"], "histogram_percentiles": []}),
    "ms is a histogram": ("h:1|ms\nh:3|h", histogram("h", 3, 1, 2, 2, 3), {}),
    "a copy is named prefix + final name": (
        "h:1:2|h|@0.5\ni:2|ms", [sketch("p.n.h", [1338, 1383], [2, 2], 4, 1, 2, 1.5, 6), sketch("p.n.i", [1383], [1], 1, 2, 2, 2, 2)],
        {**COPY, "histogram_copy_to_distribution_prefix": "p.", "statsd_metric_namespace": "n"}),
    # 8.6
    **{f"8.6 key of {v}": (f"d:{v}|d", [sketch("d", [k], [1], 1, float(v), float(v), float(v), float(v))], {})
       for v, k in {"1": 1338, "2": 1383, "0.5": 1293, "10": 1487, "42": 1579, "100": 1635, "1000": 1784, "1e6": 2229,
                    "1e9": 2675, "0.001": 892, "1e-9": 1, "1e-10": 0, "-42": -1579, "0": 0, "1e308": 32767,
                    "-1e308": -32767, "9.94185408912145e-10": 1, "9.94185408912144e-10": 0}.items()},
    "n = 1/r: count int(n), sum n * v, average over whole weights": (
        "d:2|d|@0.3\nd:42|d", [sketch("d", [1383, 1579], [3, 1], 4, 2, 42, 12, 20 / 3 + 42)], {}),
    "rates outside (0, 1] are 1": ("d:2|d|@0\nd:2|d|@-1\nd:2|d|@1.5\nd:2|d|@1", [sketch("d", [1383], [4], 4, 2, 2, 2, 8)], {}),
    "bins ascend": ("d:42:-42:0:1|d", [sketch("d", [-1579, 0, 1338, 1579], [1, 1, 1, 1], 4, -42, 42, 0.25, 1)], {}),
    "above 2^32 - 1: the remainder, then full ones": (
        "\n".join([f"d:1|d|@{2 ** -31!r}"] * 5),
        [sketch("d", [1338] * 3, [5 * 2 ** 31 - 2 * (2 ** 32 - 1), 2 ** 32 - 1, 2 ** 32 - 1], 5 * 2 ** 31, 1, 1, 1, 5 * 2 ** 31)], {}),
    # 8.7, as docs/differences.md has it: a rate that is no rate counts as 1
    "c: rate 0, above 1, below 0, NaN": ("\n".join(f"a:1|c|@{r}" for r in ("0", "2", "-1", "nan")), [rate("a", 0.4)], {}),
    "h: rate 0, above 1, below 0, NaN": ("\n".join(f"h:3|h|@{r}" for r in ("0", "2", "-1", "nan")), histogram("h", 3, 3, 3, 4, 3), {}),
    "s: ignored": ("u:x|s|@0\nu:y|s|@2", [series("u", 2)], {}),
    # 8.8
    "gauge unchanged, counter over 10, rate ignored": (
        "g:7|g|@0.1|T1700000003\nc:7|c|@0.1|T1700000003", [series("g", 7, ts=B + 3), rate("c", 0.7, B + 3)], {}),
    "tags sorted and unique (ruling 1)": ("g:7|g|#b,a,b|T5", [series("g", 7, ts=5, tags=["a", "b"])], {}),
    "others are dropped": ("x:1|h|T5\nx:1|ms|T5\nx:1|s|T5\nx:1|d|T5", [], {}),
    "no value that is not finite (ruling 15)": ("g:nan:1:inf|g|T5", [series("g", 1, ts=5)], {}),
    "no age limits": ("g:1|g|T1\ng:2|g|T99999999999", [series("g", 1, ts=1), series("g", 2, ts=99999999999)], {}),
    "equal points are not merged": ("c:1|c|T5\nc:1|c|T5", [rate("c", 0.1, 5), rate("c", 0.1, 5)], {}),
    "no context is known by them (rulings)": ([(0, "c:1|c|T1700000003"), (30, "")], [rate("c", 0.1, B + 3)], {}),
    "with the pipeline off T is ignored": ("c:1|c|@0.5|T5", [rate("c", 0.2)], {"dogstatsd_no_aggregation_pipeline": False}),
    "a copy goes to the bucket of its time": (
        [(25, "h:2|h|T1700000003\nh:2|h|T1700000029\nh:1|h")],
        [sketch("h", [1383], [1], 1, 2, 2, 2, 2), sketch("h", [1338, 1383], [1, 1], 2, 1, 2, 1.5, 3, ts=B + 20)], COPY),
}


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-12) if isinstance(a, float) else a == b


def key(point):
    return point["ts"], point["metric"], point["type"], point.get("value", 0)


@pytest.mark.parametrize("name", CASES)
def test_sentence(folder, name):
    packets, expected, keys = CASES[name]
    if isinstance(packets, str):
        packets = [(0, packets)]
    (folder / "c.yaml").write_text(json.dumps(keys))
    data = b"".join(record(B + seconds, packet.encode()) for seconds, packet in packets)
    for shards in (1, 3):
        done = replay("--config", folder / "c.yaml", "--shards", shards, stdin=data)
        assert done.returncode == OK, done.stderr.decode()
        got = sorted(map(json.loads, done.stdout.splitlines()), key=key)
        expected = sorted(expected, key=key)
        assert len(got) == len(expected), done.stdout.decode()
        for a, b in zip(got, expected, strict=True):
            assert a.keys() == b.keys() and all(close(a[k], b[k]) for k in a), f"{a}\nexpected {b}"


def test_the_lowest_of_more_than_4096_bins_fold():
    """5000 keys, the lowest 904 of which go into the next one."""
    values = [repr((1 + 1 / 64) ** (k - 1338)) for k in range(1, 5001)]
    lines = [f"d:{':'.join(values[i:i + 100])}|d".encode() for i in range(0, 5000, 100)]
    done = replay("--shards", 3, stdin=b"".join(record(B, line) for line in lines))
    (point,) = map(json.loads, done.stdout.splitlines())
    assert point["k"] == [*range(905, 5001)]
    assert point["n"] == [905] + [1] * 4095
    assert point["cnt"] == 5000
