"""LoadGen's early-stopping estimate against scipy's beta function, as its source computes it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from edgekit.evaluate.early_stopping import single_stream, slower_allowed
from edgekit.evaluate.statistics import least_samples


def loadgen(n: int, p: float) -> int:
    """LoadGen's t: the last for which n queries are as many as it wants beside t slower ones."""
    t = 0
    while True:
        h = n - (t + 1)
        if h < 1 or special.betainc(h, 1 + t + 1, p) >= 0.01:
            return t
        t += 1


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [63, 64, 65, 200, 600, 662, 5000])
def test_slower_queries_are_those_of_loadgen(n: int, p: float) -> None:
    assert slower_allowed(n, p) == loadgen(n, p)


def test_estimate_is_an_order_statistic() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(1.0, 601.0))
    t = slower_allowed(600)
    assert single_stream(samples) == 601.0 - t
    # Above the 90th percentile, which it bounds.
    assert single_stream(samples) > np.quantile(samples, 0.9)
    assert single_stream(np.arange(64.0)) == 63.0
    assert single_stream(np.arange(63.0)) is None
    assert least_samples(0.9) == 64
