"""The random-effects model against a published data set, and against simulated processes."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.evaluate.random_effects import combine, of_processes

#: Colditz et al. 1994, the 13 trials of BCG vaccine against tuberculosis: log relative risks and their variances.
BCG = (
    (
        -0.8893,
        -1.5854,
        -1.3481,
        -1.4416,
        -0.2175,
        -0.7861,
        -1.6209,
        0.0120,
        -0.4694,
        -1.3713,
        -0.3394,
        0.4459,
        -0.0173,
    ),
    (0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714),
)


def test_published_figures() -> None:
    got = combine(*BCG)
    # DerSimonian and Laird's figures as the meta-analysis literature prints them: tau^2 0.309, mean -0.714.
    assert got.between_std**2 == pytest.approx(0.309, abs=2e-3)
    assert got.mean == pytest.approx(-0.714, abs=2e-3)
    assert got.low < got.mean < got.high
    assert got.k == 13


def test_equal_variances_give_the_analysis_of_variance() -> None:
    values, error = [1.0, 1.3, 0.9, 1.2], 0.05
    got = combine(values, [error**2] * 4)
    assert got.between_std**2 == pytest.approx(np.var(values, ddof=1) - error**2)
    assert got.mean == pytest.approx(np.mean(values))
    # Student's interval of the values themselves: the weights are equal.
    half = 3.182446 * np.std(values, ddof=1) / 2
    assert (got.low, got.high) == pytest.approx((got.mean - half, got.mean + half))


def test_noise_alone_has_no_variance_between() -> None:
    assert combine([1.0, 1.01, 0.99], [0.02**2] * 3).between_std == 0.0


def test_simulated_processes() -> None:
    rng = np.random.default_rng(0)
    tau, found, held = 0.05, [], 0
    for _ in range(200):
        levels = 2.0 + rng.normal(0, tau, 5)
        got = of_processes([list(level + rng.gamma(2.0, 0.02, 200)) for level in levels])
        assert got is not None
        found.append(got.between_std**2)
        # The median of this gamma distribution is 1.678347 times its scale.
        held += got.low <= 2.0 + 0.02 * 1.678347 <= got.high
    assert np.sqrt(np.mean(found)) == pytest.approx(tau, rel=0.15)
    # 95 % promised; two standard errors of 200 draws are 3 %.
    assert held >= 182


def test_too_little_to_say() -> None:
    assert of_processes([[1.0] * 100]) is None
    assert of_processes([[1.0, 2.0], [1.0, 2.0]]) is None
    with pytest.raises(InputError, match="at least two"):
        combine([1.0], [1.0])
    with pytest.raises(InputError, match="not above 0"):
        combine([1.0, 2.0], [1.0, 0.0])


def test_a_coarse_clock_divides_by_nothing() -> None:
    got = of_processes([[1.0] * 50, [1.0] * 50, [1.2] * 50])
    assert got is not None
    assert got.between_std == pytest.approx(np.std([1.0, 1.0, 1.2], ddof=1), rel=0.1)
