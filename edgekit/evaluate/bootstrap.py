"""Figures of a classifier under many weightings of its images at once, which is what a bootstrap is.

A resample of n images is a row of n counts; the point value is the row of ones. Each function takes weights
``[b, n]`` and returns ``[b]``, so b resamples cost a few matrix products and no loop over images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Numbers in one block of weights: 32 MiB, so that 100,000 resamples of a large test split fit any machine.
_BLOCK = 4_000_000


def resamples(images: int, count: int, seed: int) -> Iterator[Floats]:
    """Blocks ``[b, images]`` of the counts of ``count`` resamples with replacement; the same for the same seed."""
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // images)
    for start in range(0, count, rows):
        b = min(rows, count - start)
        drawn = rng.integers(0, images, (b, images))
        flat = drawn + np.arange(b)[:, None] * images
        yield np.bincount(flat.ravel(), minlength=b * images).reshape(b, images).astype(np.float64)


def drawn(
    figures: Mapping[str, Callable[[Floats], Floats]],
    member: NDArray[np.intp],
    units: int,
    count: int,
    seed: int,
) -> dict[str, Floats]:
    """Each figure ``[1 + count]``: its value, then that of each resample.

    Args:
        figures: functions of weights ``[b, n]``.
        member: ``[n]``, the unit (patient) of each image or case, 0 to ``units`` - 1; units are resampled whole.
        units: their number.
        count: resamples.
        seed: of their draw.
    """
    parts = {name: [figure(np.ones((1, member.size)))] for name, figure in figures.items()}
    for weights in resamples(units, count, seed):
        own = weights[:, member]
        for name, figure in figures.items():
            parts[name].append(figure(own))
    return {name: np.concatenate(found) for name, found in parts.items()}


def mean(weights: Floats, values: Floats) -> Floats:
    """Weighted mean of ``values`` ``[n]``."""
    average: Floats = (weights @ values) / weights.sum(axis=1)
    return average


def mean_among(weights: Floats, values: Floats, among: NDArray[np.bool_]) -> Floats:
    """Weighted mean of ``values`` ``[n]`` over the images ``among``; NaN where none of these was drawn."""
    total = weights @ among.astype(np.float64)
    summed = weights @ np.where(among, values, 0.0)
    average: Floats = np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)
    return average


def share(weights: Floats, hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Floats:
    """Weighted share of ``hits`` among the images ``among``; NaN where none of these was drawn."""
    return mean_among(weights, hits.astype(np.float64), among)


def calibration_error(weights: Floats, index: NDArray[np.intp], gap: Floats, bins: int) -> Floats:
    """Expected calibration error from each image's bin ``[n]`` and its correct - confidence ``[n]``."""
    spread = np.zeros((index.size, bins))
    spread[np.arange(index.size), index] = gap
    error: Floats = np.abs(weights @ spread).sum(axis=1) / weights.sum(axis=1)
    return error


def equal_mass_error(weights: Floats, confidence: Floats, gap: Floats, bins: int) -> Floats:
    """Expected calibration error with bins that hold equally many images, each resample with bins of its own.

    The edges are the quantiles of the drawn confidences (linear interpolation, as ``numpy.quantile``); a bin is
    open below and closed above, so images of equal confidence share one.

    Args:
        weights: ``[b, n]``, counts.
        confidence: ``[n]``.
        gap: ``[n]``, correct - confidence.
        bins: their number.
    """
    order = np.argsort(confidence, kind="stable")
    ordered, drawn = confidence[order], weights[:, order]
    rows, n = drawn.shape
    through = np.cumsum(drawn, axis=1)
    total = through[:, -1:]
    at = (total - 1.0) * np.linspace(0.0, 1.0, bins + 1)[1:-1]
    below = np.floor(at)
    # One search for all rows: each row's counts are lifted above those of the row before it.
    lift = np.arange(rows)[:, None] * (total.max() + 1.0)
    flat = (through + lift).ravel()

    def drawn_as(rank: Floats) -> Floats:
        found: Floats = ordered[np.searchsorted(flat, rank + lift, side="right") - np.arange(rows)[:, None] * n]
        return found

    low, high = drawn_as(below), drawn_as(np.minimum(below + 1.0, total - 1.0))
    last = np.searchsorted(ordered, low + (high - low) * (at - below), side="right")
    sums = np.zeros((rows, n + 1))
    np.cumsum(drawn * gap[order], axis=1, out=sums[:, 1:])
    ends = np.column_stack((np.zeros(rows, dtype=np.intp), last, np.full(rows, n)))
    error: Floats = np.abs(np.diff(np.take_along_axis(sums, ends, axis=1), axis=1)).sum(axis=1) / total[:, 0]
    return error


def auc(weights: Floats, scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Area under the ROC curve: probability that a positive image scores above a negative one, ties as half.

    NaN where no positive or no negative image was drawn.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right")
    drawn = weights[:, order]
    is_positive = positive[order]
    # below[:, i]: weight of the negative images among the i with the smallest scores.
    below = np.zeros((weights.shape[0], scores.size + 1))
    np.cumsum(drawn * ~is_positive, axis=1, out=below[:, 1:])
    wins = (below[:, first[is_positive]] + below[:, last[is_positive]]) / 2.0
    positives = drawn[:, is_positive]
    pairs = positives.sum(axis=1) * below[:, -1]
    won = (positives * wins).sum(axis=1)
    area: Floats = np.divide(won, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
    return area
