"""Drift and tails of samples that were made with them, and without."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.evaluate.drift import drift
from edgekit.evaluate.tail import tail


def steady(n: int, seed: int) -> NDArray[np.float64]:
    """As a machine without neighbours: 1 ms and a little, skewed to the right by 2 %."""
    return 1e-3 * (1 + np.random.default_rng(seed).gamma(1.5, 0.02, n))


@pytest.mark.parametrize("change", [0.3, -0.2])
def test_a_known_drift_is_measured(change: float) -> None:
    got = drift(steady(200, 0) * np.linspace(1, 1 + change, 200))
    assert got is not None
    assert got.seen
    # A line from 1 to 1 + c: the middles of its first and last third.
    wanted = (1 + change * 5 / 6) / (1 + change / 6)
    assert got.ratio == pytest.approx(wanted, rel=0.02)
    assert got.low is not None
    assert got.high is not None
    assert got.low < wanted < got.high


def test_no_drift_is_seen_where_there_is_none() -> None:
    seen = [drift(steady(200, seed)) for seed in range(300)]
    assert not any(one is None or one.seen for one in seen)


def test_neither_a_few_slow_runs_nor_waves_are_drift() -> None:
    spikes = steady(200, 1)
    spikes[[3, 150, 170, 199]] *= 40
    got = drift(spikes)
    assert got is not None
    assert not got.seen
    # A random walk about the mean, strongly dependent: wide intervals.
    rng = np.random.default_rng(2)
    walk = np.empty(200)
    walk[0] = 0.0
    for t in range(1, 200):
        walk[t] = 0.97 * walk[t - 1] + rng.normal(0, 0.01)
    calm = drift(1e-3 * (1 + walk))
    assert calm is not None
    assert calm.high is None or calm.low is None or calm.high - calm.low > 0.02


def test_a_change_that_is_certain_and_small_is_no_drift() -> None:
    got = drift(1.0 + 1e-4 * np.arange(300))
    assert got is not None
    assert got.ratio > 1.01
    assert not got.seen


def test_too_few() -> None:
    assert drift([1.0] * 8) is None
    nine = drift([1.0] * 6 + [2.0] * 3)
    assert nine is not None
    assert not nine.seen  # three samples bound no median


def test_tails() -> None:
    assert not tail(steady(600, 3)).heavy
    rng = np.random.default_rng(4)
    pareto = 1e-3 * (1 + rng.pareto(1.5, 600))
    got = tail(pareto)
    assert got.heavy
    assert got.severe
    # P(X > 2 m) for a Pareto distribution whose median m is 2^(2/3): (2 m)^-1.5 = 2^-2.5.
    assert got.share == pytest.approx(2**-2.5, abs=0.04)
    assert got.slowest == pytest.approx(pareto.max() / np.median(pareto))
    moderate = tail(np.concatenate([np.full(580, 1.0), np.full(20, 1.7)]))
    assert (moderate.heavy, moderate.severe) == (True, False)
    assert moderate.share == pytest.approx(20 / 600)
    # Two events among hundreds are no tail.
    single = tail([1.0] * 150 + [30.0] * 2)
    assert (single.heavy, single.slowest) == (False, 30.0)
