"""Everything a client may say, over Unix datagrams and kernel UDP, against the reference in reference.py: the
whole output and the ledger's reasons must be what the protocol says, for several configurations."""

import collections
import concurrent.futures
import json
import math
import os
import pathlib
import random
import re
import socket
import time

import lab
import pytest
from conftest import assert_balanced, free_port, send_uds
from reference import NOW, Config, Refused, Server, parse

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"


# --- the reference itself ---

def plain(number):
    """A number as the vectors write it."""
    if isinstance(number, bytes):
        return number.decode()
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else "+Inf" if number > 0 else "-Inf"


def described(m):
    """A message as the vectors describe it."""
    out = {"kind": m.kind, "tags": [t.decode() for t in m.tags], "timestamp": m.time, "inode": m.inode,
           "container_id": m.container.decode(), "cardinality": m.cardinality.decode()}
    if m.external != (False, b"", b""):
        out["external_data"] = {"init": m.external[0], "container_name": m.external[1].decode(),
                                "pod_uid": m.external[2].decode()}
    required = {}
    if m.kind == "metric":
        required = {"name": m.name.decode(), "type": m.symbol.decode(), "values": [plain(v) for v in m.values],
                    "rate": plain(m.rate)}
    elif m.kind == "event":
        required = {"title": m.title.decode(), "text": m.text.decode(), "priority": m.priority.decode(),
                    "alert_type": m.alert_type.decode()}
        out |= {"aggregation_key": m.key.decode(), "source_type": m.source.decode(), "hostname": m.host.decode()}
    else:
        required = {"name": m.name.decode(), "status": m.status}
        out |= {"message": m.message.decode(), "hostname": m.host.decode()}
    return {k: v for k, v in out.items() if v} | required


def test_the_reference_agrees_with_the_vectors():
    config = Config({"hostname": "", "dogstatsd_origin_detection_client": True})
    for line in (FIXTURES / "vectors.jsonl").read_text().splitlines():
        vector = json.loads(line)
        try:
            got = described(parse(vector["in"].encode(), config))
        except Refused as refused:
            got = {"error": True, "reason": str(refused)}
        assert got == vector["expect"], vector["id"]


# --- what is sent ---

NUMBERS = b"""0 1 -1 +1 7 42 0.5 .5 5. -3.25 1e3 1E-2 1_000 0x1p4 -0X1.8P-1 0x_ap0 1_0.2_5e1_0 007 1e-400 0.1
12345678901234567890 3.0000000000000004 0.30000000000000004 2.2250738585072011e-308 9007199254740993
1234567890123456789012345678901234567890e-30 00000000000000000000000000000000000000000000000001.5
""".split()
# Their sums would not be finite or not exact: each has a metric of its own.
EXTREMES = b"""1.7976931348623157e308 4.9e-324 1e-10 -1e-10 9.94185408912145e-10 1e-9 -0 1e22 1e23 0x1p-1074
0x1.fffffffffffffp1023 0x1.00000000000008p0 0x1.000000000000081p0 1e308 -1e308 123456789012345678
5e-324 2.4703282292062328e-324 2.4703282292062327e-324 0x1p-1075 0x1.8p-1075 0.0000000001
1797693134862315807e290 999999999999999999999999e-24 8.5899345919999e9""".split()
SPECIALS = b"nan NaN NAN inf Inf -inf +inf infinity -Infinity INFINITY".split()
NO_NUMBERS = b"""x . + - e 1e 1e+ 0x10 0x 0xp1 0x.p1 0x1p 0x1p+ +nan -nan infin infinityx in 1__0 _1 1_ 1_.5 1._5 1e_5
0_x1p1 0x1_p1 0b1 0o7 1e400 -1e400 0x1p1024 1.2.3 --1 1,5 $5 1f 1e5.0 0x1g0 ++1 1.7976931348623159e308 true
""".split() + [b" 1", b"1 ", b"\xd9\xa1", b"1\x00", b"\x00", b"1\r"]
RATES = SPECIALS + b"""1 1 1 0.5 0.1 0.25 0.3 0.01 1e-3 2 -1 1.5 -0.5 0x1p-2 1e-400 0 -0 +0.75 .5 1_0e-0_5 1e300
1.0000000000000002 0.9999999999999999 0.0000152587890625""".split()
TAGS = b"a b env:prod env:dev k:v k:v2 a:b:c x= host: Host:x host hos device:sda dd.internal.resource:t:n".split() + [
    b"", b"", b" a", b"a ", b"\xff\xfe", b"\xc3\xa4", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\\\"\x01\t", b"#x", b"@1",
    b"host:h1", b"host:h2", b"host:a:b", b"dd.internal.entity_id:p1", b"dd.internal.jmx_check_name:j",
    b"dd.internal.jmx_check_name:", b"dd.internal.card:low", b"dd.internal.card:high", b"dd.internal.cardx:low",
    b"xhost:h", b"team:x", b"t" * 300]
