"""Robustness as measurements: errors on corrupted images, with intervals, and their difference from the source's.

Every interval is a percentile bootstrap over images (cases, or patients, in segmentation) with the same resamples
for source and artifact. Images are resampled within their class, as they were chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate import differences
from edgekit.evaluate.robustness import CLEAN, Plan
from edgekit.record import Measurement

Floats = NDArray[np.float64]
ERROR = "robust_error"
MEAN = "mean_robust_error"
RISE = "robust_error_rise"
RELATIVE = "relative_robust_error"
#: Below this rise of the source's error a ratio to it means nothing.
_LEAST_RISE = 0.02
_BLOCK = 100


def names(planned: Plan) -> list[str]:
    """The metrics of ``rows``, for the source and for every artifact alike."""
    found = [f"{ERROR}/{CLEAN}", MEAN]
    for one in planned.corruptions:
        found += [f"{ERROR}/{one.name}/{severity}" for severity in planned.severities]
        found += [f"{kind}/{one.name}" for kind in (ERROR, RISE, RELATIVE)]
    return found


def not_measured(artifact: str, planned: Plan, dense: bool, reason: str) -> list[Measurement]:
    """The same metrics with the reason why they are missing."""
    return [_row(artifact, name, planned, dense, None, reason=reason) for name in names(planned)]


def rows(
    artifact: str,
    own: NDArray[np.float32],
    source: NDArray[np.float32] | None,
    planned: Plan,
    dense: bool,
    bootstrap: int,
) -> list[Measurement]:
    """All figures of one artifact.

    ``robust_error/<corruption>/<severity>`` is the error; without a severity it is the mean over those that were
    run, and its conditions hold ``less_source``, the difference from the source's. ``robust_error_rise`` is the
    rise of the error above that on clean images, less the source's rise; ``relative_robust_error`` their ratio.

    Args:
        artifact: its name in the record.
        own: from ``robustness.answers``.
        source: the same of the source; none for the source itself.
        planned: the plan of both.
        dense: segmentation.
        bootstrap: number of resamples.
    """
    mine = _errors(own, planned, bootstrap)
    theirs = None if source is None else _errors(source, planned, bootstrap)
    found = [_row(artifact, f"{ERROR}/{CLEAN}", planned, dense, mine[:, 0], source=_column(theirs, [0]))]
    every = list(range(1, mine.shape[1]))
    found.append(_row(artifact, MEAN, planned, dense, mine[:, every].mean(axis=1), source=_column(theirs, every)))
    count = len(planned.severities)
    for index, one in enumerate(planned.corruptions):
        columns = list(range(1 + index * count, 1 + (index + 1) * count))
        for severity, column in zip(planned.severities, columns, strict=True):
            name = f"{ERROR}/{one.name}/{severity}"
            found.append(_row(artifact, name, planned, dense, mine[:, column]))
        mean = mine[:, columns].mean(axis=1)
        level = {"level": [one.levels[severity - 1] for severity in planned.severities], "meaning": one.meaning}
        before = _column(theirs, columns)
        found.append(
            _row(artifact, f"{ERROR}/{one.name}", planned, dense, mean, source=before, level=level, of=one.source)
        )
        if theirs is None or before is None:
            continue
        rise, reference = mean - mine[:, 0], before - theirs[:, 0]
        found.append(_row(artifact, f"{RISE}/{one.name}", planned, dense, rise - reference))
        name = f"{RELATIVE}/{one.name}"
        if reference[0] < _LEAST_RISE:
            why = f"the source's error rises by {reference[0]:.3f} only: a ratio to it means nothing"
            found.append(_row(artifact, name, planned, dense, None, reason=why))
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(_row(artifact, name, planned, dense, rise / reference))
    return found


def _column(errors: Floats | None, columns: list[int]) -> Floats | None:
    return None if errors is None else errors[:, columns].mean(axis=1)


def _errors(answers: NDArray[np.float32], planned: Plan, bootstrap: int) -> Floats:
    """Error ``[1 + bootstrap, conditions]``: its value, then that of each resample."""
    values = answers.astype(np.float64).T
    total = np.zeros((1 + bootstrap, values.shape[1]))
    strata = np.unique(planned.strata)
    random = np.random.default_rng(planned.seed)
    for stratum in strata:
        members = np.flatnonzero(planned.strata == stratum)
        units, member = np.unique(planned.units[members], return_inverse=True)
        total[0] += values[members].mean(axis=0)
        for start in range(1, 1 + bootstrap, _BLOCK):
            rows = min(_BLOCK, 1 + bootstrap - start)
            drawn = random.multinomial(units.size, np.full(units.size, 1 / units.size), rows)[:, member]
            total[start : start + rows] += (drawn @ values[members]) / drawn.sum(axis=1, keepdims=True)
    error: Floats = 1.0 - total / strata.size
    return error


def _row(
    artifact: str,
    metric: str,
    planned: Plan,
    dense: bool,
    drawn: Floats | None,
    *,
    source: Floats | None = None,
    reason: str | None = None,
    level: dict[str, Any] | None = None,
    of: str | None = None,
) -> Measurement:
    kind, _, rest = metric.partition("/")
    error = "1 - mean Dice" if dense else "1 - balanced accuracy"
    method = {
        ERROR: f"{error} on corrupted images",
        MEAN: f"{error}, mean over all corruptions and severities",
        RISE: f"rise of {error} from clean to corrupted images, less the source's rise",
        RELATIVE: f"rise of {error} from clean to corrupted images over the source's rise (Hendrycks 2019)",
    }[kind]
    if kind == ERROR and rest == CLEAN:
        method = f"{error} on the same images, not corrupted"
    elif kind != MEAN and (kind != ERROR or "/" not in rest):
        method += ", mean over severities"
    if of is not None:
        method += f"; corruption: {of}"
    conditions: dict[str, Any] = {"split": "test", "cases" if dense else "images": len(planned.chosen)}
    if kind == MEAN or (kind == ERROR and "/" not in rest and rest != CLEAN):
        conditions["severities"] = list(planned.severities)
    if kind == MEAN:
        conditions |= {"left_out": planned.left_out, "seed": planned.seed}
        if not dense:
            conditions["fewest_images_of_a_class"] = int(np.bincount(planned.strata)[planned.strata].min())
    if level is not None:
        conditions |= level
    unit = "ratio" if kind == RELATIVE else "share"
    if drawn is None:
        return Measurement(
            artifact=artifact,
            metric=metric,
            unit=unit,
            not_measured_reason=reason,
            method=method,
            conditions=conditions,
        )
    if source is not None:
        conditions[differences.KEY] = differences.of_draws(drawn, source)
    return Measurement(
        artifact=artifact,
        metric=metric,
        unit=unit,
        samples=(float(drawn[0]),),
        method=f"{method}; 95 % percentile bootstrap",
        conditions=conditions,
        interval=interval(drawn),
    )


def interval(drawn: Floats) -> tuple[float, float] | None:
    """95 % percentile interval of ``[1 + b]``, whose first is the value; none where no resample has one."""
    spread = drawn[1:][np.isfinite(drawn[1:])]
    if not spread.size:
        return None
    low, high = np.quantile(spread, [0.025, 0.975])
    return float(low), float(high)
