"""The power monitor on the input rail of an NVIDIA Jetson: INA3221, or INA238 on Thor, through sysfs.

The input rail feeds all others, so it is the module's power. The other rails are parts of it, some inside one
another and some not monitored at all: their sum is no figure of anything, and is never taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.measure.meters.base import Absent, integer_of, text_of
from edgekit.measure.meters.sampled import Sampled

DRIVERS = Path("sys/bus/i2c/drivers")
MODEL = Path("proc/device-tree/model")
#: What the boards call their input: Orin Nano, Orin NX, Xavier NX, TX2 and TX1; the first Nano; Thor.
INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "5V_IN", "VIN")
#: A conversion of all three channels takes some milliseconds; averaging, where it is set, up to 100.
UPDATE_PERIOD_S = 0.1
_READ_EVERY_S = 0.02


@dataclass(frozen=True)
class _Rail:
    name: str
    chip: str
    read_w: Callable[[], float]


def is_jetson(root: Path) -> bool:
    """Whether the device tree says so."""
    try:
        return "jetson" in text_of(root / MODEL).lower()
    except OSError:
        return False


def find(root: Path, rail: str | None = None) -> Sampled | Absent:
    """The input rail, or the rail that the target names.

    Args:
        root: where ``sys`` is.
        rail: its name on the board; none for the input rail.
    """
    try:
        rails = _rails(root / DRIVERS)
        names = {one.name: one for one in rails}
        wanted = (rail,) if rail else INPUT_RAILS
        chosen = next((names[name] for name in wanted if name in names), None)
        if chosen is None:
            return Absent(_no_rail(root, rail, list(names)))
        chosen.read_w()
    except PermissionError as error:
        return Absent(f"permission denied for {error.filename}; let an administrator run: chmod a+r on that file")
    except (OSError, ValueError) as error:
        return Absent(f"the power monitor of the Jetson cannot be read: {error}")
    part = "" if chosen.name in INPUT_RAILS else ", named by the target: a part of the module"
    scope = f"rail {chosen.name}" + (part or ", the input of the whole module")
    return Sampled(f"{chosen.chip} (sysfs)", scope, chosen.read_w, _READ_EVERY_S, UPDATE_PERIOD_S)


def _no_rail(root: Path, rail: str | None, names: list[str]) -> str:
    if not names:
        return f"no INA3221 or INA238 power monitor below {root / DRIVERS} (no Jetson, or its driver is not loaded)"
    what = f"no rail '{rail}'" if rail else "no input rail"
    return (
        f"this Jetson monitors {what} (it has {', '.join(names)}), and the sum of its rails is not its input; "
        "use an external meter (energy_meter kind 'csv'), or name one rail"
    )


def _rails(drivers: Path) -> list[_Rail]:
    found: list[_Rail] = []
    for folder in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*")):  # JetPack 5 and later
        for named in sorted(folder.glob("in[123]_label")):
            channel = named.name[2]
            volt, ampere = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            if ampere.exists():
                found.append(_Rail(text_of(named), "INA3221", _product(volt, ampere)))
    for folder in sorted(drivers.glob("ina3221*/*/iio:device*")):  # JetPack 4
        for named in sorted(folder.glob("rail_name_*")):
            power = folder / f"in_power{named.name[-1]}_input"
            found.append(_Rail(text_of(named), "INA3221", _scaled(power, 1e3)))
    for power in sorted(drivers.glob("ina238/*/hwmon/hwmon*/power1_input")):
        # One channel and no label: on Thor it watches VIN.
        named = power.with_name("power1_label")
        found.append(_Rail(text_of(named) if named.exists() else "VIN", "INA238", _scaled(power, 1e6)))
    return found


def _product(volt: Path, ampere: Path) -> Callable[[], float]:
    """Millivolts times milliamperes."""
    return lambda: integer_of(volt) * integer_of(ampere) / 1e6


def _scaled(path: Path, divisor: float) -> Callable[[], float]:
    return lambda: integer_of(path) / divisor
