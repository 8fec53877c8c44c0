"""Accuracy, discrimination and calibration of a classifier on the whole test split, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import calibration, missing
from edgekit.evaluate.figures import Floats, figures_of
from edgekit.record import Measurement

_INTERVAL = "95 % percentile bootstrap over images"
#: Metric (less its class) -> unit and how it is computed.
METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("share", "share of images whose largest logit is that of the true class"),
    "balanced_accuracy": ("share", "mean of the sensitivities of all classes"),
    "auc": ("share", "area under the ROC curve; macro mean of one-vs-rest with more than two classes"),
    "sensitivity": ("share", "share of the images of the class that are predicted as it"),
    "specificity": ("share", "share of the images of other classes that are not predicted as it"),
    "nll": ("nat", "mean negative log-likelihood of the true class, softmax in float64"),
    "ece": ("share", f"expected calibration error, top label, {calibration.BINS} equal-width bins (Guo 2017)"),
    "brier": ("score", "multiclass Brier score, 0 to 2: mean squared distance to the one-hot truth"),
}
_PER_CLASS = ("sensitivity", "specificity")
_Z = 1.959963984540054  # 97.5 % point of the normal distribution


def names(classes: Sequence[str]) -> list[str]:
    """All metrics of ``evaluate`` for these classes, in its order."""
    return [
        f"{metric}/{one}" if metric in _PER_CLASS else metric
        for metric in METRICS
        for one in (classes if metric in _PER_CLASS else ("",))
    ]


def not_measured(
    artifact: str, metrics: Sequence[str] | None, reason: str, classes: Sequence[str]
) -> list[Measurement]:
    """The same metrics as ``evaluate`` (or those named in ``metrics``), each with the reason why it is missing.

    Used for untrained weights, for artifacts that cannot run here and for logits that are not finite.
    """
    return missing.rows(artifact, names(classes) if metrics is None else metrics, reason, METRICS)


def evaluate(
    artifact: str, logits: ArrayLike, labels: ArrayLike, classes: Sequence[str], bootstrap: int, seed: int
) -> list[Measurement]:
    """All figures of ``METRICS`` on the test split.

    Every interval comes from the same ``bootstrap`` resamples, which depend on ``seed`` and the number of images
    only, so artifacts evaluated on one split can be compared in pairs. A resample in which a figure is not
    defined (a rare class was not drawn) is left out of that figure's interval, and ``resamples`` in the
    conditions counts the ones used. Sensitivity and specificity also carry a Wilson interval in their conditions
    (``wilson_95``), because the bootstrap's has no width where all images of a class are right, or all wrong.

    With two classes AUC ranks by the probability of class 1, with more by that of each class against the rest.
    It ranks by the log-odds, which order images as the probability does and do not saturate at 0 and 1. ECE is
    biased upwards on resamples, so its interval can lie above the value of a model that is well calibrated.

    Args:
        artifact: its name in the record.
        logits: ``[n, classes]``.
        labels: ``[n]``, 0 to classes - 1.
        classes: their names.
        bootstrap: number of resamples.
        seed: of their draw.

    Returns:
        One measurement a metric, in the order of ``names``. Those that are not defined on this split, or all when
        a logit is not finite, carry the reason.

    Raises:
        InputError: shapes or labels do not fit.
    """
    values = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(labels)
    if truth.ndim != 1 or not truth.size or values.shape != (truth.size, len(classes)):
        raise InputError(
            f"logits {list(values.shape)} do not fit {truth.size} labels and {len(classes)} classes",
            remedy="logits must be [images, classes], labels [images]",
        )
    if truth.dtype.kind not in "iu" or int(truth.min()) < 0 or int(truth.max()) >= len(classes):
        raise InputError(f"labels must be whole numbers from 0 to {len(classes) - 1}")
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        reason = (
            f"logits are not finite for {int(bad.sum())} of {truth.size} images (first: image {int(bad.argmax())})"
        )
        return not_measured(artifact, None, reason, classes)

    figures, reasons = figures_of(values, truth, classes)
    point = {name: float(figure(np.ones((1, truth.size)))[0]) for name, figure in figures.items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in figures}
    for weights in boot.resamples(truth.size, bootstrap, seed):
        for name, figure in figures.items():
            drawn[name].append(figure(weights))

    rows = []
    for name in names(classes):
        if name in reasons:
            rows += not_measured(artifact, [name], reasons[name], classes)
            continue
        kind, _, one = name.partition("/")
        unit, method = METRICS[kind]
        spread = np.concatenate(drawn[name]) if drawn[name] else np.empty(0)
        spread = spread[np.isfinite(spread)]
        conditions: dict[str, Any] = {"split": "test", "images": int(truth.size), "resamples": int(spread.size)}
        if one:
            positives = int((truth == list(classes).index(one)).sum())
            conditions["positives"] = positives
            among = positives if kind == "sensitivity" else int(truth.size) - positives
            conditions["wilson_95"] = list(wilson(round(point[name] * among), among))
        low, high = np.quantile(spread, [0.025, 0.975]) if spread.size else (np.nan, np.nan)
        rows.append(
            Measurement(
                artifact=artifact,
                metric=name,
                unit=unit,
                samples=(point[name],),
                method=f"{method}; {_INTERVAL}",
                conditions=conditions,
                interval=(float(low), float(high)) if spread.size else None,
            )
        )
    return rows


def wilson(hits: int, among: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share, ``hits`` of ``among`` (at least 1)."""
    p = hits / among
    spread = _Z * math.sqrt(p * (1.0 - p) / among + _Z**2 / (4.0 * among**2))
    scale = 1.0 + _Z**2 / among
    middle = p + _Z**2 / (2.0 * among)
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
