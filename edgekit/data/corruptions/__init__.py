"""Corruptions of images in five severities, suited to the modality."""

from edgekit.data.corruptions.base import SEVERITIES, Corruption
from edgekit.data.corruptions.catalogue import CORRUPTIONS, Name, suited, unfit
from edgekit.data.corruptions.corrupt import assemble_pixels, case_inputs, corrupt
from edgekit.data.corruptions.kept import CorruptedImages

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "CorruptedImages",
    "Corruption",
    "Name",
    "assemble_pixels",
    "case_inputs",
    "corrupt",
    "suited",
    "unfit",
]
