"""Mapper profiles and name filters of a penstockd from its configuration to its output; what they make of any
traffic is in test_semantics.py."""

import json

import lab
import pytest
from conftest import assert_balanced, send_uds

PROFILES = [{"name": "app", "prefix": "app.", "mappings": [
    {"match": "app.*.time", "name": "app.time", "tags": {"part": "$1"}},
    {"match": r"app\.(?P<part>\w+)\.(\w+)\.(n|m)", "match_type": "regex", "name": "app.$3", "tags": {"part": "$part"}}]}]
FAULTY = [{"name": "app", "prefix": "app.", "mappings": [{"match": "app.*", "name": "x"}, {"match": "a**", "name": "y"}]}]


def run(daemon, config, *lines):
    """Points by name and tags, and the ledger."""
    daemon.start()
    send_uds(config, "\n".join(lines))
    ledger = daemon.stop()
    assert_balanced(ledger)
    return {(p["metric"], *p["tags"]): p["value"] for p in daemon.points() if p["value"]}, ledger


@pytest.mark.parametrize("of", ["file", "environment"])
def test_maps_prefixes_and_filters(penstockd, config, of):
    keys = {"file": {"dogstatsd_mapper_profiles": PROFILES, "metric_filterlist": ["ns.app.m", "ns.app.time.avg"]},
            "environment": {"dogstatsd_mapper_profiles": FAULTY, "metric_filterlist": ["ns."]}}[of]
    environment = {"DD_DOGSTATSD_MAPPER_PROFILES": json.dumps(PROFILES),
                   "DD_METRIC_FILTERLIST": "ns.app.m ns.app.time.avg"} if of == "environment" else {}
    made = config(statsd_metric_namespace="ns", histogram_aggregates=["max", "avg"], histogram_percentiles=[], **keys)
    points, ledger = run(penstockd(made, env=environment), made, "app.a.time:5|h", "app.b.time:7|ms|#x", "app.a.b.n:10|c",
                         "app.a.b.m:1:2|c", "app.a.b.m:1|c|T1700000000", "app.a:10|g", "app.m:bad|c")
    assert points == {("ns.app.time.max", "part:a"): 5, ("ns.app.time.max", "part:b", "x"): 7, ("ns.app.n", "part:a"): 1,
                      ("ns.app.a",): 10}
    assert ledger["lines"]["ok"] == 6 and ledger["lines"]["rejected"]["bad-value"] == 1
    assert ledger["samples"]["filtered"] == 3 and ledger["samples"]["total"] == 7
    assert [e["filtered"] for e in ledger["points"]["exporters"]] == [2]


def test_a_fault_turns_the_mapper_off_and_check_refuses_it(penstockd, config):
    made = config(dogstatsd_mapper_profiles=FAULTY, dogstatsd_mapper_cache_size=10)
    daemon = penstockd(made)
    points, _ = run(daemon, made, "app.a:10|g")
    assert points == {("app.a",): 10}
    fault = 'dogstatsd_mapper_profiles[0].mappings[1].match = "a**": a wildcard pattern must not hold "**"; write one'
    assert "the mapper is off: " in daemon.log_tail() and fault in daemon.log_tail()
    done = lab.run(lab.PENSTOCKD, "--config", daemon.config, "--check", check=False)
    assert done.returncode == 2 and fault in done.stderr and done.stdout == ""