TIMES = b"1700000003 1 +1700000004 0001700000005 9223372036854775807".split()
NO_TIMES = [b"", b" 1", *b"0 -1 x 1.5 1_0 9223372036854775808".split()]
NAMES = b"a b.c sum \xc3\xbc \xff kafka.x runtimeX kafk _e # a,b=c a.max".split() + [b"with space", b"r\r", b"n" * 200]
MEMBERS = b"x y a:b : \xff 1 1.0 nan".split() + [b" ", b"z" * 100]
UNKNOWN = b"x C:abc t5 c e card card: \xff\x00 m:x p:low 0.5".split() + [b"", b"", b" #a", b" @5"]
ORIGINS = b"""c: c:abc c:ci-abc c:cid-abc c:in-77 c:ci-x,in-5 c:cid-y,in-6 c:in-x c:in- c:in-99999999999999999999
c:in-+5 c:, c:ci-a,ci-b e:it-true,cn-web,pu-u e:it-1 e:x e: e:it-yes,cn-c e:cn-\xff card:low card:bogus card:none
card:high card:HIGH card:orchestrator""".split()
# Of events and checks; then of each.
SHARED_FIELDS = b"d:1700000123 d:0 d:-5 d:soon d: d:1.5 h:h9 c x:y #a,b".split() + [b"h:a b", b""]
EVENT_FIELDS = b"""k: k:key s: s:src p:low p:normal p:x p: t:error t:warning t:info t:success t:Error t: m:x @x
Tx""".split()
CHECK_FIELDS = b"m: m:text m:a:b\\n m:\xff k:x p:low T @".split()
GARBAGE = [b" ", b"\x00", *b"""a | :| :1|c a|c a:|c a:1| a:1|| a:1|C a:1|cc a:1|m a::|c _e{ _e{1,1} _e{: _e{0,1}:|x 
_e{1}:a|b _sc _scan:1|c _sc||0""".split()]


