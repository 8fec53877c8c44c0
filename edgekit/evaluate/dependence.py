"""How much consecutive runs depend on one another, and so how many independent ones they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edgekit.evaluate.statistics import finite

#: Fewer samples say nothing of their dependence: the standard error of r is about 1 / sqrt(n).
LEAST = 10


def autocorrelation(samples: ArrayLike, lag: int = 1) -> float | None:
    """Correlation r of samples ``[n]``, in order of time, with those ``lag`` later (Box and Jenkins 1976).

    sum (x_t - m)(x_t+lag - m) / sum (x_t - m)^2. None with fewer than ``LEAST`` samples, or where all are equal.
    """
    values = finite(samples)
    if values.size < max(LEAST, lag + 2):
        return None
    centred = values - values.mean()
    total = float(np.dot(centred, centred))
    # Rounding leaves a trace of variance where all samples are equal.
    if total <= values.size * (abs(float(values.mean())) * 1e-12) ** 2:
        return None
    return float(np.dot(centred[:-lag], centred[lag:]) / total)


def effective_samples(samples: ArrayLike) -> float:
    """How many independent samples the mean of samples ``[n]`` is worth: n (1 - r) / (1 + r), r at lag 1.

    The figure of a first-order autoregressive process (Bayley and Hammersley 1946). Negative r is taken for 0, so
    that it is never above n.
    """
    values = finite(samples)
    r = min(max(autocorrelation(values) or 0.0, 0.0), 0.999)
    return float(values.size * (1.0 - r) / (1.0 + r))
