"""What a model says of the pixels of one case, as sums, which a bootstrap over cases only weights and adds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import IGNORE
from edgekit.errors import InputError
from edgekit.evaluate import calibration, overlap
from edgekit.evaluate.figures import log_softmax

#: Pixels that are in float64 at once.
_BLOCK = 1 << 18
#: NLL of a pixel is at most that of the smallest normal float64, as for images (see figures.py).
_LOG_TINY = math.log(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class PixelSums:
    """Sums over the counted pixels of one case; ``IGNORE`` pixels are in none of them.

    Attributes:
        confusion: pixels ``[K, K]`` of each true class (row) that got each class (column).
        nll: sum of the negative log-likelihoods of the true classes, in nat.
        brier: sum of the squared distances between the probabilities and the one-hot truth.
        count: pixels ``[15]`` in each bin of top-label confidence.
        confidence: sum of their confidences.
        correct: how many of them are right.
    """

    confusion: NDArray[np.int64]
    nll: float
    brier: float
    count: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]


def pixel_sums(logits: NDArray[np.float32], truth: NDArray[np.uint8]) -> PixelSums:
    """The sums of one case, from logits ``[K, *shape]`` and the true mask ``[*shape]``.

    Softmax is computed in float64, a block of pixels at a time. Of equal logits the first class is predicted.

    Raises:
        InputError: a pixel of the mask is neither a class nor ``IGNORE``, or none is counted.
    """
    classes = logits.shape[0]
    scores, labels = logits.reshape(classes, -1), truth.ravel()
    confusion = np.zeros((classes, classes), dtype=np.int64)
    bins = np.zeros((3, calibration.BINS))
    nll = brier = 0.0
    for start in range(0, labels.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        counted = labels[block] != IGNORE
        true = labels[block][counted]
        if not true.size:
            continue
        if int(true.max()) >= classes:
            raise InputError(f"the mask holds class {int(true.max())}; there are 0 to {classes - 1}")
        chosen = scores[:, block][:, counted]
        predicted = chosen.argmax(axis=0)
        log_p = log_softmax(chosen.T)
        p = np.exp(log_p)
        rows = np.arange(true.size)
        confidence = np.clip(p[rows, predicted], 0.0, 1.0)
        index = calibration.bin_index(confidence)
        for sums, weights in zip(bins, (None, confidence, predicted == true), strict=True):
            sums += np.bincount(index, weights, minlength=calibration.BINS)
        nll -= float(np.maximum(log_p[rows, true], _LOG_TINY).sum())
        p[rows, true] -= 1.0
        brier += float((p**2).sum())
        confusion += overlap.confusion(true, predicted, classes)
    if not confusion.any():
        raise InputError("the mask has no pixel that counts", remedy="leave the case out, or correct its mask")
    return PixelSums(confusion, nll, brier, bins[0], bins[1], bins[2])
