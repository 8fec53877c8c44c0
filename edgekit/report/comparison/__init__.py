"""Several runs side by side: networks, figures on the same images, latency and size. ``edgekit compare``."""

from edgekit.report.comparison.runs import Run, read
from edgekit.report.comparison.tables import render

__all__ = ["Run", "read", "render"]
