"""penstockctl segment cat on what penstock-replay --segments writes."""

import json
import subprocess

import lab
import pytest
from test_replay import record, replay

OK, FAILED, USAGE = 0, 1, 2

INPUT = (record(1700000000, b"a:3|c|#x:1,b\na:2|c|@0.5|#b,x:1\nb:1|g\nb:7|g\nu:x|s\nu:y|s\nf:0.1:0.2|c")
         + record(1700000001.5, b"h:1:2:2|h\nh:10|ms|@0.3\nd:1:2:2:42|d\nd:2|d|@0.3\nt:50|c|@0.1|T1700000003")
         + record(1700000002, b"_e{5,2}:title|te|#z,y|k:key|h:other\n_sc|db|2|m:down|#q")
         + record(1700000012, b"b:9|g"))
FIRST, SECOND = "1700000000-000001.segment", "1700000010-000002.segment"

GOLDEN = """\
{"row":"segment","version":1,"instance":"0000000000000001","sequence":1,"bucket_start":1700000000,"interval_s":10,\
"samples":18,"bytes":3688,"rows":{"total":9,"counter":2,"gauge":1,"set":1,"histogram":1,"distribution":1,\
"timestamped":1,"event":1,"service_check":1}}
{"row":"counter","name":"a","host":"","tags":["b","x:1"],"sum":7}
{"row":"counter","name":"f","host":"","tags":[],"sum":0.30000000000000004,"sum_low":-2.7755575615628914e-17}
{"row":"gauge","name":"b","host":"","tags":[],"value":7,"time_ms":1700000000000,"shard":0}
{"row":"set","name":"u","host":"","tags":[],"members":["272b57e6d7c0a9e5","eaf06c6480b2cd11"]}
{"row":"histogram","name":"h","host":"","tags":[],"count":6,"sum":38.333333333333336,"min":1,"max":10,\
"avg":6.388888888888889,"samples":4,"values":[[1,1],[2,2],[10,3]],"bins":[]}
{"row":"distribution","name":"d","host":"","tags":[],"count":7,"sum":53.666666666666664,\
"sum_low":2.6645352591003757e-15,"min":1,"max":42,"avg":7.571428571428571,"weighted":53,"weighted_low":0,\
"bins":[[1338,1],[1383,5],[1579,1]]}
{"row":"timestamped","name":"t","host":"","tags":[],"kind":"counter","timestamp":1700000003,"value":50}
{"row":"event","title":"title","text":"te","timestamp":1700000002,"hostname":"other","aggregation_key":"key",\
"source_type":"","priority":"normal","alert_type":"info","container_id":"","inode":0,"cardinality":"",\
"external_data":"","tags":["y","z"]}
{"row":"service_check","name":"db","status":2,"timestamp":1700000002,"hostname":"","message":"down",\
"container_id":"","inode":0,"cardinality":"","external_data":"","tags":["q"]}
"""


def cat(*args, stdin=b""):
    return subprocess.run([lab.PENSTOCKCTL, "segment", *map(str, args)], input=stdin, capture_output=True, timeout=60)


@pytest.fixture
def segments(folder):
    done = replay("--segments", folder / "s", stdin=INPUT)
    assert (done.returncode, done.stderr) == (OK, b"")
    assert sorted(path.name for path in (folder / "s").iterdir()) == [FIRST, SECOND]
    return folder / "s"


def test_rows(segments):
    done = cat("cat", segments / FIRST)
    assert (done.returncode, done.stderr) == (OK, b"")
    assert done.stdout.decode() == GOLDEN


def test_rows_from_standard_input(segments):
    assert cat("cat", "-", stdin=(segments / FIRST).read_bytes()).stdout.decode() == GOLDEN


def test_header_counts_the_rows(segments):
    for path in segments.iterdir():
        header, *rows = [json.loads(line) for line in cat("cat", path).stdout.splitlines()]
        assert header["bytes"] == path.stat().st_size
        counts = header["rows"]
        assert counts.pop("total") == len(rows) == sum(counts.values())
        assert {kind: n for kind, n in counts.items() if n} == {
            kind: sum(row["row"] == kind for row in rows) for kind in {row["row"] for row in rows}}


