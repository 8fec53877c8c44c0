from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgekit.errors import InputError
from edgekit.evaluate.repeats import repeated, student_t


@pytest.mark.parametrize("degrees", [*range(1, 31), 99, 100])
def test_students_t_is_scipys(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(float(stats.t.ppf(0.975, degrees)), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_interval_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.8, 0.05, n)
    found = repeated(values.tolist())
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert found.std == pytest.approx(values.std(ddof=1))
    assert found.n == n
    assert not found.equal


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [repeated(row.tolist()) for row in rng.normal(0.8, 0.05, (4000, 3))]
    held = sum(one.low is not None and one.high is not None and one.low <= 0.8 <= one.high for one in found)
    # Four standard errors of a share of 95 % among 4000 are 1.4 points.
    assert held / 4000 == pytest.approx(0.95, abs=0.014)


def test_one_value_has_no_interval_and_equal_values_are_told() -> None:
    alone = repeated([0.5])
    assert (alone.mean, alone.low, alone.high, alone.std, alone.equal) == (0.5, None, None, None, False)
    same = repeated([0.5, 0.5, 0.5])
    assert (same.low, same.high, same.equal) == (0.5, 0.5, True)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [float("inf")]])
def test_no_mean_of_nothing_or_of_what_is_not_finite(values: list[float]) -> None:
    with pytest.raises(InputError):
        repeated(values)


def test_no_t_without_degrees_of_freedom() -> None:
    with pytest.raises(InputError, match="at least one degree of freedom"):
        student_t(0)
