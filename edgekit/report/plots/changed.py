"""Contact sheet of the changed predictions that cost the true class most, where the record holds small pictures."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.record import Record
from edgekit.report import changed_images
from edgekit.report.categories import safety
from edgekit.report.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 6
#: Pictures of one artifact.
_MOST = 12
#: Of an image's name, from its end.
_LETTERS = 24
#: Pixels of a side; anything larger is no thumbnail of edgekit's.
_LARGEST = 256


def draw(record: Record) -> Figure | None:
    """A block of pictures for each artifact to use; none where the record holds no picture."""
    blocks = {}
    for name in safety.compared(record):
        found = changed_images.of(record, name)
        shown = found.images[:_MOST] if found else ()
        held = [(one, pixels) for one in shown if (pixels := _pixels(record, one.image)) is not None]
        if held:
            blocks[name] = held
    if not blocks:
        return None
    rows = [-(-len(held) // _COLUMNS) for held in blocks.values()]
    figure = style.new_figure(1.6 * _COLUMNS, sum(2.1 * count + 0.3 for count in rows))
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=rows)
    for part, (name, held), count in zip(parts.flat, blocks.items(), rows, strict=True):
        part.suptitle(style.label(name), fontsize=9, x=0.01, ha="left")
        axes = part.subplots(count, _COLUMNS, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, (one, pixels) in zip(axes.flat, held, strict=False):
            axis.imshow(pixels, interpolation="nearest")
            # A long path or class name must not run into the neighbour; the end of a path tells most.
            true, _, now = changed_images.move(record, one).rpartition(", now ")
            lines = (one.id[-_LETTERS:], true, f"now {now}")
            axis.set_title("\n".join(style.label(line) for line in lines), fontsize=6)
    return figure


def _pixels(record: Record, place: int) -> NDArray[np.uint8] | None:
    """``uint8[H, W, 3]``; none where the record holds no picture of the image, or nothing that is one."""
    from PIL import Image

    try:
        content = base64.b64decode(record.thumbnails[str(place)], validate=True)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            small = max(picture.size) <= _LARGEST
            return np.asarray(picture.convert("RGB")) if small else None
    except (KeyError, ValueError, OSError, SyntaxError):
        return None
