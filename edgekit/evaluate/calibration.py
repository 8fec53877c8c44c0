"""Calibration: does a confidence of 0.8 mean that 80 % of such predictions are right?

The expected calibration error is that of Guo et al., "On Calibration of Modern Neural Networks" (2017): the
confidence of the predicted class, in equal-width bins, each bin open below and closed above. The adaptive one has
bins of equally many images (Nguyen and O'Connor 2015), and the classwise one is the mean over all classes of the
error of each one's own probability (Kull et al. 2019).
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot

BINS = 15


class Bin(TypedDict):
    """One bar of a reliability diagram. ``confidence`` and ``accuracy`` are none where the bin is empty."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def bin_index(confidence: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """The bin, 0 to ``bins`` - 1, of each confidence ``[n]``; bin m is (m / bins, (m + 1) / bins].

    A confidence of exactly 0 goes into the first bin, which Guo's half-open bins would leave out.

    Raises:
        InputError: a confidence is not within 0 to 1, or ``bins`` is not positive.
    """
    values = np.asarray(confidence, dtype=np.float64)
    if bins < 1:
        raise InputError(f"a reliability diagram needs at least 1 bin (got {bins})")
    if not bool(np.all((values >= 0) & (values <= 1))):
        raise InputError("a confidence is not within 0 to 1", remedy="give the probability of the predicted class")
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.searchsorted(edges[1:-1], values, side="left")


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> list[Bin]:
    """The bars of a reliability diagram.

    Args:
        confidence: ``[n]``, probability of the predicted class, 0 to 1.
        correct: ``[n]``, whether that class was the true one.
        bins: number of equal-width bins.

    Raises:
        InputError: the lengths differ, or a confidence is not within 0 to 1.
    """
    values = np.asarray(confidence, dtype=np.float64)
    hits = np.asarray(correct, dtype=np.float64)
    if values.shape != hits.shape or values.ndim != 1:
        raise InputError(f"confidence {values.shape} and correct {hits.shape} must be two lists of one length")
    index = bin_index(values, bins)
    counts = np.bincount(index, minlength=bins)
    confidences = np.bincount(index, weights=values, minlength=bins)
    accuracies = np.bincount(index, weights=hits, minlength=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    return [
        Bin(
            lower=float(edges[m]),
            upper=float(edges[m + 1]),
            count=int(counts[m]),
            confidence=float(confidences[m] / counts[m]) if counts[m] else None,
            accuracy=float(accuracies[m] / counts[m]) if counts[m] else None,
        )
        for m in range(bins)
    ]


def ece(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error, 0 to 1: the mean over images of their bin's |accuracy - confidence|.

    Raises:
        InputError: no images, or as for ``reliability``.
    """
    rows = reliability(confidence, correct, bins)
    images = sum(row["count"] for row in rows)
    if not images:
        raise InputError("the calibration error of no images is not defined")
    gaps = (
        row["count"] * abs(row["accuracy"] - row["confidence"])
        for row in rows
        if row["accuracy"] is not None and row["confidence"] is not None
    )
    return sum(gaps) / images


def adaptive_ece(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """The same with bins that hold equally many images; images of one confidence share a bin.

    Raises:
        InputError: as for ``ece``.
    """
    values, hits = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if not sum(row["count"] for row in reliability(values, hits, bins)):
        raise InputError("the calibration error of no images is not defined")
    return float(boot.equal_mass_error(np.ones((1, values.size)), values, hits - values, bins)[0])


def classwise_ece(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Mean over the classes of the calibration error of each one's probability, whatever class is predicted.

    Args:
        probabilities: ``[n, classes]``, 0 to 1.
        labels: ``[n]``, 0 to classes - 1.
        bins: number of equal-width bins.

    Raises:
        InputError: as for ``ece``.
    """
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or truth.shape != p.shape[:1]:
        raise InputError(f"probabilities {p.shape} and labels {truth.shape} must be [n, classes] and [n]")
    return float(np.mean([ece(p[:, k], truth == k, bins) for k in range(p.shape[1])]))
