"""MLPerf's single-stream figure: a percentile by LoadGen's early-stopping rule.

MLPerf Inference rules, appendix "Early Stopping Criterion"; LoadGen's ``PerformanceSummary::EarlyStopping``. From n
queries it takes the order statistic that lies above the true percentile with 99 % confidence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from edgekit.evaluate.statistics import EARLY_STOPPING_CONFIDENCE, finite, log_binomial

#: The percentile that MLPerf's single-stream scenario reports.
SINGLE_STREAM = 0.9


def slower_allowed(n: int, q: float = SINGLE_STREAM) -> int:
    """Largest t with P(Binomial(n, 1 - q) <= t) <= 1 %: how many of n queries may be slower; 0 with too few."""
    tail = 1.0 - EARLY_STOPPING_CONFIDENCE
    below, t = 0.0, -1
    while t + 1 < n:
        below += math.exp(log_binomial(t + 1, n, 1.0 - q))
        if below > tail:
            break
        t += 1
    return max(t, 0)


def single_stream(samples: ArrayLike, q: float = SINGLE_STREAM) -> float | None:
    """LoadGen's estimate of percentile ``q`` from samples ``[n]``: the t-th largest, t as ``slower_allowed`` says.

    None where n is too small, which is below ``least_samples(q)``: 64 for the 90th percentile.
    """
    values = np.sort(finite(samples))
    t = slower_allowed(int(values.size), q)
    return float(values[values.size - t]) if t else None
