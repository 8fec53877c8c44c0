"""Two models on the same images: what was lost, what was won, and how sure one can be of the difference.

numpy is not needed: the reports use these too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import InputError

#: 97.5 % point of the normal distribution.
Z = 1.959963984540054
#: Steps of the bisection for an end of an interval: more than a float has bits.
_STEPS = 60


@dataclass(frozen=True)
class Pairs:
    """How two models fared on the same images.

    Attributes:
        images: number of them, n.
        lost: right before, wrong after.
        won: wrong before, right after.
    """

    images: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        """Raises InputError for counts that cannot be."""
        if min(self.lost, self.won) < 0 or self.lost + self.won > self.images or self.images < 1:
            raise InputError(f"{self.lost} lost and {self.won} won of {self.images} images cannot be")

    @property
    def drop(self) -> float:
        """Share of right answers before, less that after."""
        return (self.lost - self.won) / self.images

    @property
    def p(self) -> float:
        """McNemar's test of no difference, exact and two-sided: a coin thrown for each image that changed sides."""
        n, fewer = self.lost + self.won, min(self.lost, self.won)
        tail = math.fsum(math.exp(_log_choose(n, k) - n * math.log(2.0)) for k in range(fewer + 1))
        return min(1.0, 2.0 * tail)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ``drop``: Tango's score interval (Statistics in Medicine 1998, 17:891).

        It keeps its width where no image changed sides, where a bootstrap has none: of 11 images without a
        change, a drop of up to 26 points cannot be ruled out.
        """
        return -_end(self.images, self.won, self.lost), _end(self.images, self.lost, self.won)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the family is wrong once in twenty, not each of them.

    Raises:
        InputError: one is not within 0 to 1.
    """
    if not all(0.0 <= one <= 1.0 for one in p):
        raise InputError("a p-value is not within 0 to 1")
    corrected = [0.0] * len(p)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda one: p[one])):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = largest
    return corrected


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _end(n: int, lost: int, won: int) -> float:
    """The largest drop that the score test does not refuse at 2.5 %, by bisection; the test falls with the drop."""
    low, high = (lost - won) / n, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if _score(n, lost, won, middle) > -Z:
            low = middle
        else:
            high = middle
    return low


def _score(n: int, lost: int, won: int, drop: float) -> float:
    """Tango's statistic: the drop that was seen less ``drop``, over its standard error if ``drop`` were true."""
    a = 2.0 * n
    b = -lost - won + (2.0 * n - lost + won) * drop
    c = -won * drop * (1.0 - drop)
    # The share of images won that is most likely if the drop is this one.
    share = (math.sqrt(max(0.0, b * b - 4.0 * a * c)) - b) / (2.0 * a)
    variance = n * (2.0 * share + drop * (1.0 - drop))
    seen = lost - won - n * drop
    return seen / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, seen) if seen else 0.0
