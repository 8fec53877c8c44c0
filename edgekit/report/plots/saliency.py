"""Saliency maps of the source and of the recommended artifacts, without the images that they belong to.

A record travels, and images of patients must not travel with it: the maps alone, 7 by 7, show whether both look at
the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.record import Record
from edgekit.report.categories import safety
from edgekit.report.plain import dig
from edgekit.report.plots import style
from edgekit.report.saliency import AGREEMENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 5


def draw(record: Record) -> Figure | None:
    """A row for the source and for each artifact, a column an image; none where the record holds no maps."""
    rows: dict[str, list[Any]] = {}
    for name in safety.compared(record)[:_MOST]:
        found = record.value(name, AGREEMENT)
        maps = None if found is None else dig(found.conditions, "maps")
        if isinstance(maps, dict):
            rows.setdefault("source", maps["source"])
            rows[name] = maps["artifact"]
    if not rows:
        return None
    columns = min(len(maps) for maps in rows.values())
    figure = style.new_figure(1.6 * columns + 1.6, 1.6 * len(rows) + 0.4)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (name, maps), line in zip(rows.items(), axes, strict=True):
        for index, (axis, values) in enumerate(zip(line, maps, strict=False)):
            drawn = axis.imshow(np.asarray(values, dtype=np.float64), cmap="PuOr_r", vmin=-1, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
            if index == 0:
                axis.set_ylabel(style.label(name), fontsize=8)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label("fall of the log-odds when covered,\nas a share of the image's largest", fontsize=8)
    return figure