class Generator:
    """Random datagrams that follow from a seed; $SEED gives others. Gauges have names of their own in each, as
    the order of datagrams is only kept within one socket."""

    def __init__(self, seed, mark):
        self.random = random.Random(seed)
        self.mark = mark

    def some(self, items, most):
        return [self.random.choice(items) for _ in range(self.random.randint(0, most))]

    def chance(self, p):
        return self.random.random() < p

    def number(self):
        kind = self.random.random()
        if kind < 0.45:
            return self.random.choice(NUMBERS)
        if kind < 0.9:
            return repr(round(self.random.uniform(-1000, 1000), self.random.randint(0, 12))).encode()
        return self.random.choice(SPECIALS if kind < 0.95 else NO_NUMBERS)

    def tags(self):
        return b"#" + b",".join(self.some(TAGS, 5))

    def values(self):
        packed = self.random.choice([0] * 6 + [1, 2, 5])
        return b":".join([self.number()] + [self.number() if self.chance(0.9) else b"" for _ in range(packed)])

    def metric(self):
        pick, chance = self.random.choice, self.chance
        kind = pick([b"c", b"g", b"h", b"ms", b"d", b"s"])
        name = pick(NAMES) + (self.mark if kind == b"g" else b"")
        value = pick(MEMBERS) if kind == b"s" else self.values()
        fields = [b"#" + pick([b"", b"k:v", b"k:v,env:prod", b"env:prod,k:v,k:v"])] if chance(0.6) else []
        fields += [self.tags()] if chance(0.3) else []
        fields += [b"@" + pick(RATES)] if chance(0.4) else []
        fields += [b"@" + pick(NO_NUMBERS)] if chance(0.02) else []
        fields += [b"T" + pick(TIMES)] if chance(0.08) else []
        fields += [b"T" + pick(NO_TIMES)] if chance(0.02) else []
        fields += self.some(UNKNOWN, 1) if chance(0.3) else []
        fields += self.some(ORIGINS, 2) if chance(0.2) else []
        self.random.shuffle(fields)
        return b"|".join([name + b":" + value, kind, *fields])

    def event(self):
        pick = self.random.choice
        title = pick([b"t", b"a|b", b"x\\ny", b"\\\\n", b"\xff", b"\xc3\xa4", b"a:b", b"end\\"])
        body = pick([b"", b"text", b"a|b", b"l\\nm\\n", b"\x00\x01", b"|", b":"])
        length = len(body) + (pick([-1, 10**6, 10**30]) if self.chance(0.05) else 0)
        header = pick([b"_e{%d,%d}"] * 9 + b"_e{+%d,0%d} _e{%d;%d} _e{%d,%d,} _e{%dx,%d} _e{%d,%d!".split())
        return b"|".join([header % (len(title), length) + b":" + title, body, *self.fields(EVENT_FIELDS)])

    def check(self):
        pick = self.random.choice
        prefix = pick([b"_sc|"] * 9 + [b"_scX", b"_sc"])
        name = pick([b"db.up"] * 5 + [b"a b", b"", b"\xff", b"x:y"])
        status = pick([b"0", b"1", b"2", b"3"] * 5 + [b"4", b"", b"00", b"OK", b"-1", b"0 "])
        return b"|".join([prefix + name, status, *self.fields(CHECK_FIELDS)])

    def fields(self, own):
        fields = self.some([*own, *SHARED_FIELDS, self.tags(), self.tags()], 5)
        return fields + (self.some(ORIGINS, 2) if self.chance(0.3) else [])

    def garbage(self):
        line = self.random.choice([self.metric, self.event, self.check])()
        how = self.random.randrange(5)
        if how == 0:
            return self.random.randbytes(self.random.randint(1, 60)).replace(b"T", b"")
        if how == 1:
            return line[:self.random.randint(0, len(line))]
        if how == 2:
            at = self.random.randrange(len(line) + 1)
            return line[:at] + self.random.choice([b"|", b":", b"", b"\x00", b"\r"]) + line[at + 1:]
        return self.random.choice(GARBAGE)

    def line(self):
        kind = self.random.random()
        if kind < 0.8:
            return self.metric()
        return self.event() if kind < 0.87 else self.check() if kind < 0.94 else self.garbage()

    def datagram(self):
        lines = [self.line() for _ in range(self.random.choice([0, 1, 1, 2, 5, 20]))]
        end = [self.random.choice([b"\n"] * 8 + [b"\r\n", b"\n\n", b"\n\r\n", b"\r\r\n"]) for _ in lines]
        data = b"".join(line + e for line, e in zip(lines, end))
        return data[:-1] if data and self.chance(0.5) else data


