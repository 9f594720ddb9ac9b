"""The benches run; their figures are not judged here."""

import json
import sys

import lab
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench/lib"))
import measure  # noqa: E402
import report  # noqa: E402


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


@pytest.mark.parametrize("sustained, best, trials", [(1000, 1000, 1), (300, 250, 4), (40, 31, 6), (1, 1000, 6)])
def test_the_search_goes_down_to_a_rate_without_loss(monkeypatch, sustained, best, trials):
    """A receiver that takes half of what comes, above what it can sustain; 1000 packets a second are flat out."""
    monkeypatch.setattr(measure, "MORE_TRIALS", 3)

    def send(seconds, rate):
        rate = rate or 1000
        taken = rate if rate <= sustained else rate / 2
        return {"sent": rate * seconds, "sent_per_s": rate, "packets_per_s": taken, "lines_per_s": taken,
                "loss": 1 - taken / rate}

    found, _ = measure.highest_rate(send, 1, 3 if sustained > 100 else 2)
    assert found["lossless"] == (sustained > 1) and found["sent_per_s"] == best and found["trials"] == trials, found
    row = report.table([("scenario", "scenario"), ("lossless", "without loss")], [{"scenario": "x", **found}])
    assert ("**NO**" in row) == (sustained == 1)


def test_quantiles_are_limits_of_buckets():
    assert measure.quantiles_us({1000: 989, 2000: 10, 5000: 1}) == {"p50": 1, "p99": 2, "p99.9": 2}
    assert measure.quantiles_us({}) == {}
