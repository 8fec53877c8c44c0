"""Measurements: every figure there or explained, in its unit, within what it can be, with an interval that fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgekit.record import SOURCE, Measurement, Record
from edgekit.report import headline
from edgekit.report.check.finding import Finding


class _Kind(NamedTuple):
    """Units that a metric may have, and the least and the greatest value."""

    units: tuple[str, ...]
    low: float
    high: float


_SHARE = _Kind(("share",), 0.0, 1.0)
#: Metric, without its class -> what it can be. Others are left alone.
_KINDS = {
    "latency_s": _Kind(("s",), 0.0, math.inf),
    "load_s": _Kind(("s",), 0.0, math.inf),
    "first_inference_s": _Kind(("s",), 0.0, math.inf),
    "peak_rss_bytes": _Kind(("byte",), 0.0, math.inf),
    "energy_j": _Kind(("J",), -math.inf, math.inf),
    "nll": _Kind(("nat",), 0.0, math.inf),
    "brier": _Kind(("score",), 0.0, 2.0),
    # Where it was not measured, the spacing is not known.
    "hd95": _Kind(("px", "mm", "mm or px"), 0.0, math.inf),
    **dict.fromkeys(("ece", "adaptive_ece", "classwise_ece", "confidence_wrong"), _SHARE),
    **dict.fromkeys(("robust_error", "mean_robust_error", "ood_auroc", "ood_fpr95", "ood_confidence"), _SHARE),
    "saliency_pointing_game": _SHARE,
    "saliency_rank_correlation": _Kind(("correlation",), -1.0, 1.0),
    **dict.fromkeys(
        (
            "accuracy",
            "balanced_accuracy",
            "auc",
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "mean_dice",
            "dice",
            "iou",
        ),
        _SHARE,
    ),
}
#: Figures that are above zero, whatever was measured.
_POSITIVE = ("_s", "_bytes")
#: Means over images or cases: a percentile bootstrap holds them. That of a calibration error need not.
_MEANS = ("accuracy", "sensitivity", "specificity", "mean_dice", "dice", "iou")
#: Over all images of the test split, for every model that answers.
_SCORES = {"accuracy", "balanced_accuracy", "auc", "nll", "ece", "brier", "mean_dice"}
_ROUNDING = 1e-9


def measurements(record: Record) -> Iterator[Finding]:
    """Every artifact has every figure or the reason why not; samples are numbers that can be."""
    names = [one.name for one in record.artifacts]
    main = headline.of(record)
    wanted = ["latency_s", main.metric, "ece"]
    # A background has no figures of its own; what one artifact has, every artifact must have or explain.
    every = {row.metric for row in record.measurements}
    wanted += sorted(one for one in every if one.partition("/")[0] in main.per_class)
    # What the source has over all images, its files have or explain too.
    wanted += sorted({row.metric for row in record.measurements if row.artifact == SOURCE} & _SCORES)
    for one in record.artifacts:
        for metric in dict.fromkeys(wanted):
            if not record.of(one.name, metric):
                text = "neither a figure nor the reason why there is none"
                yield Finding("missing", f"measurements {one.name} {metric}", text)
    for row in record.measurements:
        where = f"measurements {row.artifact} {row.metric}"
        if row.artifact not in names:
            yield Finding("artifact", where, "no such artifact")
        if row.not_measured_reason is not None and not row.not_measured_reason.strip(" .-?"):
            yield Finding("missing", where, "the reason is blank")
        yield from _samples(row, where)
        yield from _interval(row, where)


def _samples(row: Measurement, where: str) -> Iterator[Finding]:
    kind = _KINDS.get(row.metric.partition("/")[0])
    if kind is not None and row.unit not in kind.units:
        yield Finding("unit", where, f"in '{row.unit}', not '{' or '.join(kind.units)}'")
    samples = np.asarray(row.samples or (), np.float64)
    if not np.isfinite(samples).all():
        yield Finding("samples", where, "a sample is not a number")
    elif row.metric.endswith(_POSITIVE) and row.metric != "runtime_rss_bytes" and (samples <= 0).any():
        yield Finding("samples", where, "a time or a size is not above zero")
    elif kind is not None and ((samples < kind.low) | (samples > kind.high + _ROUNDING)).any():
        yield Finding("samples", where, f"outside {kind.low:g} to {kind.high:g}")


def _interval(row: Measurement, where: str) -> Iterator[Finding]:
    """Bounds in their order, round the figure where they must be, and Wilson's where they say to be Wilson's."""
    if not row.samples:
        return
    value = row.samples[-1]
    name = row.metric.partition("/")[0]
    wilson = row.conditions.get("wilson_95")
    for bounds, must_hold in ((row.interval, name in _MEANS), (wilson, True)):
        if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
            continue
        low, high = bounds
        if low > high:
            yield Finding("interval", where, "its interval is turned round")
        elif must_hold and not low - _ROUNDING <= value <= high + _ROUNDING:
            yield Finding("interval", where, f"{value:.6g} is not within its interval, {low:.6g} to {high:.6g}")
