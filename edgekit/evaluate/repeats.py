"""A figure over repeated trainings: its mean and what the seeds say of its spread. No dependency but ``math``."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import InputError
from edgekit.evaluate.statistics import CONFIDENCE


@dataclass(frozen=True)
class Repeated:
    """Mean over repetitions, with the 95 % interval of the mean by Student's t.

    The interval says how much the figure depends on the seed, if figures of seeds are about normally distributed.
    It says nothing of the size of the test split, which is the same for all seeds.

    Attributes:
        mean: of the values, in their unit.
        low: lower end; none with fewer than two values.
        high: upper end; none likewise.
        std: standard deviation (n - 1); none likewise.
        values: one a repetition.
    """

    mean: float
    low: float | None
    high: float | None
    std: float | None
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many repetitions there are."""
        return len(self.values)

    @property
    def equal(self) -> bool:
        """Whether several values are all the same, so that the interval has no width."""
        return self.n > 1 and len(set(self.values)) == 1


def repeated(values: Sequence[float]) -> Repeated:
    """``mean +- t(n - 1) std / sqrt(n)``.

    Raises:
        InputError: no value, or one that is not finite.
    """
    if not values:
        raise InputError("a mean needs at least one value")
    if not all(math.isfinite(value) for value in values):
        raise InputError("a value is not finite", remedy="the record was altered")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Repeated(mean, None, None, None, tuple(values))
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = student_t(n - 1) * std / math.sqrt(n)
    return Repeated(mean, mean - half, mean + half, std, tuple(values))


@functools.cache
def student_t(degrees: int) -> float:
    """The t beyond which, on both sides together, 5 % of Student's distribution lies: 12.71 for 1, 4.30 for 2.

    Found by bisection of the angle whose tangent is t / sqrt(degrees), to the precision of a float.

    Raises:
        InputError: fewer than one degree of freedom.
    """
    if degrees < 1:
        raise InputError(f"Student's t needs at least one degree of freedom (got {degrees})")
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _between(middle, degrees) < CONFIDENCE else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _between(angle: float, degrees: int) -> float:
    """P(-t < T < t) for t = sqrt(degrees) tan(angle): Abramowitz and Stegun 1964, equations 26.7.3 and 26.7.4."""
    odd = degrees % 2 == 1
    cosine = math.cos(angle)
    # The terms cos^k, each with the product of (k - 1) / k over all k before it that have its parity.
    term = cosine if odd else 1.0
    terms = [] if degrees == 1 else [term]
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        terms.append(term)
    total = math.sin(angle) * math.fsum(terms)
    return 2 / math.pi * (angle + total) if odd else total
