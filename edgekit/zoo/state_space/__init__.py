"""The selective scan (S6) of Mamba, Gu and Dao 2023: reference, forms of standard operators, training."""

from edgekit.zoo.state_space.chunked import Form, one_way
from edgekit.zoo.state_space.module import SelectiveScan, kept_whole
from edgekit.zoo.state_space.operator import native_scan, selective_scan, write_out
from edgekit.zoo.state_space.reference import selective_scan_reference

__all__ = [
    "SelectiveScan",
    "selective_scan_reference",
    "selective_scan",
    "native_scan",
    "Form",
    "one_way",
    "kept_whole",
    "write_out",
]
