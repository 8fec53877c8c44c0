"""Which meter a target means, on the machine that runs it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.measure.meters import hwmon, jetson, nvml, powermetrics, rapl
from edgekit.measure.meters.base import Absent, Meter
from edgekit.measure.meters.estimated import RatedPower
from edgekit.measure.meters.external import External


def find(asked: str | Mapping[str, Any], gpu: bool = False, root: Path = Path("/")) -> Meter | External | Absent:
    """The meter of this machine.

    Args:
        asked: the target's ``energy_meter``: a kind, or a mapping with ``kind`` and the options of that kind.
        gpu: whether the artifact runs on an NVIDIA GPU.
        root: where ``proc`` and ``sys`` are, for tests with recorded trees.

    Returns:
        A meter; ``External`` for a file that is read when the windows are over; ``Absent`` with the reason.
    """
    options = {"kind": asked} if isinstance(asked, str) else dict(asked)
    kind = options.pop("kind")
    match kind:
        case "none":
            return Absent("the target's energy_meter is 'none'")
        case "auto":
            return _auto(gpu, root)
        case "rapl":
            return rapl.find(root, **options)
        case "hwmon":
            return hwmon.find(root, **options)
        case "nvml":
            return nvml.find(**options)
        case "jetson":
            return jetson.find(root, **options)
        case "powermetrics":
            return powermetrics.find()
        case "csv":
            return External(**{**options, "path": Path(options["path"])})
        case "estimated":
            return RatedPower(**options)
        case _:
            return Absent(f"this edgekit knows no energy_meter '{kind}'")


def _auto(gpu: bool, root: Path) -> Meter | Absent:
    """The board's input on a Jetson, the GPU for work on one, else the CPU: RAPL, then hwmon."""
    if jetson.is_jetson(root):
        return jetson.find(root)
    if gpu:
        return nvml.find()
    if sys.platform == "darwin":
        return powermetrics.find()
    first = rapl.find(root)
    if not isinstance(first, Absent):
        return first
    second = hwmon.find(root)
    # RAPL's reason names the remedy; hwmon's only matters where its chip is there and closed.
    return Absent(f"{first.reason}; {second.reason}") if isinstance(second, Absent) else second
