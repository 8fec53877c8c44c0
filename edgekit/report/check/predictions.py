"""Figures that follow from the labels and predictions of a record, computed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate import calibration
from edgekit.evaluate.classification import wilson
from edgekit.record import SOURCE, Predictions, Record
from edgekit.report import classes
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig

Bounds = tuple[float, float]
#: Greatest difference between a figure of the record and the same figure computed again.
_ROUNDING = 1e-9
#: A record keeps confidences with six decimals.
_KEPT = 0.5e-6


def predictions(record: Record) -> Iterator[Finding]:
    """Labels and predictions that belong together, and the figures that they give."""
    labels = np.asarray(record.labels, np.int64)
    known = [one.name for one in classes.counts(record)]
    if len(labels) and (labels.min() < 0 or labels.max() >= len(known)):
        yield Finding("figure", "labels", f"a label is none of the {len(known)} classes")
        return
    made = {one.artifact for one in record.predictions}
    for artifact in record.artifacts:
        if made and artifact.name not in made and record.value(artifact.name, "accuracy") is not None:
            yield Finding(
                "missing", f"predictions {artifact.name}", "an accuracy without the predictions behind it"
            )
    by_name = {one.artifact: np.asarray(one.predicted, np.int64) for one in record.predictions}
    for one in record.predictions:
        where = f"predictions {one.artifact}"
        problem = _problem(one, len(labels), len(known))
        if problem is not None:
            yield Finding("figure", where, problem)
            continue
        for metric, (low, high) in _possible(one, labels, known).items():
            yield from _compare(record, one.artifact, metric, low, high)
        yield from _wilson(record, one, labels, known)
        yield from _agreement(record, one.artifact, by_name)


def _problem(one: Predictions, images: int, known: int) -> str | None:
    if len(one.predicted) != images:
        return f"{len(one.predicted)} predictions for {images} labels"
    if len(one.confidence) != images:
        return f"{len(one.confidence)} confidences for {images} labels"
    if any(not 0 <= predicted < known for predicted in one.predicted):
        return f"a prediction is none of the {known} classes"
    if any(not 1 / known - _KEPT <= confidence <= 1 for confidence in one.confidence):
        return f"a confidence is outside 1/{known} to 1, which the most likely class cannot be"
    return None


def _possible(one: Predictions, labels: NDArray[np.int64], known: list[str]) -> dict[str, Bounds]:
    """Metric -> the least and the greatest value that these predictions allow."""
    if not len(labels):
        return {}
    predicted, confidence = np.asarray(one.predicted), np.asarray(one.confidence, np.float64)
    right = predicted == labels
    found = {"accuracy": _exact(right.mean())}
    present = []
    for index, name in enumerate(known):
        mine = labels == index
        if mine.any():
            present.append(right[mine].mean())
            found[f"sensitivity/{name}"] = _exact(present[-1])
        if not mine.all():
            found[f"specificity/{name}"] = _exact((predicted[~mine] != index).mean())
    if len(present) == len(known):
        found["balanced_accuracy"] = _exact(np.mean(present))
    found["ece"] = _ece(confidence, right)
    found["nll"] = _nll(confidence, right, len(known))
    found["brier"] = _brier(confidence, right, len(known))
    return found


def _exact(value: Any) -> Bounds:
    return float(value) - _ROUNDING, float(value) + _ROUNDING


def _ece(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Bounds:
    """Rounding may have moved a confidence over the edge of its bin, which counts twice at most."""
    value = calibration.ece(np.clip(confidence, 0, 1), right)
    scaled = confidence * calibration.BINS
    near = np.abs(scaled - np.round(scaled)) <= 2 * _KEPT * calibration.BINS
    slack = 2 * _KEPT + 2 * float(near.mean()) + _ROUNDING
    return value - slack, value + slack


def _true_share(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], known: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the greatest probability of the true class.

    That of an image that is right is its confidence; that of another is what is left, shared with the other
    classes and not above the confidence.
    """
    rest = np.minimum(1 - confidence, confidence)
    least = np.where(right, confidence, 1 - confidence if known == 2 else 0.0) - 2 * _KEPT
    most = np.where(right, confidence, 1 - confidence if known == 2 else rest) + 2 * _KEPT
    return np.clip(least, 0, 1), np.clip(most, 0, 1)


