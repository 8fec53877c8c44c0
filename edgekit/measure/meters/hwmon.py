"""Energy counters and power sensors in Linux' hwmon tree: AMD's ``amd_energy``, and any chip that is named."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.measure.meters.base import Absent, Meter, integer_of, text_of
from edgekit.measure.meters.counter import FileCounter
from edgekit.measure.meters.sampled import Sampled

HWMON = Path("sys/class/hwmon")
#: Chips whose channels are known to be whole CPU packages, with the labels that count; none: its only channel.
PACKAGES: dict[str, str | None] = {"amd_energy": r"Esocket\d+", "fam15h_power": None}
#: amd_energy reads a register that is updated every millisecond.
_COUNTER_PERIOD_S = 1e-3
#: The period at which a sensor is read that does not state its own.
_SENSOR_PERIOD_S = 0.1


def find(root: Path, chip: str | None = None, label: str | None = None) -> Meter | Absent:
    """The sockets of ``amd_energy``, or ``fam15h_power``; or the channel of a chip.

    Args:
        root: where ``sys`` is.
        chip: what the chip's file ``name`` says; none for a CPU's own meter.
        label: of the channel (``energy1_label``, ``power1_label``); none where the chip has one channel only.
    """
    tree = root / HWMON
    names: dict[Path, str] = {}
    for folder in sorted(tree.glob("hwmon*")):
        try:
            names[folder] = text_of(folder / "name")
        except OSError:
            continue
    wanted = [chip] if chip else list(PACKAGES)
    found = [one for name in wanted for one, own in names.items() if own == name]
    if not found:
        there = ", ".join(sorted(set(names.values()))) or "none"
        return Absent(f"no hwmon chip {' or '.join(wanted)} below {tree} (chips there: {there})")
    pattern = re.escape(label) if label else PACKAGES.get(names[found[0]])
    chips = [one for one in found if names[one] == names[found[0]]]
    try:
        return _of(chips, names[found[0]], pattern)
    except PermissionError as error:
        return Absent(
            f"permission denied for {error.filename or found[0]}; "
            f"let an administrator run: chmod a+r {found[0]}/energy*_input {found[0]}/power*_input"
        )
    except (OSError, ValueError) as error:
        return Absent(f"the hwmon chip {found[0]} cannot be read: {error}")


def _of(folders: list[Path], name: str, pattern: str | None) -> Meter | Absent:
    """The counters that match, else the only power sensor that does."""
    counters = [one for folder in folders for one in _channels(folder, "energy", pattern)]
    source = f"hwmon {name}"
    # Several counters are added only where it is known that they do not overlap: sockets.
    if counters and (len(counters) == 1 or pattern == PACKAGES["amd_energy"]):
        scope = ", ".join(f"{name} {label}" for _, label in counters)
        return FileCounter(source, scope, [(path, None) for path, _ in counters], _COUNTER_PERIOD_S)
    sensors = [one for folder in folders for one in _channels(folder, "power", pattern)]
    if len(sensors) == 1 and not counters:
        path, label = sensors[0]
        integer_of(path)  # refused now rather than in the window
        period_s = _period(path)
        return Sampled(source, f"{name} {label}", lambda: integer_of(path) / 1e6, period_s, period_s)
    labels = ", ".join(label for _, label in counters or sensors)
    if not labels:
        what = f"no channel '{pattern}'" if pattern else "no energy or power channel"
        return Absent(f"the hwmon chip {name} has {what}; the target's energy_meter names 'chip' and 'label'")
    return Absent(f"the hwmon chip {name} has several channels ({labels}); name one as 'label' in energy_meter")


def _channels(folder: Path, kind: str, pattern: str | None) -> list[tuple[Path, str]]:
    """Inputs of ``kind`` with their labels; the average of a power sensor where it gives that only."""
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(folder.glob(f"{kind}*_input")) + sorted(folder.glob(f"{kind}*_average")):
        channel = path.name.split("_")[0]
        named = folder / f"{channel}_label"
        label = text_of(named) if named.exists() else channel
        if pattern is None or re.fullmatch(pattern, label):
            found.setdefault(channel, (path, label))
    return list(found.values())


def _period(path: Path) -> float:
    """Seconds between two values of a power sensor, as its chip states them in milliseconds."""
    channel = path.name.split("_")[0]
    for stated in (path.with_name(f"{channel}_average_interval"), path.with_name("update_interval")):
        if stated.exists():
            return max(integer_of(stated) / 1e3, 0.01)
    return _SENSOR_PERIOD_S