def test_points_are_the_exporters(segments):
    """A Segment's points are in the order of its rows; a replay sorts them."""
    lines = [line for name in (FIRST, SECOND) for line in cat("cat", "--points", segments / name).stdout.splitlines()]
    assert sorted(lines) == sorted(replay(stdin=INPUT).stdout.splitlines())


def test_points_by_configuration(segments, folder):
    (folder / "c.yaml").write_text("histogram_aggregates: [min]\nhistogram_percentiles: []\n")
    done = cat("cat", "--points", "--config", folder / "c.yaml", segments / FIRST)
    metrics = [json.loads(line).get("metric") for line in done.stdout.splitlines()]
    assert [m for m in metrics if m and m.startswith("h")] == ["h.min"]


def test_values_json_has_no_words_for(folder):
    replay("--segments", folder / "s", stdin=record(0, b"a:1e308:1e308|c\na\xff:-1e308:-1e308|c|#\xfe"))
    (path,) = (folder / "s").iterdir()
    rows = {row["name"]: row for row in map(json.loads, cat("cat", path).stdout.splitlines()[1:])}
    assert rows["a"]["sum"] == "+Inf" and rows["a\ufffd"]["sum"] == "-Inf" and rows["a\ufffd"]["tags"] == ["\ufffd"]
    done = cat("cat", "--points", path)
    assert done.stdout == b"" and b"2 points left out: infinite" in done.stderr


def changed(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1:]


@pytest.mark.parametrize("damage, said", [
    (lambda d: b"", "there are only 0 bytes: too few for header and checksum"),
    (lambda d: d[:79], "there are only 79 bytes: too few"),
    (lambda d: d[:-1], "there are 3687 bytes, the header says 3688: the end is missing"),
    (lambda d: d + b"x", "there are 3689 bytes, the header says 3688: there is more behind the end"),
    (lambda d: changed(d, 0, 0), "the first 8 bytes are not those of a Segment"),
    (lambda d: changed(d, 8, 9), "format version 9; this Penstock reads version 1"),
    (lambda d: changed(d, 1000, d[1000] ^ 1), "the checksum at byte 3680 is not that of the bytes before it"),
])
def test_a_damaged_segment(segments, damage, said):
    done = cat("cat", "-", stdin=damage((segments / FIRST).read_bytes()))
    assert (done.returncode, done.stdout) == (FAILED, b"")
    assert done.stderr.decode().startswith("penstockctl: -: segment: ") and said in done.stderr.decode()


@pytest.mark.parametrize("args", [[], ["cat"], ["dog", "x"], ["cat", "a", "b"], ["cat", "--no", "x"],
                                  ["cat", "--config", "c", "x"], ["cat", "--points", "--config", "/nowhere.yaml", "x"]])
def test_usage(args):
    done = cat(*args)
    assert (done.returncode, done.stdout) == (USAGE, b"") and done.stderr


def test_usage_where_an_option_takes_the_word():
    done = subprocess.run([lab.PENSTOCKCTL, "--config", "segment"], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (USAGE, b"") and b"must be: segment cat FILE" in done.stderr


def test_files_that_cannot_be_read(folder):
    for path in (folder / "none", folder):
        done = cat("cat", path)
        assert done.returncode == FAILED and str(path) in done.stderr.decode()


def test_help():
    assert cat("--help").returncode == OK and b"segment cat" in cat("--help").stdout


def test_output_that_cannot_be_written(segments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([lab.PENSTOCKCTL, "segment", "cat", segments / FIRST], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == FAILED and b"No space left" in done.stderr


def test_segments_of_two_runs_do_not_mix(segments):
    done = replay("--segments", segments, stdin=INPUT)
    assert done.returncode == FAILED and f"{segments}: is not empty" in done.stderr.decode()
    done = replay("--segments", segments / "no" / "where", stdin=INPUT)
    assert done.returncode == FAILED and "No such file" in done.stderr.decode()
