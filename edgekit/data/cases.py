"""A case of a segmentation: an image or a volume, and the windows that cover it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One image or volume as its windows cover it.

    Attributes:
        id: what its source calls it.
        shape: its sides in pixels, along the array's axes; the size it was resized to where it was resized.
        spacing: mm between neighbours along each axis of ``shape``, or none where it is not known.
        first: index of its first window in the split; the others follow.
        starts: where each window begins, relative to the case: negative where the case was padded.
    """

    id: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    first: int
    starts: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """Number of its windows."""
        return len(self.starts)

    @property
    def windows(self) -> range:
        """Indices of its windows in the split."""
        return range(self.first, self.first + self.count)


def save(path: Path, cases: Sequence[Case]) -> None:
    """Write the cases of a split as JSON."""
    path.write_text(json.dumps([asdict(case) for case in cases]), encoding="utf-8")


def load(path: Path) -> tuple[Case, ...]:
    """What ``save`` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file is missing or damaged.
    """
    return tuple(
        Case(
            id=one["id"],
            shape=tuple(one["shape"]),
            spacing=None if one["spacing"] is None else tuple(one["spacing"]),
            first=one["first"],
            starts=tuple(tuple(start) for start in one["starts"]),
        )
        for one in json.loads(path.read_text(encoding="utf-8"))
    )