def by_hand(mark):
    """Datagrams that chance would not make."""
    for i, number in enumerate(EXTREMES):
        for kind in (b"c", b"g", b"h", b"d"):
            yield b"extreme.%b.%d.%b:%b|%b" % (mark, i, kind, number, kind)
    for i, number in enumerate(NO_NUMBERS):
        yield b"no.%d:%b|g\n" % (i, number)
        yield b"no.%d:1|g|@%b\n" % (i, number)
    for i, rate in enumerate(RATES):
        for kind in (b"c", b"g", b"h", b"ms", b"d", b"s"):
            yield b"rate.%b.%d.%b:10|%b|@%b\n" % (mark, i, kind, kind, rate)
    yield b"only.nan:nan|c\nonly.nan.g:nan|g\nonly.nan.h:inf|h\nonly.nan.d:-inf|d\n"
    yield b"clash:1|c\nclash:2|h\nclash:3|ms\nclash:x|s\nclash:4|d\nclash:0.5|c|@0.5\nclash:5|d\n"
    yield b"clash.%b:9|g\nclash.%b:y|s\nclash.%b:1|c\n" % (mark, mark, mark)
    yield b"zero:0|c\nzero:1:-1|c\nzero:0|g\nzero:-0|h\nzero:0|d"
    for i, kind in enumerate((b"c", b"h", b"d")):
        yield b"tiny.rate%d:10:-3|%b|@1e-10\ntiny.rate%d:5|%b|@0x1p-32" % (i, kind, i, kind)
        yield b"infinite.sum%d:1e308:1e308|%b\ninfinite.scale%d:1e308|%b|@1e-9" % (i, kind, i, kind)
    yield b"late.nan.%b:1|g\nlate.nan.%b:nan|g\n" % (mark, mark)
    yield b"packed:" + b":".join(b"%d" % i for i in range(1000)) + b"|d\n"
    yield b"packed:" + b":".join(b"%d" % (i * 37 % 1000) for i in range(1000)) + b"|h|@0.5\n"
    yield b"packed:" + b":".join(b"1" for _ in range(2000)) + b"|c|T1700000000\n"
    yield b"manytags:1|c|#" + b",".join(b"t%d:%d" % (i, i) for i in range(700)) + b"\n"
    yield b"manytags:1|c|#" + b",".join(b"t%d:%d" % (i, i) for i in reversed(range(700))) + b"\n"
    yield b"emptytags:1|c|#" + b"," * 3000 + b"\n"
    yield b"pieces" + b":" * 3000 + b"5|c\n"
    yield b"fields:1|c" + b"|" * 3000 + b"@0.5\n"
    yield b"n" * 8186 + b":1|c\n" + b""
    for size in (8191, 8192, 8193, 9000):
        line = b"size.%b.%d:1|c\n" % (mark, size)
        yield line + b"pad:1|c|#" + b"p" * (size - len(line) - 9)
    yield b"\n" * 8192
    yield b"\r\n" * 4096
    yield b"x:1|c\n" * 1365
    yield b""
    yield b"\r"
    yield b"a:1|c\r\r\n"
    yield b"unterminated.%b:1|c" % mark
    yield b"terminated.%b:1|c\nunterminated.%b:1|c\r" % (mark, mark)
    for n in range(60):  # every length around the widths of vector registers, cut by each end
        yield b"w" * n + b"w:1|c\n" + b"v" * n + b"v:%d|ms|@0.5|#a:%b\n" % (n, b"z" * n)
    for i in range(400):  # sketches wide and negative
        yield b"wide:%r|d\n" % (math.copysign(10 ** (i / 20 - 8), (i % 3) - 1.5))


