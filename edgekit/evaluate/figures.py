"""The figures of a classifier as functions of image weights, made once from logits and labels.

A function takes weights ``[b, n]`` (see ``bootstrap``) and returns the figure under each, ``[b]``, NaN where it is
not defined.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import calibration

Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]

#: Log of the smallest normal float64. Below it a probability cannot be stored, so NLL would depend on whether it
#: is computed from logits or from probabilities; clipping there makes both agree and keeps one image from
#: making the mean infinite.
_LOG_TINY = math.log(np.finfo(np.float64).tiny)
#: Scores of images closer than this, in units of the largest logit, are one score: 16 roundings of float32. An INT8
#: artifact gives the same few hundred values to many images, and rounding would break their ties at random, which
#: moves AUC by some 1e-4.
_TIE = 2.0**-20


def softmax(logits: ArrayLike) -> Floats:
    """Probabilities ``[n, classes]`` of logits ``[n, classes]``, in float64."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: ArrayLike) -> Floats:
    """Log of the probabilities, exact where the probabilities themselves would underflow."""
    values = np.asarray(logits, dtype=np.float64)
    shifted = values - values.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def figures_of(
    logits: Floats, labels: NDArray[Any], classes: Sequence[str]
) -> tuple[dict[str, Figure], dict[str, str]]:
    """Each figure as a function of image weights, and why those that are missing are not defined."""
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    rows = np.arange(labels.size)
    predicted = logits.argmax(axis=1)
    # The probability of the class that argmax names, also where rounding makes two probabilities equal.
    confidence = np.clip(p[rows, predicted], 0.0, 1.0)
    correct = predicted == labels
    truth = np.eye(len(classes))[labels]
    nll = -np.maximum(log_p[rows, labels], _LOG_TINY)
    brier = ((p - truth) ** 2).sum(axis=1)
    index = calibration.bin_index(confidence)
    gap = correct.astype(np.float64) - confidence
    hits = correct.astype(np.float64)

    figures: dict[str, Figure] = {
        "accuracy": lambda w: boot.mean(w, hits),
        "nll": lambda w: boot.mean(w, nll),
        "brier": lambda w: boot.mean(w, brier),
        "ece": lambda w: boot.calibration_error(w, index, gap, calibration.BINS),
        "adaptive_ece": lambda w: boot.equal_mass_error(w, confidence, gap, calibration.BINS),
        "classwise_ece": functools.partial(_classwise, p=np.clip(p, 0.0, 1.0), truth=truth),
        "confidence_wrong": lambda w: boot.mean_among(w, confidence, ~correct),
    }
    reasons: dict[str, str] = {}
    if correct.all():
        del figures["confidence_wrong"]
        reasons["confidence_wrong"] = "every prediction on the test split is right"
    for k, one in enumerate(classes):
        mine = labels == k
        called = predicted == k
        for metric, right, among, nobody in (
            ("sensitivity", called, mine, f"the test split has no image for class '{one}'"),
            ("specificity", ~called, ~mine, f"the test split has no image of another class for class '{one}'"),
            ("ppv", mine, called, f"no image of the test split is predicted as class '{one}'"),
            ("npv", ~mine, ~called, f"every image of the test split is predicted as class '{one}'"),
        ):
            if among.any():
                figures[f"{metric}/{one}"] = functools.partial(boot.share, hits=right, among=among)
            else:
                reasons[f"{metric}/{one}"] = nobody
    missing = [one for k, one in enumerate(classes) if not (labels == k).any()]
    if missing:
        reason = f"the test split has no image of {', '.join(repr(one) for one in missing)}"
        reasons["balanced_accuracy"] = reasons["auc"] = reason
    else:
        figures["balanced_accuracy"] = lambda w: _macro(
            [boot.share(w, predicted == k, labels == k) for k in range(len(classes))]
        )
        scored = [1] if len(classes) == 2 else range(len(classes))
        ranks = {k: _ranks(log_odds(logits, k), float(np.abs(logits).max())) for k in scored}
        figures["auc"] = lambda w: _macro([boot.auc(w, ranks[k], labels == k) for k in scored])
    return figures, reasons


def _classwise(weights: Floats, p: Floats, truth: Floats) -> Floats:
    """Mean over classes of the calibration error of each one's probability ``[n, classes]``."""
    return _macro(
        [
            boot.calibration_error(weights, calibration.bin_index(p[:, k]), truth[:, k] - p[:, k], calibration.BINS)
            for k in range(p.shape[1])
        ]
    )


def _macro(parts: list[Floats]) -> Floats:
    """Mean over classes; NaN where one of them is not defined."""
    average: Floats = np.mean(np.stack(parts), axis=0)
    return average


def log_odds(logits: Floats, k: int) -> Floats:
    """Log of p_k / (1 - p_k), ``[n]``: the logit of class ``k`` less the log-sum-exp of the others."""
    others = np.delete(logits, k, axis=1)
    top = others.max(axis=1)
    result: Floats = logits[:, k] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return result


def _ranks(scores: Floats, scale: float) -> Floats:
    """Ranks ``[n]`` of scores ``[n]``; neighbours closer than ``_TIE`` of the largest logit share one."""
    order = np.argsort(scores, kind="stable")
    steps = np.diff(scores[order]) > _TIE * scale
    ranks = np.empty(scores.size)
    ranks[order] = np.concatenate(([0], np.cumsum(steps)))
    return ranks
