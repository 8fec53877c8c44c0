"""How many runs were far slower than the middle one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgekit.evaluate.statistics import finite

#: A tail is heavy where this share of the runs took ``FACTOR`` times the median.
SHARE = 0.01
FACTOR = 1.5
#: From this factor on the median no longer speaks for the run.
SEVERE = 2.0
#: Fewer slow runs than this are single events.
_LEAST = 3


@dataclass(frozen=True)
class Tail:
    """The slow end of samples.

    Attributes:
        heavy: whether more than ``SHARE`` of them took more than ``FACTOR`` times the median.
        severe: the same for ``SEVERE``.
        share: part of the samples beyond ``SEVERE`` times the median where ``severe``, else beyond ``FACTOR``.
        slowest: largest sample over the median.
    """

    heavy: bool
    severe: bool
    share: float
    slowest: float


def tail(samples: ArrayLike) -> Tail:
    """Look at the slow end of samples ``[n]``."""
    values = finite(samples)
    middle = float(np.median(values))
    counts = {factor: int((values > factor * middle).sum()) for factor in (FACTOR, SEVERE)}
    beyond = {factor: count >= _LEAST and count > SHARE * values.size for factor, count in counts.items()}
    counted = counts[SEVERE if beyond[SEVERE] else FACTOR]
    return Tail(beyond[FACTOR], beyond[SEVERE], counted / values.size, float(values.max()) / middle)