CONFIGS = {
    "plain": {},
    "rich": dict(
        statsd_metric_namespace="ns", dogstatsd_tags=["team:x", "host:x", "a", "a"],
        dogstatsd_origin_detection_client=True,
        histogram_aggregates=["count", "min", "max", "sum", "avg", "median"],
        histogram_percentiles=["0.5", "0.999", "0", "1", "0.29"]),
    "strict": dict(
        dogstatsd_eol_required=["uds"], dogstatsd_no_aggregation_pipeline=False, statsd_metric_namespace="dot.",
        statsd_metric_namespace_blacklist=["a", "b."], histogram_aggregates=["sum"], histogram_percentiles=[]),
    "udp-eol": dict(
        dogstatsd_eol_required=["udp"], hostname="h\u00f6st", dogstatsd_origin_detection_client=True,
        dogstatsd_buffer_size=8191, histogram_percentiles=[0.95, 0.5], statsd_metric_namespace="all",
        statsd_metric_namespace_blacklist=[]),
    "mapped": dict(
        statsd_metric_namespace="ns", dogstatsd_origin_detection_client=True, dogstatsd_tag_cardinality="High",
        dogstatsd_mapper_profiles=[
            {"name": "a", "prefix": "a", "mappings": [
                {"match": "a.*", "name": "mapped.$1", "tags": {"was": "${1}", "host": "$1x"}},
                {"match": "a(.*)", "match_type": "regex", "name": "all$$.${1}$2", "tags": {"dd.internal.card": "low"}}]},
            {"name": "never", "prefix": "a#", "mappings": [{"match": "*", "name": "never"}]},
            {"name": "n", "prefix": "n", "mappings": [{"match": "nothing", "name": "never"}]},
            {"name": "rest", "prefix": "*", "mappings": [
                {"match": "kafka.*", "name": "jvm.$1"},
                {"match": "(?P<first>[b-e])\\.?(.*)", "match_type": "regex", "name": "$first.${2}.$first_2",
                 "tags": {"second": "$2", "dd.internal.entity_id": "$3", "env": "$first"}},
                {"match": "*", "name": "$1"}, {"match": "tiny.*", "name": "tiny"}]}],
        metric_filterlist=["ns.sum", "ns.mapped.max", "ns.b.c..count", "ns._.max", "jvm.x", "ns.rate."],
        metric_filterlist_match_prefix=False, statsd_metric_blocklist=["ns"]),
    "filtered": dict(
        statsd_metric_blocklist=["s", "a.max", "rate.udp", "extreme.uds", "_.max", "packed.95percentile", "b.c.sum"],
        statsd_metric_blocklist_match_prefix=True, metric_filterlist=[], dogstatsd_origin_detection_client=True,
        dogstatsd_tag_cardinality="high", origin_detection_unified=True),
    "two-shards": dict(penstock={"cores": {"control": 0, "data": [0, 1]}, "wiring": "pipeline"}),
}
SOCKETS = ("uds", "udp1", "udp2", "udp3")  # of a client; each is a flow of its own


def datagrams(name, via):
    generator = Generator(f"{name} {via} {os.environ.get('SEED', '')}", via.encode())
    yield from by_hand(via.encode())
    for _ in range(700):
        yield generator.datagram()


# --- running ---

def wait_for_bucket(at=0.0):
    """Waits until a 10-second bucket is `at` seconds old, and returns its start."""
    start = math.ceil((time.time() - at) / 10) * 10
    while time.time() < start + at:
        time.sleep(min(0.05, max(0.0, start + at - time.time())))
    return start


def unread(port):
    """Bytes in the socket buffer of a UDP port on loopback."""
    here = f":{port:04X}"
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if local.endswith(here):
            return int(queues.split(":")[1], 16)
    raise AssertionError(f"nobody listens on UDP port {port}")


