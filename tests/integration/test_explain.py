"""penstockctl explain: the vectors on every kernel, what people read, configuration, pipes and garbage."""

import json
import os
import pathlib
import random
import subprocess
import unicodedata

import lab
import pytest
import yaml
from conftest import assert_balanced, send_uds

FIXTURES = lab.ROOT / "tests/fixtures"
OK, REFUSED, USAGE = 0, 1, 2


def explain(*args, stdin=b"", env=None, timeout=60):
    """Runs it on bytes; DD_* variables of whoever runs the tests do not count."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DD_") and k != "PENSTOCK_SIMD"}
    return subprocess.run([lab.PENSTOCKCTL, "explain", *args], input=stdin, capture_output=True, timeout=timeout,
                          env={**clean, **(env or {})})


def objects(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def variants():
    """The kernels this CPU has: what a wrong name is answered with."""
    done = explain("a:1|c", env={"PENSTOCK_SIMD": "none"})
    assert done.returncode == USAGE
    return done.stderr.decode().partition("runs ")[2].partition(";")[0].split()


def vectors():
    """(message, expected object) of every vector; in vectors_bytes.jsonl a character is a byte."""
    for path in sorted(FIXTURES.glob("vectors*.jsonl")):
        for line in path.read_text().splitlines():
            vector = json.loads(line)
            if path.name == "vectors_bytes.jsonl":
                yield vector["in"].encode("latin-1"), texts(vector["expect"], lambda s: s.encode("latin-1"))
            else:
                yield vector["in"].encode(), texts(vector["expect"], str.encode)


def texts(value, convert):
    if isinstance(value, dict):
        return {k: texts(v, convert) for k, v in value.items()}
    if isinstance(value, list):
        return [texts(v, convert) for v in value]
    return convert(value) if isinstance(value, str) else value


def as_bytes(value):
    """Strings of the output as the bytes they stand for."""
    return texts(value, lambda s: s.encode("utf-8", "surrogateescape"))


def comparable(expect):
    """Numbers compare as doubles, bit by bit."""
    number = lambda v: float(v).hex() if isinstance(v, (int, float)) else v  # noqa: E731
    return {**expect, **({"values": [number(v) for v in expect["values"]]} if "values" in expect else {}),
            **({"rate": number(expect["rate"])} if "rate" in expect else {})}


@pytest.mark.parametrize("variant", variants())
def test_every_vector(variant):
    cases = [case for case in vectors() if case[0] and b"\n" not in case[0] and not case[0].endswith(b"\r")]
    assert len(cases) > 2000
    done = explain("--parse-only", "--json", stdin=b"\n".join(message for message, _ in cases),
                   env={"PENSTOCK_SIMD": variant})
    assert done.returncode == REFUSED and done.stderr == b""
    got = objects(done)
    assert len(got) == len(cases)
    wrong = [(message, expect, parsed) for (message, expect), parsed in zip(cases, map(as_bytes, got))
             if comparable(expect) != comparable(parsed)]
    assert not wrong, wrong[:5]


def test_the_whole_object_says_the_same_as_the_parser_alone():
    messages = [m for m, _ in vectors() if m and b"\n" not in m and not m.endswith(b"\r")]
    stdin = b"\n".join(messages) + b"\n"
    parsed = objects(explain("--parse-only", "--json", stdin=stdin))
    whole = objects(explain("--json", stdin=stdin))
    assert len(whole) == len(messages)
    for message, alone, both in zip(messages, parsed, whole):
        assert both["in"].encode("utf-8", "surrogateescape") == message
        position = both["parsed"].pop("position", None)
        assert both["parsed"] == alone
        assert ("final" in both) == (position is None) == ("error" not in alone)
        assert position is None or 0 <= position <= len(message)


def test_human_output(folder):
    path = folder / "penstock.yaml"
    path.write_text("hostname: web1\nstatsd_metric_namespace: shop\ndogstatsd_tags: [dc:eu]\n")
    done = explain("--config", str(path), "orders:1:2|c|@0.5|#env:prod,host:db1,env:prod", "caf\u00e9:1,5|g",
                   "_sc|up|0")
    assert done.returncode == REFUSED
    assert done.stdout.decode() == """\
orders:1:2|c|@0.5|#env:prod,host:db1,env:prod
  kind            metric
  name            orders
  type            c (count)
  values          1, 2
  rate            0.5
  tags            env:prod, host:db1, env:prod
final
  name            shop.orders
  host            db1
  tags            dc:eu, env:prod
  context id      7a28ad12927728f5
  filtered        no
  samples         2 aggregated

caf\u00e9:1,5|g
      ^
  error           bad-value, at byte 7
                  This value is not a number, or beyond what a double holds, and one such value refuses the whole \
message: send plain decimals such as 12.5, or use the type s for text.

_sc|up|0
  kind            service check
  name            up
  status          0 (OK)
final
  host            web1
  tags            dc:eu
  timestamp       the time of arrival
