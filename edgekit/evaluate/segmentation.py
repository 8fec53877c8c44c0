"""Overlap, surface distance and calibration of a segmentation on the whole test split, with 95 % intervals.

Dice, IoU and HD95 are computed for each case, assembled from its windows, and averaged over cases. The figures of
pixels (accuracy, sensitivity, specificity, NLL, ECE, Brier) pool the pixels of all cases. Pixels of one case are
not independent, so every interval resamples cases, or patients where a patient has several. ``IGNORE`` pixels
count nowhere.

What a class that is missing from a case means:

==================  =====  =====  ==============
truth / prediction  Dice   IoU    HD95
==================  =====  =====  ==============
empty / empty       1      1      left out
empty / not empty   0      0      left out
not empty / empty   0      0      left out
==================  =====  =====  ==============

So no failure is left out of Dice and IoU (MONAI with ``ignore_empty=False``). Many cases without the class raise
them, so the conditions also give the mean over the cases whose truth has it (MONAI's default). A class that no case
of the split has in truth gets no Dice or IoU and has no part in the mean Dice. HD95 has no value without two
surfaces (NaN in MONAI): its method says how many cases are left out, and its conditions count them and give the
mean with each missed or invented structure at the diagonal of its case, which no exclusion can improve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate import bootstrap as boot
from edgekit.evaluate import calibration, differences, missing
from edgekit.evaluate.case_details import details
from edgekit.evaluate.case_figures import figures_of, measure
from edgekit.evaluate.differences import Difference
from edgekit.record import Measurement

if TYPE_CHECKING:
    from edgekit.data.cases import Case

_EMPTY = "1 for a case where truth and prediction both lack the class, 0 where one of them does"
#: Metric (less its class) -> unit and how it is computed.
METRICS: Mapping[str, tuple[str, str]] = {
    "mean_dice": (
        "share",
        f"mean of the Dice of all cases and all foreground classes in the truth of the split; {_EMPTY}",
    ),
    "dice": ("share", f"mean over cases of the Dice coefficient of the class; {_EMPTY}"),
    "iou": ("share", f"mean over cases of the intersection over union of the class; {_EMPTY}"),
    "hd95": (
        "mm or px",
        "mean over cases of the larger of both directions' 95th percentiles of surface distance; cases where truth "
        "or prediction lacks the class have no such distance",
    ),
    "accuracy": ("share", "share of pixels whose largest logit is that of the true class"),
    "sensitivity": ("share", "share of the pixels of the class, over all cases, that are predicted as it"),
    "specificity": ("share", "share of the pixels of other classes, over all cases, that are not predicted as it"),
    "nll": ("nat", "mean negative log-likelihood of the true class over all pixels, softmax in float64"),
    "ece": (
        "share", f"expected calibration error over all pixels, top label, {calibration.BINS} equal-width bins",
    ),
    "brier": ("score", "multiclass Brier score over all pixels, 0 to 2: mean squared distance to one-hot truth"),
}  # fmt: skip
_PER_CLASS = ("dice", "iou", "hd95", "sensitivity", "specificity")


def names(classes: Sequence[str]) -> list[str]:
    """All metrics of ``evaluate`` for these classes (the first is the background), in its order."""
    return [
        f"{metric}/{one}" if metric in _PER_CLASS else metric
        for metric in METRICS
        for one in (classes[1:] if metric in _PER_CLASS else ("",))
    ]


def not_measured(
    artifact: str, metrics: Sequence[str] | None, reason: str, classes: Sequence[str]
) -> list[Measurement]:
    """The same metrics as ``evaluate`` (or those named in ``metrics``), each with the reason why it is missing."""
    return missing.rows(artifact, names(classes) if metrics is None else metrics, reason, METRICS)


def evaluate(
    artifact: str,
    logits: NDArray[np.float32],
    cases: Sequence[Case],
    masks: NDArray[np.uint8],
    classes: Sequence[str],
    bootstrap: int,
    seed: int,
    groups: Sequence[int] | NDArray[np.int64] | None = None,
    source: NDArray[np.float32] | None = None,
) -> list[Measurement]:
    """All figures of ``METRICS`` on the test split.

    Every interval comes from the same ``bootstrap`` resamples, which depend on ``seed`` and the number of cases (or
    groups) only, so artifacts evaluated on one split can be compared in pairs. A resample in which a figure is not
    defined is left out of its interval; ``resamples`` in the conditions counts the ones used.

    Conditions of each row: ``cases`` (their number) and ``pixels`` (counted ones). Those of ``dice``, ``iou``,
    ``hd95`` and ``mean_dice`` hold ``per_case``, in the order of ``case_ids``, which ``mean_dice`` alone holds.
    ``dice``, ``iou`` and ``hd95`` count the cases of the table above in ``both_empty``, ``only_predicted`` and
    ``only_true``. ``dice`` and ``iou`` hold ``mean_where_true``, ``hd95`` ``mean_with_missed_at_diagonal``,
    ``ece`` the ``bins`` of a reliability diagram.

    Args:
        artifact: its name in the record.
        logits: ``[n, K, *window]``; may be a memory map, of which one case at a time is read.
        cases: all cases of the split, whose windows are 0 to n - 1 in order.
        masks: ``[n, *window]``, classes 0 to K - 1 and ``IGNORE``.
        classes: K names, the background first.
        bootstrap: number of resamples.
        seed: of their draw.
        groups: patient of each case, as a number; without it each case is a patient of its own.
        source: the source's logits of the same windows, finite. With them the conditions of each row but ``hd95``
            hold ``less_source``, its difference from the source's figure (see ``differences``).

    Returns:
        One measurement a metric, in the order of ``names``. Those that are not defined on this split, or all when
        a logit is not finite, carry the reason.

    Raises:
        InputError: shapes, cases or masks do not fit, or only some cases have a spacing.
        MissingError: scipy is not installed.
    """
    _check(logits, cases, masks, classes, groups)
    length = _length(cases)
    bad = np.array([not np.isfinite(window).all() for window in logits])
    if bad.any():
        reason = f"logits are not finite for {int(bad.sum())} of {bad.size} windows (first: window {bad.argmax()})"
        return not_measured(artifact, None, reason, classes)

    found = measure(cases, logits, masks)
    figures, reasons = figures_of(found, classes)
    units, member = np.unique(np.arange(len(cases)) if groups is None else groups, return_inverse=True)
    drawn = boot.drawn(figures, member, units.size, bootstrap, seed)
    changed: dict[str, Difference] = {}
    if source is not None:
        others, _ = figures_of(measure(cases, source, masks, distances=False), classes)
        before = boot.drawn(others, member, units.size, bootstrap, seed)
        changed = {
            name: differences.of_draws(drawn[name], before[name], units.size)
            for name in drawn.keys() & before.keys()
        }
    whom = "cases" if units.size == len(cases) else f"{units.size} groups of cases (patients)"
    rows = []
    for name in names(classes):
        if name in reasons:
            rows += not_measured(artifact, [name], reasons[name], classes)
            continue
        kind, _, one = name.partition("/")
        unit, method = METRICS[kind]
        point, *resampled = drawn[name].tolist()
        spread = np.asarray(resampled)[np.isfinite(resampled)]
        conditions = {
            "split": "test",
            "cases": len(cases),
            "pixels": int(found.pixels.sum()),
            "resamples": int(spread.size),
            **details(kind, list(classes).index(one) if one else 0, found, cases),
        }
        if name in changed:
            conditions[differences.KEY] = changed[name]
        if kind == "hd95":
            left_out = sum(conditions[why] for why in ("both_empty", "only_predicted", "only_true"))
            method += f" ({left_out} of {len(cases)} left out)"
        low, high = np.quantile(spread, [0.025, 0.975]) if spread.size else (np.nan, np.nan)
        rows.append(
            Measurement(
                artifact=artifact,
                metric=name,
                unit=length if kind == "hd95" else unit,
                samples=(point,),
                method=f"{method}; 95 % percentile bootstrap over {whom}",
                conditions=conditions,
                interval=(float(low), float(high)) if spread.size else None,
            )
        )
    return rows


def _length(cases: Sequence[Case]) -> str:
    """Unit of distances."""
    without = [case.id for case in cases if case.spacing is None]
    if without and len(without) < len(cases):
        raise InputError(
            f"{len(without)} of {len(cases)} cases have no spacing (first: '{without[0]}'), the others have one",
            remedy="HD95 needs one unit: give every case its spacing in mm, or none",
        )
    return "px" if without else "mm"


def _check(
    logits: NDArray[np.float32],
    cases: Sequence[Case],
    masks: NDArray[np.uint8],
    classes: Sequence[str],
    groups: Sequence[int] | NDArray[np.int64] | None,
) -> None:
    window = masks.shape[1:]
    if len(window) not in (2, 3) or not masks.size or logits.shape != (len(masks), len(classes), *window):
        raise InputError(
            f"logits {list(logits.shape)} do not fit masks {list(masks.shape)} and {len(classes)} classes",
            remedy="logits must be [windows, classes, *window], masks [windows, *window], in 2-D or 3-D",
        )
    follow = np.cumsum([0, *(case.count for case in cases)])
    if [case.first for case in cases] != follow[:-1].tolist() or follow[-1] != len(masks):
        raise InputError(f"the windows of {len(cases)} cases are not 0 to {len(masks) - 1} in order")
    if groups is not None and len(groups) != len(cases):
        raise InputError(f"{len(groups)} groups do not fit {len(cases)} cases")
