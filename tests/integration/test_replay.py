"""penstock-replay: random traffic over many buckets against the reference, and the same bytes for every number of
shards, burst and kernel; what it says about bad input."""

import collections
import json
import os
import random
import subprocess

import lab
import pytest
import yaml
from reference import NOW, WEIGHT_MAX, Server, Sketch
from test_semantics import CONFIGS, Generator, by_hand, differences

OK, FAILED, USAGE = 0, 1, 2
SOURCES = {"udp": "udp", "uds": "uds", "uds-stream": "uds", "pipe": "named_pipe"}  # -> dogstatsd_eol_required
START = 1_700_000_000


def replay(*args, stdin=b"", env=None):
    """Runs it on bytes; DD_* variables of whoever runs the tests do not count."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DD_") and k != "PENSTOCK_SIMD"}
    return subprocess.run([lab.REPLAY, "--input", "-", *map(str, args)], input=stdin, capture_output=True, timeout=120,
                          env={**clean, **(env or {})})


def record(t, packet, source="udp"):
    return json.dumps({"t": t, "packet": packet.decode("utf-8", "surrogateescape"), "source": source}).encode() + b"\n"


def points(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


# --- the reference over time ---


class Timeline(Server):
    """A server whose clock the input moves: buckets of 10 s, zero fill (rulings), copies of histograms (8.5)."""

    def __init__(self, keys):
        super().__init__({"hostname": "", **keys})
        self.copies = keys.get("histogram_copy_to_distribution", False)
        self.prefix = keys.get("histogram_copy_to_distribution_prefix", "").encode()
        self.expiry = keys.get("dogstatsd_expiry_seconds", 300)
        self.now, self.bucket = None, None
        self.last_seen = {}  # of counters
        self.late = collections.defaultdict(dict)  # bucket -> context -> Sketch
        self.out = []

    def record(self, t, packet, source):
        if self.now is None:
            self.bucket = int(t) // 10 * 10
        self.now = t if self.now is None else max(self.now, t)
        while self.bucket + 10 <= self.now:
            self.close()
        self.datagram(packet, SOURCES[source])

    def line(self, line):
        before = len(self.at_once)
        super().line(line)
        for point in self.at_once[before:]:
            if point.get("timestamp") == NOW:
                point["timestamp"] = int(self.now)

    def sample(self, m, value):
        super().sample(m, value)
        if m.type == "counter" and not m.time:
            self.last_seen[m.name, m.host, m.tags, m.type] = self.now
        if m.type == "histogram" and self.copies and abs(value) < float("inf"):
            scale = 1 / m.rate if 0 < m.rate <= 1 else 1.0
            bucket = m.time // 10 * 10 if m.time else self.bucket
            contexts = self.contexts if bucket == self.bucket else self.late[bucket]
            context = (self.prefix + m.name, m.host, m.tags, "distribution")
            contexts.setdefault(context, Sketch()).add(value, min(scale, WEIGHT_MAX))

    def close(self):
        for context, seen in self.last_seen.items():
            if seen + self.expiry > self.bucket:
                self.contexts.setdefault(context, 0.0)
        self.give(self.bucket)
        for bucket in [b for b in self.late if b < self.bucket]:
            self.contexts = self.late.pop(bucket)
            self.give(bucket)
        self.bucket += 10
        self.contexts = self.late.pop(self.bucket, {})

    def give(self, bucket):
        self.out += self.points(bucket)
        self.contexts, self.at_once = {}, []

    def finish(self):
        self.close()
        for bucket in sorted({self.bucket} | set(self.late)):
            self.contexts = self.contexts if bucket == self.bucket else self.late.pop(bucket)
            self.give(bucket)
        return self.out


# --- traffic ---


def traffic(seed):
    """(time, packet, source), with gaps, steps back and many packets at once."""
    chance = random.Random(seed)
    generator = Generator(seed, b"")
    packets = [*by_hand(b"x")] + [generator.datagram() for _ in range(1500)]
    t = 5.0
    for packet in packets:
        if chance.random() < 0.5:
            t += chance.choice([0.001, 0.25, 1, 3.3])
        if chance.random() < 0.01:
            t += chance.choice([60, 299.5, 300, 305, 1000])
        step = chance.choice([0.5, 5, 30, 400]) if chance.random() < 0.03 else 0
        yield START + max(0, t - step), packet, chance.choice([*SOURCES])


REPLAYS = {
    **{name: keys for name, keys in CONFIGS.items() if "penstock" not in keys},
    "short": dict(dogstatsd_expiry_seconds=12, dogstatsd_context_expiry_seconds=1, dogstatsd_eol_required=["named_pipe"]),
    "none": dict(dogstatsd_expiry_seconds=0, dogstatsd_context_expiry_seconds=0),
    "copies": dict(histogram_copy_to_distribution=True, statsd_metric_namespace="ns",
                   histogram_copy_to_distribution_prefix="dist."),
    "copies-alike": dict(histogram_copy_to_distribution=True, histogram_aggregates=["count"], histogram_percentiles=[]),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """For each configuration: its file, the input, the reference and what one shard made of it."""
    home, made = tmp_path_factory.mktemp("replay"), {}

    def make(name):
        if name not in made:
            path = home / f"{name}.yaml"
            path.write_text(yaml.safe_dump(REPLAYS[name]))
            records = list(traffic(f"{name} {os.environ.get('SEED', '')}"))
            reference = Timeline(REPLAYS[name])
            for one in records:
                reference.record(*one)
            data = b"".join(record(*one) for one in records)
            made[name] = path, data, reference, reference.finish(), replay("--config", path, "--summary", stdin=data)
        return made[name]

    return make


def keyed(points):
    """A context's points of different buckets apart: `differences` compares one bucket."""
    return [{**p, "metric": f"{p['ts']} {p['metric']}"} if "metric" in p else p for p in points]


