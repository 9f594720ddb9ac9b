"""The benches run; their figures are not judged here."""

import json

import lab
from conftest import ROOT


def test_a_scenario_is_measured():
    done = lab.run(ROOT / "bench/e2e/run", "--scenario", "uds-dgram", "--profile", "small", "--seconds", 1,
                   "--trials", 0, timeout=120)
    (result,) = json.loads(done.stdout)["results"]
    assert result["balanced"] and result["unaccounted"] == 0 and result["lossless"] and result["loss"] == 0, result
    assert 0 < result["latency_us"]["p50"] <= result["latency_us"]["p99"] <= result["latency_us"]["p99.9"], result
    assert result["lines_per_s"] > 1000 and result["cpu_ns_per_line"] > 0 and result["rss_mib"] > 0, result