def send(config, via, data):
    if via == "uds":
        send_uds(config, *data)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", config["dogstatsd_port"]))
        room = 0
        for datagram in data:
            room -= len(datagram) + 1024
            if room < 0:  # half of what a socket buffer of the default size holds
                while unread(config["dogstatsd_port"]):
                    time.sleep(0.001)
                room = 100_000
            s.send(datagram)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """For each configuration: the reference, the output, the ledger, and the bucket all was sent in."""
    home = pathlib.Path(tmp_path_factory.mktemp("sem"))
    daemons, out = {}, {}
    try:
        for name, keys in CONFIGS.items():
            folder = home / name
            folder.mkdir()
            config = {"hostname": "test", "dogstatsd_port": free_port(socket.SOCK_DGRAM),
                      "dogstatsd_so_rcvbuf": 4 << 20, "dogstatsd_socket": str(folder / "s"), **keys}
            config["penstock"] = {"http": {"listen": ""}, **keys.get("penstock", {})}
            daemons[name] = (lab.Daemon(folder, config).start(), config)
        sent = {(name, via): list(datagrams(name, via)) for name in CONFIGS for via in SOCKETS}
        bucket = wait_for_bucket(0.2)  # shards take up a new bucket some milliseconds after its start
        with concurrent.futures.ThreadPoolExecutor(len(sent)) as senders:  # they mostly wait
            list(senders.map(lambda to: send(daemons[to[0]][1], to[1], sent[to]), sent))
        for name, (daemon, config) in daemons.items():
            offered = sum(len(sent[name, via]) for via in SOCKETS)
            lab.wait_until(lambda: daemon.ledger()["packets"]["offered"] == offered, 10, f"{name}: {offered} packets")
        assert time.time() < bucket + 10, "too slow for one bucket"
        for name, (daemon, config) in daemons.items():
            reference = Server(config)
            ledger = daemon.stop()
            for via in SOCKETS:
                for data in sent[name, via]:
                    reference.datagram(data, via[:3])
            out[name] = (reference, daemon.points(), ledger, bucket)
        yield out
    finally:
        for daemon, _ in daemons.values():
            daemon.close()


# --- comparing ---

def key_and_numbers(point, bucket):
    """A point as its identity and its numbers. Runs of bytes that are not UTF-8 count as one."""
    point = dict(point)
    numbers = [float(point.pop(k)) for k in ("value", "avg", "sum", "min", "max") if k in point]
    if point["type"] in ("event", "service_check") and point.get("timestamp") in range(bucket, bucket + 10):
        point["timestamp"] = NOW
    text = json.dumps(point, sort_keys=True, ensure_ascii=False)
    return re.sub("\ufffd+", "\ufffd", text), numbers


def close(got, expected, key):
    """To 1e-9, or to what rounding leaves of the greatest number that may have been added up: of a sketch its
    extremes; none where a metric has one sample only."""
    greatest = 0 if "extreme." in key else max(1e4, *map(abs, expected[2:]), 0)
    return all(a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-16 * greatest)
               for a, b in zip(got, expected, strict=True))


def differences(got, expected, bucket):
    """What is in one and not in the other, readably."""
    later = range(bucket + 10, bucket + 60)  # where counters are 0
    got = (p for p in got if not (p["type"] == "rate" and p["value"] == 0 and p["ts"] in later))
    sides = collections.defaultdict(lambda: ([], []))
    for side, points in enumerate((got, expected)):
        for point in points:
            key, numbers = key_and_numbers(point, bucket)
            sides[key][side].append(numbers)
    wrong = []
    for key, (a, b) in sides.items():
        a.sort()
        b.sort()
        if len(a) != len(b) or not all(close(x, y, key) for x, y in zip(a, b)):
            wrong.append(f"{key}\n    got      {a[:4]}\n    expected {b[:4]}")
    return wrong


@pytest.mark.parametrize("name", CONFIGS)
def test_output_is_what_the_reference_says(runs, name):
    reference, got, _, bucket = runs[name]
    wrong = differences(got, reference.points(bucket), bucket)
    assert not wrong, f"{len(wrong)} of {len(got)} differ:\n" + "\n".join(sorted(wrong)[:30])


@pytest.mark.parametrize("name", CONFIGS)
def test_ledger_is_what_the_reference_says(runs, name):
    reference, _, ledger, bucket = runs[name]
    assert_balanced(ledger)
    reference.points(bucket)
    packets, lines, samples = (
        {k: v for k, v in ledger[part].items() if isinstance(v, int) and v} for part in ("packets", "lines", "samples"))
    assert packets == dict(reference.packets)
    assert {k: v for k, v in ledger["lines"]["rejected"].items() if v} == dict(reference.rejected)
    assert lines == dict(reference.lines)
    del samples["sealed"]
    assert samples == dict(reference.samples)
    jsonl = next(e for e in ledger["points"]["exporters"] if e["name"] == "jsonl")
    assert jsonl["filtered"] == reference.series_filtered
    if name in ("mapped", "filtered"):
        assert reference.series_filtered > 0 and reference.samples["filtered"] > 0


