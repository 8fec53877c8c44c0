"""Energy meters, one a file. A counter comes before sampled power, and nothing is estimated unasked."""

from edgekit.measure.meters.base import Absent, Meter, Reading
from edgekit.measure.meters.choose import find
from edgekit.measure.meters.external import External

__all__ = ["Absent", "External", "Meter", "Reading", "find"]
