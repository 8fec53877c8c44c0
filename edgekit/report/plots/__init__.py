"""The pictures beside the checklist, one file each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.record import Record
from edgekit.report.plots import (
    changed,
    latency,
    reliability,
    robustness,
    saliency,
    score_latency,
    sensitivity,
    size_latency,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "there", "write"]

#: File name -> title and what draws it; the function returns none where the record has nothing to show.
PICTURES: dict[str, tuple[str, Callable[[Record], Figure | None]]] = {
    "latency.png": ("Latency of every timed run", latency.draw),
    "reliability.png": ("Reliability: accuracy against confidence", reliability.draw),
    "size_latency.png": ("Size against latency", size_latency.draw),
    "score_latency.png": ("Balanced accuracy or Dice against latency", score_latency.draw),
    "robustness.png": ("Error against the severity of corruptions", robustness.draw),
    "changed.png": ("Changed predictions that cost the true class most", changed.draw),
    "saliency.png": ("Saliency maps of source and artifact, without the images", saliency.draw),
    "sensitivity.png": ("Harm of INT8 in each layer alone", sensitivity.draw),
}


def write(record: Record, folder: Path) -> dict[str, Path]:
    """Draw what the record allows into ``folder`` and remove older pictures that it does not allow.

    Returns:
        Title to path, in the order of ``PICTURES``.
    """
    written = {}
    for name, (title, draw) in PICTURES.items():
        path = folder / name
        with style.quiet():
            figure = draw(record)
            if figure is None:
                path.unlink(missing_ok=True)
                continue
            style.save(figure, path)
        written[title] = path
    return written


def there(folder: Path) -> dict[str, Path]:
    """The pictures that ``folder`` holds: title to path, in the order of ``PICTURES``."""
    return {title: path for name, (title, _) in PICTURES.items() if (path := folder / name).exists()}