def _nll(confidence: NDArray[np.float64], right: NDArray[np.bool_], known: int) -> Bounds:
    least, most = _true_share(confidence, right, known)
    with np.errstate(divide="ignore"):
        return float(-np.log(most).mean()) - _ROUNDING, float(-np.log(least).mean()) + _ROUNDING


def _brier(confidence: NDArray[np.float64], right: NDArray[np.bool_], known: int) -> Bounds:
    """Sum over classes of the squared distance to one-hot truth; what is left may be even or in one class."""
    rest = 1 - confidence
    # Right: the distance of the true class is the rest, which the other classes share.
    low, high = rest**2 * (1 + 1 / (known - 1)) if known > 1 else rest**2, 2 * rest**2
    _, most = _true_share(confidence, right, known)
    left = np.clip(rest - most, 0, 1)
    wrong_low = (1 - most) ** 2 + confidence**2 + (left**2 / (known - 2) if known > 2 else 0.0)
    wrong_high = 1 + confidence**2 + rest**2 if known > 2 else 2 * confidence**2
    slack = 8 * _KEPT + _ROUNDING
    return (
        float(np.where(right, low, wrong_low).mean()) - slack,
        float(np.where(right, high, wrong_high).mean()) + slack,
    )


def _compare(record: Record, name: str, metric: str, low: float, high: float) -> Iterator[Finding]:
    row = record.value(name, metric)
    if row is None or not row.samples:
        return
    images = row.conditions.get("images")
    if isinstance(images, int) and record.labels and images != len(record.labels):
        text = f"over {images} images; there are {len(record.labels)} labels"
        yield Finding("count", f"measurements {name} {metric}", text)
    if low <= row.samples[-1] <= high:
        return
    allowed = f"{(low + high) / 2:.6g}" if high - low < 1e-4 else f"{low:.4g} to {high:.4g}"
    text = f"{row.samples[-1]:.6g}; its predictions give {allowed}"
    yield Finding("figure", f"measurements {name} {metric}", text)


def _wilson(record: Record, one: Predictions, labels: NDArray[np.int64], known: list[str]) -> Iterator[Finding]:
    """The intervals and positives of each class."""
    predicted = np.asarray(one.predicted)
    for index, name in enumerate(known):
        mine = labels == index
        hits = {
            "sensitivity": (int((predicted[mine] == index).sum()), int(mine.sum())),
            "specificity": (int((predicted[~mine] != index).sum()), int((~mine).sum())),
        }
        for metric, (count, among) in hits.items():
            row = record.value(one.artifact, f"{metric}/{name}")
            if row is None or not among:
                continue
            where = f"measurements {one.artifact} {metric}/{name}"
            positives = row.conditions.get("positives")
            if positives not in (None, int(mine.sum())):
                yield Finding("count", where, f"{positives} positives; the labels have {int(mine.sum())}")
            bounds = row.conditions.get("wilson_95")
            right = wilson(count, among)
            if isinstance(bounds, (list, tuple)) and not np.allclose(bounds, right, rtol=0, atol=1e-6):
                text = f"Wilson's interval of {count} in {among} is {right[0]:.4f} to {right[1]:.4f}"
                yield Finding("interval", where, text)


def _agreement(record: Record, name: str, predicted: dict[str, NDArray[np.int64]]) -> Iterator[Finding]:
    """How often the artifact named the source's class, over the whole split."""
    details = next((one.details for one in record.artifacts if one.name == name), {})
    told = dig(details, "agreement_with_source")
    if told is None and dig(details, "compared_with") == SOURCE:
        told = dig(details, "parity_whole_split")
    share = dig(told, "argmax_agreement")
    source = predicted.get(SOURCE)
    if share is None or source is None or len(source) != len(predicted[name]) or not len(source):
        return
    right = float((source == predicted[name]).mean())
    if abs(share - right) > _ROUNDING:
        text = f"agreement with the source {share:.6g}; the predictions give {right:.6g}"
        yield Finding("figure", f"artifacts.{name}", text)