@pytest.mark.parametrize("name", CONFIGS)
def test_tags_are_sorted_and_unique(runs, name):
    for point in runs[name][1]:
        tags = point.get("tags", [])
        if "\ufffd" not in "".join(tags):
            assert tags == sorted(set(tags), key=str.encode)


# --- buckets, zero fill, expiry ---

def zeros(points, name, bucket):
    """The 10-second buckets after `bucket` (0 is it) in which counter `name` has a point, with its value."""
    return {(p["ts"] - bucket) // 10: p["value"] * 10 for p in points if p["metric"] == name and p["type"] == "rate"}


def test_zero_fill(penstockd, config, folder):
    """dogstatsd_expiry_seconds 6: who is zero in the next bucket was last seen later than 4 s into this one, to
    the fraction. Another penstockd remembers for long and gets no traffic after the first bucket; one for 0 s."""
    keys = {"short": dict(dogstatsd_expiry_seconds=6, dogstatsd_context_expiry_seconds=1),
            "long": dict(dogstatsd_context_expiry_seconds=1), "none": dict(dogstatsd_expiry_seconds=0)}
    configs = {name: {**config({"limits": {"contexts": 100}}, dogstatsd_port=0, **k),
                      "dogstatsd_socket": str(folder / name)}
               for name, k in keys.items()}
    daemons = {name: penstockd(c).start() for name, c in configs.items()}
    bucket = wait_for_bucket(2)
    for c in configs.values():
        send_uds(c, "early:5|c\nnan:nan|c\nfuture:1|c|T1700000000\ngauge:1|g\nhist:1|h\n", "again:1|c")
    fill = [f"fill{i}:1|g\n" for i in range(70)]
    send_uds(configs["short"], *fill)
    wait_for_bucket(3.6)
    send_uds(configs["short"], "below:5|c")
    wait_for_bucket(4.4)
    send_uds(configs["short"], "above:5|c")
    wait_for_bucket(8)
    send_uds(configs["short"], "late:5|c", "late.nan:nan|c")
    assert wait_for_bucket(1) == bucket + 10
    send_uds(configs["short"], "late:2|c\nagain:3|c\nsecond:1|c")
    wait_for_bucket(5)
    # Those of the first bucket are forgotten by now: there is room for others.
    send_uds(configs["short"], *[line.replace("fill", "more") for line in fill])
    assert wait_for_bucket(1) == bucket + 20
    ledgers = {name: d.stop() for name, d in daemons.items()}
    for ledger in ledgers.values():
        assert_balanced(ledger)
        assert ledger["samples"]["overflow"] == 0
    points = {name: d.points() for name, d in daemons.items()}
    assert {n: zeros(points["short"], n, bucket) for n in (
        "early", "nan", "below", "above", "late", "late.nan", "again", "second", "gauge")} == {
        "early": {0: 5}, "nan": {0: 0}, "below": {0: 5}, "above": {0: 5, 1: 0}, "late": {0: 5, 1: 2},
        "late.nan": {0: 0, 1: 0}, "again": {0: 1, 1: 3}, "second": {1: 1}, "gauge": {}}
    assert {n: zeros(points["long"], n, bucket) for n in ("early", "nan", "again", "gauge", "hist.count")} == {
        "early": {0: 5, 1: 0, 2: 0}, "nan": {0: 0, 1: 0, 2: 0}, "again": {0: 1, 1: 0, 2: 0}, "gauge": {},
        "hist.count": {0: 1}}
    assert {n: zeros(points["none"], n, bucket) for n in ("early", "nan")} == {"early": {0: 5}, "nan": {0: 0}}
    for each in points.values():
        assert [p["ts"] for p in each if p["metric"] == "future"] == [1700000000]
