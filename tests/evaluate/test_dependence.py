"""Autocorrelation against numpy and against processes whose own is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.evaluate.dependence import autocorrelation, effective_samples


def autoregressive(r: float, n: int, seed: int) -> NDArray[np.float64]:
    """x_t = r x_t-1 + noise, about 5."""
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.empty(n)
    values[0] = noise[0]
    for t in range(1, n):
        values[t] = r * values[t - 1] + noise[t]
    return values + 5.0


def test_against_numpy() -> None:
    values = autoregressive(0.6, 400, 0)
    centred = values - values.mean()
    whole = np.correlate(centred, centred, mode="full")[values.size - 1 :]
    for lag in (1, 2, 7):
        assert autocorrelation(values, lag) == pytest.approx(float(whole[lag] / whole[0]))
    # The correlation of the series with itself shifted differs in the ends only.
    assert autocorrelation(values) == pytest.approx(np.corrcoef(values[:-1], values[1:])[0, 1], abs=0.01)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_known_processes(r: float) -> None:
    values = autoregressive(r, 40_000, 1)
    assert autocorrelation(values) == pytest.approx(r, abs=0.02)
    assert effective_samples(values) == pytest.approx(40_000 * (1 - r) / (1 + r), rel=0.12)


def test_the_mean_of_dependent_samples_scatters_as_that_of_fewer_independent_ones() -> None:
    n, r = 400, 0.7
    means = [float(autoregressive(r, n, seed).mean()) for seed in range(600)]
    variance = 1.0 / (1 - r * r)
    worth = np.mean([effective_samples(autoregressive(r, n, seed)) for seed in range(50)])
    assert np.var(means) == pytest.approx(variance / worth, rel=0.25)


def test_edges() -> None:
    assert autocorrelation([1.0] * 9) is None
    assert autocorrelation([0.1] * 50) is None
    assert effective_samples([0.1] * 50) == 50.0
    # Alternation has a negative correlation, and is worth no more than its number.
    assert effective_samples([1.0, 2.0] * 30) == 60.0
