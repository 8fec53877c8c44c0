"""Order statistics against scipy and against simulation; ratios against known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgekit.errors import InputError
from edgekit.evaluate.statistics import (
    between_process,
    least_samples,
    median_interval,
    quantile,
    speedup,
    speedup_in_turn,
)


@pytest.mark.parametrize(("q", "n"), [(0.5, 11), (0.9, 64), (0.99, 662)])
def test_least_samples_are_those_of_mlperf(q: float, n: int) -> None:
    assert least_samples(q) == n
    # Smallest n with at most 1 % probability of fewer than two slower samples.
    assert stats.binom.cdf(1, n, 1 - q) <= 0.01 < stats.binom.cdf(1, n - 1, 1 - q)
    samples = np.arange(1.0, n + 1)
    assert quantile(samples, q).allowed
    assert not quantile(samples[:-1], q).allowed


@pytest.mark.parametrize(("n", "q"), [(11, 0.5), (200, 0.5), (200, 0.9), (600, 0.9), (662, 0.99), (5000, 0.5)])
def test_interval_agrees_with_scipy_binomial(n: int, q: float) -> None:
    # Samples 1 to n are their own ranks.
    result = quantile(np.random.default_rng(0).permutation(np.arange(1.0, n + 1)), q)
    low, high = np.asarray(stats.binom.ppf([0.025, 0.975], n, q))
    assert result.high == pytest.approx(high + 1)
    assert result.low is not None
    assert stats.binom.cdf(result.low - 1, n, q) <= 0.025 < stats.binom.cdf(result.low, n, q)
    assert result.low == pytest.approx(low)
    assert result.value == pytest.approx(np.quantile(np.arange(1.0, n + 1), q))


def test_median_interval_agrees_with_scipy_quantile_test() -> None:
    samples = np.random.default_rng(1).lognormal(size=200)
    low, high = np.asarray(stats.quantile_test(samples, q=0, p=0.5).confidence_interval(0.95))
    got = quantile(samples, 0.5)
    assert (got.low, got.high) == (low, high)


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    truth = stats.expon.ppf(0.9)
    held = 0
    for _ in range(1000):
        got = quantile(rng.exponential(size=200), 0.9)
        assert got.low is not None
        assert got.high is not None
        held += got.low <= truth <= got.high
    # At least 95 %; three standard errors of 1000 draws are 2 %.
    assert held >= 930


def test_too_few_samples_have_an_open_end() -> None:
    got = quantile([1.0, 2.0, 3.0], 0.9)
    # P(all three below the 90 % quantile) = 0.73, so no sample bounds it from above.
    assert (got.low, got.high, got.allowed, got.n) == (1.0, None, False, 3)
    single = quantile([1.0], 0.5)
    assert (single.value, single.low, single.high) == (1.0, None, None)


def test_equal_samples() -> None:
    got = quantile([2.0] * 100, 0.9)
    assert (got.value, got.low, got.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("samples", "q", "match"), [([], 0.5, "at least one"), ([np.nan], 0.5, "not finite")])
def test_wrong_samples(samples: list[float], q: float, match: str) -> None:
    with pytest.raises(InputError, match=match):
        quantile(samples, q)


@pytest.mark.parametrize("q", [0.0, 1.0, -1.0])
def test_wrong_quantile(q: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        quantile([1.0], q)


def test_between_process() -> None:
    got = between_process([[1.0, 2.0, 9.0], [3.0], [4.0, 4.0]])
    assert got["medians_s"] == [2.0, 3.0, 4.0]
    assert got["std_s"] == pytest.approx(1.0)
    assert got["spread_percent"] == pytest.approx(200 / 3)
    assert between_process([[1.0]])["std_s"] is None
    with pytest.raises(InputError, match="at least one process"):
        between_process([])


def test_median_interval_is_that_of_quantile_and_widens_with_dependence() -> None:
    samples = np.random.default_rng(5).gamma(2.0, size=200)
    whole = quantile(samples, 0.5)
    assert median_interval(samples, 200) == (whole.value, whole.low, whole.high)
    # More than there are is no more than there are.
    assert median_interval(samples, 500) == median_interval(samples, 200)
    middle, low, high = median_interval(samples, 50)
    assert low is not None
    assert high is not None
    assert middle == whole.value
    # About twice as wide for a quarter of the information.
    assert whole.high is not None
    assert whole.low is not None
    assert 1.4 < (high - low) / (whole.high - whole.low) < 2.8
    assert median_interval(samples, 2.9)[1:] == (None, None)


def test_speedup_holds_the_known_ratio() -> None:
    rng = np.random.default_rng(3)
    base = [list(rng.normal(8.0, 0.1, 200)) for _ in range(3)]
    other = [list(rng.normal(2.0, 0.1, 150)) for _ in range(4)]
    ratio, low, high = speedup(base, other)
    assert low < 4.0 < high
    assert low <= ratio <= high
    assert high - low < 0.1
    inverse = speedup(other, base)[0]
    assert inverse == pytest.approx(1 / ratio)


def test_speedup_of_processes_in_turn_is_not_widened_by_the_speed_of_a_round() -> None:
    rng = np.random.default_rng(4)
    pace = [1.0, 1.6, 1.0]
    base = [list(p * rng.normal(4.0, 0.01, 200)) for p in pace]
    other = [list(p * rng.normal(2.0, 0.01, 200)) for p in pace]
    together = speedup(base, other)
    apart = speedup(base, [*other, other[0]])
    assert together[1] < 2.0 < together[2]
    assert together[2] - together[1] < 0.1 < apart[2] - apart[1]


def test_speedup_in_turn_goes_by_the_rounds_where_medians_of_all_would_mislead() -> None:
    rng = np.random.default_rng(6)
    # The machine is twice as slow for about half of the rounds, so that the middle one decides a median of all.
    pace = [1.0, 1.0, 1.0, 2.0, 2.0]
    base = [list(p * rng.normal(1.0, 0.01, 101)) for p in pace]
    other = [list(p * rng.normal(0.9, 0.01, 101)) for p in pace]
    other[2] = list(np.asarray(other[2]) * 1.5)  # disturbed
    base[3] = list(np.asarray(base[3]) * 0.55)
    ratio, low, high = speedup_in_turn(base, other)
    assert low <= ratio <= high
    assert ratio == pytest.approx(1 / 0.9, rel=0.01)
    assert speedup(base, other)[0] < 1
    assert speedup_in_turn(other, base)[0] == pytest.approx(1 / ratio, rel=0.01)
    assert speedup_in_turn(base, other) == (ratio, low, high)


def test_speedup_in_turn_goes_by_the_rounds_that_both_have() -> None:
    base, other = [[2.0, 2.1], [2.2, 2.0], [9.0, 9.0]], [[1.0, 1.1], [1.2, 1.0]]
    assert speedup_in_turn(base, other) == speedup_in_turn(base[:2], other)
    assert speedup_in_turn(other, base) == speedup_in_turn(other, base[:2])
    with pytest.raises(InputError, match="both sides"):
        speedup_in_turn([[1.0]], [])
    with pytest.raises(InputError, match="clock is too coarse"):
        speedup_in_turn([[1.0], [1.0]], [[1.0], [0.0]])


def test_speedup_is_repeatable_and_refuses_nothing_to_compare() -> None:
    assert speedup([[1.0, 2.0]], [[1.0]], seed=5) == speedup([[1.0, 2.0]], [[1.0]], seed=5)
    with pytest.raises(InputError, match="both sides"):
        speedup([], [[1.0]])
    with pytest.raises(InputError, match="clock is too coarse"):
        speedup([[1.0]], [[0.0]])
