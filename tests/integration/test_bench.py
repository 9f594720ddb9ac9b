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


def test_a_server_is_measured_as_its_peers_are():
    """The peers proper are only where somebody has installed them."""
    done = lab.run(ROOT / "bench/peers", "--json", "--profile", "small", "--peer", "penstock-udp", "--seconds", 0.5,
                   "--trials", 0, timeout=120)
    (row,) = json.loads(done.stdout)["results"]
    assert row["lines_taken"] == 1 and row["lines_per_cpu_s"] > 1000 and row["rss_mib"] > 0, row
    assert row["cpu_ns_per_line"] > 0 and row["common_cpu_ns_per_line"] > 0, row


def test_a_peer_that_is_missing_is_named(folder):
    done = lab.run("env", f"PENSTOCK_BUILD={folder}", ROOT / "bench/peers", "--peer", "statsd", "--profile", "small")
    assert "statsd (npm): skipped: not installed; run tools/install-packages --peers" in done.stdout