"""


MAPPED = """\
hostname: h
statsd_metric_namespace: ns
statsd_metric_namespace_blacklist: [jvm]
metric_filterlist: [ns.tmp]
metric_filterlist_match_prefix: true
dogstatsd_mapper_profiles:
  - name: jobs
    prefix: "job."
    mappings:
      - match: "job.duration.*.*"
        name: "job.duration"
        tags: {job_type: "$1", host: "$2"}
      - {match: "job.tmp.*", name: "tmp.$1"}
"""


def test_mapper_namespace_and_filter(folder):
    path = folder / "penstock.yaml"
    path.write_text(MAPPED)
    mapped, filtered, excluded, check = objects(explain(
        "--json", "--config", str(path), "job.duration.etl.w7:1|ms|#z", "job.tmp.x:1:2|c|T5", "jvm.heap:1|g",
        "_sc|job.tmp.x|0"))
    assert mapped["parsed"]["name"] == "job.duration.etl.w7" and mapped["parsed"]["tags"] == ["z"]
    final = mapped["final"]
    assert (final["mapped_name"], final["name"], final["host"]) == ("job.duration", "ns.job.duration", "w7")
    assert final["tags"] == ["job_type:etl", "z"] and final["filtered"] is False
    final = filtered["final"]
    assert (final["mapped_name"], final["name"], final["filtered"]) == ("tmp.x", "ns.tmp.x", True)
    assert final["filtered_by"] == "ns.tmp" and final["samples"] == {"filtered": 2}
    assert excluded["final"]["name"] == "jvm.heap" and excluded["final"]["tags"] == []
    assert check["final"] == {"host": "h", "tags": []}
    text = explain("--config", str(path), "job.tmp.x:1|c").stdout.decode()
    assert "  mapped name     tmp.x\n  name            ns.tmp.x\n" in text
    assert "  filtered        yes, by ns.tmp\n  samples         1 filtered\n" in text


def test_the_server_does_what_explain_says(penstockd, config, folder):
    profiles = yaml.safe_load(MAPPED)
    c = config(**{**profiles, "dogstatsd_tags": ["dc:1"], "dogstatsd_origin_detection_client": True})
    lines = ["plain:1|c", "job.duration.etl.w7:1|g|#z,,a,z", "jvm.heap:1|g|#host:", "odd name\u00fc:1|s|#host:b,host:c",
             "card:1|c|c:ci-abc|card:HIGH|#dd.internal.card:low", "stamped:5|g|T1700000003|#b,a,b", "job.tmp.x:1|c",
             "wide:1|c|c:ci-abc|#dd.internal.card:high,dd.internal.entity_id:none"]
    daemon = penstockd(c).start()
    send_uds(c, "\n".join(lines))
    ledger = daemon.stop()
    assert_balanced(ledger)
    got = {(p["metric"], p["host"], tuple(p["tags"])) for p in daemon.points()}
    finals = [o["final"] for o in objects(explain("--json", "--config", str(daemon.config), *lines))]
    assert got == {(f["name"], f["host"], tuple(f["tags"])) for f in finals if not f["filtered"]}
    for counter in ("aggregated", "timestamped", "filtered"):
        assert ledger["samples"][counter] == sum(f["samples"].get(counter, 0) for f in finals), counter


def test_a_wrong_mapper_is_off_as_in_the_server(folder):
    path = folder / "penstock.yaml"
    path.write_text(MAPPED.replace("job.tmp.*", "job.**"))
    done = explain("--json", "--config", str(path), "job.duration.etl.w7:1|ms")
    assert done.returncode == OK and b"mapper is off" in done.stderr and b"job.**" in done.stderr
    assert objects(done)[0]["final"]["name"] == "ns.job.duration.etl.w7"


def test_lines_are_cut_as_in_the_server():
    done = explain("--parse-only", "--json", stdin=b"\r\n\na:1|c\r\n\n\nb:1|s\r\r\nc:1|g")
    assert [o.get("name", o.get("reason")) for o in objects(done)] == ["a", "bad-type", "c"]
    assert objects(explain("--json", "a:1|c\nb:2|c"))[1]["in"] == "b:2|c"


@pytest.mark.parametrize("args, code", [(["a:1|c"], OK), (["a:1|c", "a"], REFUSED), (["--", "-a:1|c"], OK), ([], OK)])
def test_exit_codes(args, code):
    assert explain(*args).returncode == code


def test_help():
    done = explain("--help")
    assert done.returncode == OK and b"--parse-only" in done.stdout
    assert lab.run(lab.PENSTOCKCTL, "--help", "explain").stdout == done.stdout.decode()
    assert b"explain" in lab.run(lab.PENSTOCKCTL, "--help").stdout.encode()


@pytest.mark.parametrize("args, says", [
    (["--nonsense"], b"nonsense"), (["--socket", "x"], b"socket"), (["--config"], b"config"), (["--config", "/nonexistent.yaml", "a:1|c"],
                                                              b"/nonexistent.yaml"),
    (["--config", "", "a:1|c"], b"No such file"),  # an unset variable of a script
])
def test_usage(args, says):
    done = explain(*args)
    assert done.returncode == USAGE and says in done.stderr and done.stdout == b""


def test_wrong_configuration(folder):
    path = folder / "penstock.yaml"
    path.write_text("dogstatsd_buffer_size: eight\npenstock:\n  idel: busy\n")
    done = explain("--config", str(path), "a:1|c")
    assert done.returncode == USAGE and done.stdout == b""
    for word in (b"penstock.yaml:1", b"eight", b"penstock.yaml:3", b"idle"):
        assert word in done.stderr, done.stderr


def test_configuration_decides_which_fields_are_read(folder):
    path = folder / "penstock.yaml"
    path.write_text("dogstatsd_no_aggregation_pipeline: false\nhostname: h\n")
    line = "a:1|c|T5|c:ci-x|card:high"
    with_config, = objects(explain("--json", "--config", str(path), line))
    assert "timestamp" not in with_config["parsed"] and "container_id" not in with_config["parsed"]
    assert with_config["final"]["host"] == "h"
    without, = objects(explain("--json", line))
    assert without["parsed"]["timestamp"] == 5 and without["parsed"]["container_id"] == "x"
    assert without["final"]["tags"] == [] and without["final"]["samples"] == {"timestamped": 1}
    on, = objects(explain("--json", "--config", str(path), line, env={"DD_DOGSTATSD_ORIGIN_DETECTION_CLIENT": "true"}))
    assert on["final"]["tags"] == ["container_id:x"]


def test_a_configuration_for_another_machine(folder):
    """Ports, cores and limits are the server's business; anybody may explain with its configuration."""
    path = folder / "penstock.yaml"
    path.write_text("hostname: h\npenstock:\n  ports: [{device: '0000:81:00.0', own: all}]\n  cores: {control: 60, data: "
                    "[61, 62]}\n  limits: {memory_limit: 1MiB}\n  wiring: inline\n")
    done = explain("--json", "--config", str(path), "a:1|c")
    assert done.returncode == OK, done.stderr
    assert objects(done)[0]["final"]["host"] == "h"