@pytest.mark.parametrize("name", REPLAYS)
def test_output_is_what_the_reference_says(runs, name):
    _, _, _, expected, done = runs(name)
    assert done.returncode == OK, done.stderr.decode()
    got = points(done)
    wrong = differences(keyed(got), keyed(expected), 0)
    assert not wrong, f"{len(wrong)} of {len(got)} differ:\n" + "\n".join(sorted(wrong)[:30])
    assert len(got) > 10_000


@pytest.mark.parametrize("name", REPLAYS)
def test_summary_is_what_the_reference_says(runs, name):
    _, _, reference, _, done = runs(name)
    table, section = collections.defaultdict(dict), None
    for line in done.stderr.decode().splitlines():
        if not line.startswith(" "):
            section = line
        elif len(line.split()) == 2:
            table[section][line.split()[0]] = int(line.split()[1])
    assert done.stderr.decode().endswith("balanced\n") and "not balanced" not in done.stderr.decode()
    assert {k: n for k, n in table["samples"].items() if n and k != "sealed"} == dict(reference.samples)
    assert {k: table["lines"][k] for k in ("total", "ok")} == {k: reference.lines[k] for k in ("total", "ok")}
    assert table["packets"]["dispatched"] == reference.packets["dispatched"]
    assert table["packets"]["truncated"] == reference.packets["truncated"] > 0


@pytest.mark.parametrize("name", ["rich", "copies"])
def test_the_same_bytes_whatever_the_shards(runs, name):
    path, data, _, _, done = runs(name)
    for shards, burst in (2, 1), (3, 7), (8, 64), (64, 512), (1, 1):
        other = replay("--config", path, "--shards", shards, "--burst", burst, stdin=data)
        assert other.stdout == done.stdout, f"{shards} shards, burst {burst}"


def test_the_same_bytes_whatever_the_kernel(runs):
    path, data, _, _, done = runs("rich")
    refused = replay("--variant", "none")
    assert refused.returncode == USAGE
    variants = refused.stderr.decode().partition("runs ")[2].partition(";")[0].split()
    assert "scalar" in variants
    for variant in variants:
        assert replay("--config", path, "--variant", variant, stdin=data).stdout == done.stdout, variant


# --- the command ---


