"""What the pictures share: colours, labels, and how they are saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.report.escape import oneline
from edgekit.store import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, told apart with every common colour blindness; one for each runtime.
COLOURS = {
    "torch_eager": "#555555",
    "onnxruntime": "#0072B2",
    "openvino": "#D55E00",
    "litert": "#009E73",
    "executorch": "#F0E442",
    "tensorrt": "#CC79A7",
    "coreml": "#E69F00",
}
OTHER = "#56B4E9"
_LONGEST = 28


@contextmanager
def quiet() -> Iterator[None]:
    """Draw names as they are: no formulas in them, no warning about a letter that the font lacks."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context({"text.parse_math": False, "font.size": 9}):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def label(name: str) -> str:
    """A name short enough for a picture."""
    flat = oneline(name)
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 3]}..."


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """An empty figure that no window system and no other part of the process knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; the same record gives the same bytes, since neither date nor version is in it."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
