"""Paired tests against statsmodels, the score interval against a constrained likelihood, power by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from edgekit.errors import InputError
from edgekit.evaluate.paired import Pairs, Z, holm
from edgekit.evaluate.power import smallest_drop


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (0, 6), (5, 2), (7, 7), (40, 61), (300, 250)])
def test_mcnemar_agrees_with_statsmodels(lost: int, won: int) -> None:
    expected = mcnemar([[1000, lost], [won, 50]], exact=True).pvalue
    assert Pairs(2000, lost, won).p == pytest.approx(min(1.0, expected), rel=1e-9)


def test_holm_agrees_with_statsmodels() -> None:
    p = [0.04, 0.001, 0.03, 0.0004, 0.9, 0.03, 0.6]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []
    with pytest.raises(InputError, match="not within 0 to 1"):
        holm([0.5, math.nan])


def _score(n: int, lost: int, won: int, drop: float) -> float:
    """The score statistic with the nuisance share found by maximising the likelihood, not by Tango's formula."""

    def minus_log_likelihood(share: float) -> float:
        probabilities = (share + drop, share, 1.0 - 2.0 * share - drop)
        terms = zip((lost, won, n - lost - won), probabilities, strict=True)
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    low, high = max(0.0, -drop), (1.0 - drop) / 2.0
    share = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (lost - won - n * drop) / math.sqrt(n * (2.0 * share + drop * (1.0 - drop)))


@pytest.mark.parametrize(("n", "lost", "won"), [(44, 1, 0), (60, 12, 5), (200, 3, 9), (25, 10, 10)])
def test_the_ends_of_the_interval_are_where_the_score_test_turns(n: int, lost: int, won: int) -> None:
    low, high = Pairs(n, lost, won).interval
    assert _score(n, lost, won, high) == pytest.approx(-Z, abs=1e-4)
    assert _score(n, lost, won, low) == pytest.approx(Z, abs=1e-4)
    assert low < (lost - won) / n < high
    # The other way round the interval is mirrored.
    assert Pairs(n, won, lost).interval == pytest.approx((-high, -low))


def test_without_a_change_the_interval_still_has_its_width() -> None:
    # The statistic is then -n d / sqrt(n d (1 - d)), which gives the end in closed form.
    for n in (3, 11, 500):
        assert Pairs(n, 0, 0).interval == pytest.approx((-(Z**2) / (n + Z**2), Z**2 / (n + Z**2)))


def test_where_all_changed_the_interval_ends_at_one() -> None:
    low, high = Pairs(8, 8, 0).interval
    assert high == pytest.approx(1.0)
    assert 0.0 < low < 1.0


def test_counts_that_cannot_be() -> None:
    for n, lost, won in ((0, 0, 0), (5, 3, 3), (5, -1, 0)):
        with pytest.raises(InputError, match="cannot be"):
            Pairs(n, lost, won)


@pytest.mark.parametrize(("n", "churn"), [(60, 0), (60, 12), (400, 20)])
def test_the_smallest_drop_is_found_four_times_in_five(n: int, churn: int) -> None:
    drop = smallest_drop(n, churn)
    assert drop is not None
    rng = np.random.default_rng(0)
    lost, won, _ = rng.multinomial(n, [churn / 2 / n + drop, churn / 2 / n, 1 - churn / n - drop], 4000).T
    p = {
        pair: binomtest(pair[0], sum(pair)).pvalue if sum(pair) else 1.0
        for pair in set(zip(lost, won, strict=True))
    }
    found = np.mean([p[pair] <= 0.05 for pair in zip(lost, won, strict=True)])
    assert found == pytest.approx(0.8, abs=0.03)


def test_few_images_can_show_nothing() -> None:
    # Five images that all change sides have p = 2 / 32.
    assert smallest_drop(5, 0) is None
    six = smallest_drop(6, 0)
    assert six is not None
    assert six == pytest.approx(0.8 ** (1 / 6), abs=1e-3)
    assert smallest_drop(11, 0) == pytest.approx(0.62, abs=0.01)
