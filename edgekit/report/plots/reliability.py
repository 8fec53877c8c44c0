"""Reliability diagrams: how often a prediction is right, against how sure the model was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.evaluate import calibration
from edgekit.record import SOURCE, Record
from edgekit.report import headline, results
from edgekit.report.categories import safety
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The source and up to five artifacts.
_MOST = 6
_COLUMNS = {1: 1, 2: 2, 4: 2}


def draw(record: Record) -> Figure | None:
    """The source and the recommended artifacts side by side, or none where nothing was predicted."""
    by_name = {name: found for name in [SOURCE, *safety.compared(record)] if (found := bins(record, name))}
    names = list(by_name)[:_MOST]
    if not names:
        return None
    columns = _COLUMNS.get(len(names), 3)
    rows = -(-len(names) // columns)
    figure = style.new_figure(2.9 * columns + 0.4, 3.9 * rows)
    for part, name in zip(figure.subfigures(rows, columns, squeeze=False).flat, names, strict=False):
        upper, lower = part.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
        one = results.artifact(record, name)
        colour = style.COLOURS.get(one.runtime if one else "", style.OTHER)
        _panel(upper, lower, by_name[name], colour)
        lower.set_ylabel(headline.of(record).unit)
        ece = results.score(record, name, "ece")
        upper.set_title(f"{style.label(name)}\nECE {ece.short}", fontsize=9)
    return figure


def bins(record: Record, name: str) -> list[calibration.Bin] | None:
    """The bars of an artifact: from its predictions, or, in segmentation, as its calibration error holds them."""
    ece = record.value(name, "ece")
    if ece is not None and ece.conditions.get("bins"):
        return list(ece.conditions["bins"])
    for one in record.predictions:
        if one.artifact == name and record.labels and len(one.predicted) == len(record.labels):
            correct = np.asarray(one.predicted) == np.asarray(record.labels)
            return calibration.reliability(one.confidence, correct)
    return None


def _panel(upper: Any, lower: Any, bins: list[calibration.Bin], colour: str) -> None:
    """Accuracy of each bin above, number of images or pixels below."""
    width = bins[0]["upper"] - bins[0]["lower"]
    full = [row for row in bins if row["accuracy"] is not None and row["confidence"] is not None]
    upper.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    upper.bar(
        [row["lower"] for row in full],
        [row["accuracy"] for row in full],
        width=width,
        align="edge",
        color=colour,
        alpha=0.55,
        edgecolor="white",
    )
    upper.plot(
        [row["confidence"] for row in full],
        [row["accuracy"] for row in full],
        "o",
        color=colour,
        markersize=4,
        clip_on=False,
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy")
    lower.bar(
        [row["lower"] for row in bins], [row["count"] for row in bins], width=width, align="edge", color=colour
    )
    lower.set_xlabel("confidence (dashed: calibrated)")
    lower.locator_params(axis="y", nbins=3, integer=True)
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
