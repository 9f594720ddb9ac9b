"""Quantile errors of the sketches that come out of penstock-replay, and those of a sketch that nobody here wrote."""

import json
import random
import re

import lab
import pytest
from conftest import ROOT
from test_replay import OK, points, record, replay

CLIENTS = lab.BUILD / "clients"
QUANTILES = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
SAMPLES = 50_000
DISTRIBUTIONS = {
    "uniform": lambda chance: chance.uniform(0, 1000),
    "normal": lambda chance: chance.gauss(10, 100),
    "lognormal": lambda chance: chance.lognormvariate(0, 3),
    "exponential": lambda chance: chance.expovariate(0.01),
    "pareto": lambda chance: chance.paretovariate(1.2),
}
GAMMA, BIAS = 1 + 1 / 64, 1338  # spec 8.6


def value_of(key):
    return 0 if key == 0 else -value_of(-key) if key < 0 else GAMMA ** (key - BIAS)


def rank_of(quantile):
    return int(quantile * (SAMPLES - 1))


@pytest.fixture(scope="module")
def values():
    chance = random.Random(128)
    return {name: [draw(chance) for _ in range(SAMPLES)] for name, draw in DISTRIBUTIONS.items()}


@pytest.fixture(scope="module")
def exact(values):
    return {name: [sorted(v)[rank_of(q)] for q in QUANTILES] for name, v in values.items()}


def errors(got, exact):
    return {f"p{100 * q:g}": abs(a / b - 1) for q, a, b in zip(QUANTILES, got, exact, strict=True)}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_are_within_one_in_128(values, exact, name):
    lines = [":".join(map(repr, values[name][i:i + 200])) for i in range(0, SAMPLES, 200)]
    done = replay("--shards", 3, stdin=b"".join(record(1, f"d:{line}|d".encode()) for line in lines))
    assert done.returncode == OK, done.stderr.decode()
    (sketch,) = points(done)
    assert sketch["cnt"] == sum(sketch["n"]) == SAMPLES

    def quantile(q):
        below = 0
        for key, count in zip(sketch["k"], sketch["n"], strict=True):
            below += count
            if below > rank_of(q):
                return value_of(key)

    found = errors([quantile(q) for q in QUANTILES], exact[name])
    assert max(found.values()) <= 1 / 128, found


@pytest.fixture(scope="module")
def sketches_js():
    """Skips where the package is not there and npm cannot reach its registry."""
    if not (CLIENTS / "node_modules/@datadog/sketches-js").is_dir():
        done = lab.subprocess.run([ROOT / "tools/install-packages", "--clients", CLIENTS], capture_output=True, text=True)
        if done.returncode != 0:
            unreachable = re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH", done.stderr)
            assert unreachable, done.stderr
            pytest.skip(f"npm cannot reach its registry: {unreachable[0]}")
    script = CLIENTS / "sketches.js"  # beside node_modules, where node looks for them
    script.write_text((ROOT / "tests/integration/sketches.js").read_text())
    return script


def test_sketches_js_errs_as_little(values, exact, sketches_js):
    """Another mapping: other keys, but the same bound, which shows that the bound and the ranks are read alike."""
    done = lab.subprocess.run(["node", sketches_js], capture_output=True, check=True,
                              input=json.dumps({"quantiles": QUANTILES, "values": values}).encode())
    for name, got in json.loads(done.stdout).items():
        found = errors(got, exact[name])
        assert max(found.values()) <= 1 / 128 * (1 + 1e-9), f"{name}: {found}"
