"""Accuracy, discrimination and calibration of a classifier on the whole test split, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import calibration, differences, missing
from edgekit.evaluate.differences import Difference
from edgekit.evaluate.figures import figures_of
from edgekit.evaluate.paired import Z
from edgekit.record import Measurement

#: Metric (less its class) -> unit and how it is computed.
METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("share", "share of images whose largest logit is that of the true class"),
    "balanced_accuracy": ("share", "mean of the sensitivities of all classes"),
    "auc": ("share", "area under the ROC curve; macro mean of one-vs-rest with more than two classes"),
    "sensitivity": ("share", "share of the images of the class that are predicted as it"),
    "specificity": ("share", "share of the images of other classes that are not predicted as it"),
    "ppv": ("share", "share of the images that are predicted as the class that are of it"),
    "npv": ("share", "share of the images that are not predicted as the class that are not of it"),
    "nll": ("nat", "mean negative log-likelihood of the true class, softmax in float64"),
    "ece": ("share", f"expected calibration error, top label, {calibration.BINS} equal-width bins (Guo 2017)"),
    "adaptive_ece": (
        "share",
        f"the same with {calibration.BINS} bins of equally many images (edges: quantiles of the confidences)",
    ),
    "classwise_ece": (
        "share",
        "mean over all classes of the calibration error of the class's probability, "
        f"{calibration.BINS} equal-width bins (Kull 2019)",
    ),
    "confidence_wrong": ("share", "mean confidence of the predictions that are wrong"),
    "brier": ("score", "multiclass Brier score, 0 to 2: mean squared distance to the one-hot truth"),
}
_PER_CLASS = ("sensitivity", "specificity", "ppv", "npv")


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
    artifact: str,
    logits: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    bootstrap: int,
    seed: int,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
) -> list[Measurement]:
    """All figures of ``METRICS`` on the test split.

    Every interval comes from the same ``bootstrap`` resamples, which depend on ``seed`` and the number of images
    (or groups) only, so artifacts evaluated on one split can be compared in pairs. A resample in which a figure is
    not defined (a rare class was not drawn) is left out of that figure's interval, and ``resamples`` in the
    conditions counts the ones used. Sensitivity, specificity, PPV and NPV also carry a Wilson interval in their
    conditions (``wilson_95``), because the bootstrap's has no width where all images of a class are right, or all
    wrong; ``positives`` counts the images of the class, ``among`` those of which the figure is a share.

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
        groups: ``[n]``, patient of each image, as a number; they are resampled whole. Without it each image is a
            patient of its own.
        source: ``[n, classes]``, the source's logits of the same images, finite. With them each row's conditions
            hold ``less_source``, its difference from the source's figure (see ``differences``).

    Returns:
        One measurement a metric, in the order of ``names``. Those that are not defined on this split, or all when
        a logit is not finite, carry the reason.

    Raises:
        InputError: shapes or labels do not fit.
        MissingError: scipy is not installed, and ``source`` is given.
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
    units, member = np.unique(np.arange(truth.size) if groups is None else np.asarray(groups), return_inverse=True)
    drawn = boot.drawn(figures, member, units.size, bootstrap, seed)
    changed: dict[str, Difference] = {}
    if source is not None:
        before = np.asarray(source, dtype=np.float64)
        others, _ = figures_of(before, truth, classes)
        drawn_before = boot.drawn(others, member, units.size, bootstrap, seed)
        for name in figures.keys() & others.keys():
            changed[name] = differences.of_draws(drawn[name], drawn_before[name], units.size)
        independent = units.size == truth.size
        changed |= differences.of_shares(
            before.argmax(axis=1), values.argmax(axis=1), truth, classes, changed, independent
        )
    whom = "images" if units.size == truth.size else f"{units.size} patients or lesions"
    rows = []
    for name in names(classes):
        if name in reasons:
            rows += not_measured(artifact, [name], reasons[name], classes)
            continue
        kind, _, one = name.partition("/")
        unit, method = METRICS[kind]
        point, *resampled = drawn[name].tolist()
        spread = np.asarray(resampled)[np.isfinite(resampled)]
        conditions: dict[str, Any] = {"split": "test", "images": int(truth.size), "resamples": int(spread.size)}
        if one:
            conditions |= _counts(kind, list(classes).index(one), truth, values.argmax(axis=1), point)
        if name in changed:
            conditions[differences.KEY] = changed[name]
        low, high = np.quantile(spread, [0.025, 0.975]) if spread.size else (np.nan, np.nan)
        rows.append(
            Measurement(
                artifact=artifact,
                metric=name,
                unit=unit,
                samples=(point,),
                method=f"{method}; 95 % percentile bootstrap over {whom}",
                conditions=conditions,
                interval=(float(low), float(high)) if spread.size else None,
            )
        )
    return rows


def _counts(kind: str, k: int, labels: NDArray[Any], predicted: NDArray[np.intp], share: float) -> dict[str, Any]:
    """What the share of a class is of, and its Wilson interval."""
    mine, called = labels == k, predicted == k
    among = int({"sensitivity": mine, "specificity": ~mine, "ppv": called, "npv": ~called}[kind].sum())
    return {
        "positives": int(mine.sum()),
        "among": among,
        "wilson_95": list(wilson(round(share * among), among)),
    }


def wilson(hits: int, among: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share, ``hits`` of ``among`` (at least 1)."""
    p = hits / among
    spread = Z * math.sqrt(p * (1.0 - p) / among + Z**2 / (4.0 * among**2))
    scale = 1.0 + Z**2 / among
    middle = p + Z**2 / (2.0 * among)
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
