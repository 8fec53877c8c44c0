"""Pairs of images that are the same, or nearly: encoded again, resized, brightened.

Candidates differ in at most 10 of the 64 bits of their hash. A candidate is a near-duplicate where its details
correlate by 0.82 at least, and more than chance pairs of this data do: images of one anatomy correlate anyhow.
Chance is read from pairs that were drawn: Fisher's transform of their correlation, its median and its median
absolute deviation, and the level that less than one in a hundred runs would exceed with any of its pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgekit.data.fingerprints import Fingerprints

BITS = 10
LEAST = 0.82
#: Above this the same image encoded again would be lost.
_MOST = 0.995
_DRAWN = 20_000
_FALSE = 0.01
#: Correlations of one anatomy have heavier tails than a normal distribution.
_TAILS = 1.1
_BLOCK = 256


@dataclass(frozen=True)
class Pair:
    """Two images, by their place in all fingerprints. ``exact``: the same pixels at the input's resolution."""

    first: int
    second: int
    exact: bool
    correlation: float


def pairs(found: Fingerprints) -> tuple[list[Pair], float]:
    """All pairs that are the same or nearly so, and the correlation that was asked for."""
    level = threshold(found.details)
    number = np.unique(np.array(found.exact, dtype=object), return_inverse=True)[1]
    kept = []
    # Whole blocks at once: where all images show one anatomy, every second pair is a candidate.
    for start in range(0, len(number), _BLOCK):
        rows = slice(start, start + _BLOCK)
        correlation = found.details[rows] @ found.details[start:].T
        near = np.bitwise_count(found.hashes[rows, None] ^ found.hashes[None, start:]) <= BITS
        near &= correlation >= level
        exact = number[rows, None] == number[None, start:]
        for row, column in np.argwhere(np.triu(near | exact, 1)).tolist():
            kept.append(
                Pair(start + row, start + column, bool(exact[row, column]), float(correlation[row, column]))
            )
    return kept, level


def threshold(details: NDArray[np.float32]) -> float:
    """The least correlation of a near-duplicate in this data."""
    count = len(details)
    if count < 3:
        return LEAST
    random = np.random.default_rng(0)
    a, b = random.integers(0, count, (2, _DRAWN))
    drawn = (details[a[a != b]] * details[b[a != b]]).sum(axis=1)
    z = np.arctanh(np.clip(drawn, -0.999, 0.999).astype(np.float64))
    middle = float(np.median(z))
    deviation = 1.4826 * float(np.median(np.abs(z - middle)))
    far = NormalDist().inv_cdf(1 - min(0.5, _FALSE / (count * (count - 1) / 2)))
    return float(np.clip(np.tanh(middle + _TAILS * far * deviation), LEAST, _MOST))