def test_answers_each_line_of_a_pipe_at_once():
    process = subprocess.Popen([lab.PENSTOCKCTL, "explain", "--parse-only", "--json"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    for i in range(3):
        process.stdin.write(f"a{i}:1|c\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["name"] == f"a{i}"
    process.stdin.close()
    assert process.wait(10) == OK
    process.stdout.close()


def test_a_closed_pipe_ends_it_quietly(folder):
    source = folder / "messages"
    source.write_bytes(b"a:1|c\n" * 200000)
    with source.open("rb") as stdin:
        process = subprocess.Popen([lab.PENSTOCKCTL, "explain", "--json"], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        process.stderr.close()
        assert process.wait(30) == OK and stderr == b""


@pytest.mark.parametrize("args, stdin", [(["a:1|c"], b""), ([], b"a:1|c\n")])
def test_full_disk_is_an_error(args, stdin):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([lab.PENSTOCKCTL, "explain", *args], input=stdin, stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == REFUSED and done.stderr.count(b"No space") == 1


def test_garbage_of_every_kind():
    r = random.Random(7)
    alphabet = [b"|", b":", b"#", b"@", b"T", b",", b"1", b"c", b"_e{", b"_sc|", b"\r", b"\0", b"\xff", b"\xc3", b"e:", b"\n"]
    stdin = r.randbytes(200000) + b"".join(r.choice(alphabet) for _ in range(200000))
    done = explain("--json", stdin=stdin)
    assert done.returncode == REFUSED and done.stderr == b""
    seen = [o["in"].encode("utf-8", "surrogateescape") for o in objects(done)]
    lines = [line[:-1] if line.endswith(b"\r") else line for line in stdin.split(b"\n")]
    assert seen == [line for line in lines if line]
    done.stdout.decode("utf-8")  # strict
    human = explain(stdin=stdin)
    assert human.returncode == REFUSED and human.stderr == b""
    text = human.stdout.decode("utf-8")
    assert not [c for c in text if c != "\n" and unicodedata.category(c) == "Cc"]  # nothing that a terminal obeys


def test_message_longer_than_a_packet():
    longest = b"a" * 65531 + b":1|c"
    done = explain("--json", stdin=longest + b"\r\n" + b"a" + longest + b"\n" + b"x" * 3000000 + b"\nb:1|c\n")
    fits, over, far_over, after = objects(done)
    assert fits["parsed"]["kind"] == "metric" and fits["final"]["truncated"] is True
    assert over["parsed"] == {"error": True, "reason": "too-long", "position": 65535} and over["in_bytes"] == 65536
    assert far_over["in_bytes"] == 3000000 and len(far_over["in"]) <= 65536
    assert after["parsed"]["name"] == "b"
    assert b"65535" in explain(stdin=b"x" * 65536).stdout
