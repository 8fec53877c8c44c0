"""What an energy meter is, and what stands in its place where there is none. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Absent:
    """No meter here. ``reason`` says why, and what would help."""

    reason: str


@dataclass(frozen=True)
class Reading:
    """What a meter says of one window.

    Attributes:
        joules: energy of the window.
        moved: whether the meter was seen to change in it; one that stands still measures nothing.
    """

    joules: float
    moved: bool


class Meter(Protocol):
    """Energy of windows, one after the other.

    Attributes:
        source: where the joules come from, with the sampling period where power is sampled.
        scope: what they include.
        update_period_s: how often new figures come, at worst.
        estimated: whether nothing is measured and the joules follow from a rated power.
    """

    source: str
    scope: str
    update_period_s: float
    estimated: bool

    def start(self) -> None:
        """Begin a window.

        Raises:
            DeviceError: the meter cannot be read any more.
        """
        ...

    def keep(self) -> None:
        """Called between inferences: a counter that could wrap twice before the end is read."""
        ...

    def stop(self) -> Reading:
        """End the window.

        Raises:
            DeviceError: the meter cannot be read any more, or lost count.
        """
        ...


def text_of(path: Path) -> str:
    """The text of a file in sysfs, without the newline."""
    return path.read_text(encoding="ascii", errors="replace").strip("\0\n ")


def integer_of(path: Path) -> int:
    """The number in a file in sysfs; ValueError where it holds none."""
    return int(text_of(path))
