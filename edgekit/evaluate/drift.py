"""Whether a run became slower or faster on the way: its last third against its first."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from edgekit.evaluate.dependence import effective_samples
from edgekit.evaluate.statistics import finite, median_interval

#: A change of the median that matters, as a share.
SHARE = 0.05
#: Fewest samples of a third.
_LEAST = 3


@dataclass(frozen=True)
class Drift:
    """Medians of the thirds of one process's samples, in their unit.

    Attributes:
        first: median of the first third.
        middle: of the second.
        last: of the last.
        ratio: last / first; above 1 the run became slower, as it does when a device throttles.
        low: lower end of an interval of the ratio, at least 95 %; none with too few samples to bound it.
        high: upper end; none likewise.
    """

    first: float
    middle: float
    last: float
    ratio: float
    low: float | None
    high: float | None

    @property
    def seen(self) -> bool:
        """Whether it changed by more than ``SHARE``, and by more than the noise within the thirds."""
        if self.low is None or self.high is None:
            return False
        return abs(self.ratio - 1.0) > SHARE and not self.low <= 1.0 <= self.high


def drift(samples: ArrayLike) -> Drift | None:
    """Compare the thirds of samples ``[n]``, in order of time; none with fewer than 9.

    Each third's median has an order-statistic interval for as many independent samples as the autocorrelation
    within the third leaves; the ratio's ends are those of the two intervals that lie farthest apart. Nothing about
    the distribution enters, and a few slow runs move no median.
    """
    values = finite(samples)
    third = values.size // 3
    if third < _LEAST:
        return None
    parts = [values[:third], values[third : values.size - third], values[-third:]]
    medians = [median_interval(part, effective_samples(part)) for part in parts]
    (first, first_low, first_high), (middle, _, _), (last, last_low, last_high) = medians
    low = None if last_low is None or first_high is None else last_low / first_high
    high = None if last_high is None or first_low is None else last_high / first_low
    return Drift(first, middle, last, last / first, low, high)
