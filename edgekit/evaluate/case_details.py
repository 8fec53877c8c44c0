"""What the conditions of a segmentation's figures say beside the figure: the cases' values, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.evaluate import calibration
from edgekit.evaluate.case_figures import CaseFigures, Floats

if TYPE_CHECKING:
    from edgekit.data.cases import Case

#: Decimals of a case's value: enough for a share and for micrometres, and a third of a float's text.
_DECIMALS = 6


def details(kind: str, k: int, found: CaseFigures, cases: Sequence[Case]) -> dict[str, Any]:
    """The conditions that only metric ``kind`` of class ``k`` has."""
    if kind == "mean_dice":
        return {"case_ids": [case.id for case in cases], "per_case": _rounded(found.mean_dice)}
    if kind == "ece":
        return {"bins": _bins(found.bins.sum(axis=0))}
    if kind in ("sensitivity", "specificity"):
        return {"positives": int(found.confusion[:, k].sum())}
    if kind not in ("dice", "iou", "hd95"):
        return {}
    true, called = found.presence(k)
    said: dict[str, Any] = {
        "both_empty": int((~true & ~called).sum()),
        "only_predicted": int((~true & called).sum()),
        "only_true": int((true & ~called).sum()),
    }
    values = {"dice": found.dice, "iou": found.iou, "hd95": found.distance}[kind][:, k]
    if kind != "hd95":
        said["mean_where_true"] = float(values[true].mean())
    else:
        worst = np.where(true != called, found.diagonal, values)
        said["mean_with_missed_at_diagonal"] = float(worst[true | called].mean())
    return {**said, "per_case": _rounded(values)}


def _rounded(values: Floats) -> list[float | None]:
    return [round(float(value), _DECIMALS) if np.isfinite(value) else None for value in values]


def _bins(sums: Floats) -> list[calibration.Bin]:
    """Bars of the reliability diagram of all pixels, from the sums ``[3, 15]`` of ``CaseFigures.bins``."""
    edges = np.linspace(0.0, 1.0, calibration.BINS + 1)
    return [
        calibration.Bin(
            lower=float(edges[m]),
            upper=float(edges[m + 1]),
            count=int(count),
            confidence=float(confidence / count) if count else None,
            accuracy=float(correct / count) if count else None,
        )
        for m, (count, confidence, correct) in enumerate(sums.T)
    ]