def test_names_bad_records_and_goes_on():
    done = replay(stdin=b'{"t":1,"packet":"a:1|c"}\n{"t":2}\n\nnonsense\n' + record(12, b"a:2|c"))
    assert done.returncode == FAILED
    said = done.stderr.decode().splitlines()
    assert said[0] == 'penstock-replay: line 2: "packet" is missing'
    assert said[1].startswith("penstock-replay: line 4: no JSON: ")
    assert [(p["ts"], p["value"]) for p in points(done)] == [(0, 0.1), (10, 0.2)]


@pytest.mark.parametrize("args, said", [
    (["--shards", "0"], '--shards "0": must be a number from 1 to 64'),
    (["--shards", "65"], '--shards "65": must be'),
    (["--burst", "x"], '--burst "x": must be'),
    (["more"], '"more": not an option'),
    (["--no"], "see --help"),
    (["--segments", ""], "--segments: its value is empty"),
    (["--variant", "none"], '--variant none: this machine runs'),
    (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
])
def test_usage(args, said):
    done = replay(*args)
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert said in done.stderr.decode()


def test_errors_of_configuration(folder):
    (folder / "c.yaml").write_text("dogstatsd_buffer_size: 1\n")
    done = replay("--config", folder / "c.yaml")
    assert done.returncode == USAGE and "c.yaml:1: dogstatsd_buffer_size" in done.stderr.decode()


def test_environment_overrides():
    done = replay(stdin=record(1, b"a:1|g"), env={"DD_HOSTNAME": "me", "DD_DOGSTATSD_TAGS": "x y"})
    assert [(p["host"], p["tags"]) for p in points(done)] == [("me", ["x", "y"])]


def test_files_and_failures(folder):
    (folder / "in").write_bytes(record(1, b"a:1|g"))
    done = replay("--input", folder / "in", "--output", folder / "out")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    assert json.loads((folder / "out").read_text())["value"] == 1
    assert replay("--input", folder / "none").returncode == FAILED
    assert replay("--output", folder / "none" / "out", stdin=record(1, b"a:1|g")).returncode == FAILED
    full = replay("--output", "/dev/full", stdin=record(1, b"a:1|g"))
    assert full.returncode == FAILED and "No space left" in full.stderr.decode()


def test_a_recording_is_not_written_over(folder):
    (folder / "in").write_bytes(record(1, b"a:1|g"))
    os.link(folder / "in", folder / "same")
    done = replay("--input", folder / "in", "--output", folder / "same")
    assert done.returncode == USAGE and "is the file of --input" in done.stderr.decode()
    assert (folder / "in").read_bytes() == record(1, b"a:1|g")
    (folder / "kept").write_bytes(b"kept")
    done = replay("--input", folder / "in", "--output", folder / "kept", "--segments", folder / "in")
    assert done.returncode == FAILED and "in: is not a folder" in done.stderr.decode()
    assert (folder / "kept").read_bytes() == b"kept"


def test_a_limit_of_origins_that_is_written_binds(folder):
    (folder / "c.yaml").write_text("dogstatsd_tag_cardinality: high\npenstock: {limits: {origins: 16}}\n")
    lines = b"".join(b'{"t":1,"packet":"a:1|g","source":"uds","container":"c%d"}\n' % i for i in range(40))
    tagged = [p for p in points(replay("--config", folder / "c.yaml", stdin=lines)) if p["tags"]]
    assert len(tagged) == 16
    (folder / "c.yaml").write_text("dogstatsd_tag_cardinality: high\n")
    assert len(points(replay("--config", folder / "c.yaml", stdin=lines))) == 40


def test_a_generated_capture(folder):
    """What the generator says it sent is what comes out."""
    report = subprocess.run([lab.PKTGEN, "--pcap", folder / "p", "--packets", "2000"], capture_output=True, check=True)
    (folder / "report").write_bytes(report.stdout)
    assert replay("--input", folder / "p", "--output", folder / "out", "--shards", 3).returncode == OK
    subprocess.run([lab.PKTGEN, "--verify", folder / "out", "--report", folder / "report"], check=True)


def test_a_long_silence_is_short():
    """Years without traffic cost nothing."""
    done = replay(stdin=record(0, b"a:1|c") + record(10**9, b"b:1|c") + record(2 * 10**11, b""))
    assert len(points(done)) == 30 + 31 - 1
