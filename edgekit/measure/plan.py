"""What a runner is asked to measure on its device, as one JSON file beside it. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from edgekit.measure.protocol import FORMAT, Setting, Throughput

if TYPE_CHECKING:
    from edgekit.target import Precision

#: Ends a process that hangs; far above what the slowest runtime needs.
TIMEOUT_S = 900.0
#: The same for a process that builds an engine; large networks on small boards take half an hour.
PREPARE_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class PlannedJob:
    """One artifact. Paths are relative to the folder of the plan.

    Attributes:
        artifact: its name in the record.
        sha256: of the artifact, as the record has it.
        path: its file or folder.
        target: the part of its target that matters there.
        precision: the one requested.
        inputs: .npy of preprocessed images.
    """

    artifact: str
    sha256: str
    path: str
    target: Setting
    precision: Precision
    inputs: str


@dataclass(frozen=True)
class Turn:
    """One process: which job, in which round, and the key under which its result is kept."""

    job: int
    round: int
    key: str


@dataclass(frozen=True)
class Lock:
    """What keeps two runs apart on one device: the file, who asks for it, and for how many seconds to wait."""

    path: str
    owner: str
    wait_s: float


@dataclass(frozen=True)
class Plan:
    """A session on a device.

    Attributes:
        edgekit_version: of the edgekit that wrote it.
        jobs: the artifacts.
        files: sha256 of every file that must be there, by relative path.
        processes: fresh processes an artifact.
        warmup: runs before the timed ones, in each.
        runs: timed runs in each.
        lock: of the device; none where nobody else uses it.
        linked: whether another machine listens; the runner then asks it for the turns, and ends when it is gone.
        throughput: measured in each process too; none: not.
    """

    edgekit_version: str
    jobs: tuple[PlannedJob, ...]
    files: dict[str, str]
    processes: int
    warmup: int
    runs: int
    lock: Lock | None
    linked: bool
    throughput: Throughput | None = None

    def to_json(self) -> str:
        """As ``from_json`` reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What ``to_json`` wrote.

        Raises:
            ValueError: another format, or a path that leaves the folder.
            KeyError, TypeError: no plan.
        """
        data: dict[str, Any] = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError(f"the plan's format is not {FORMAT}: runner and plan come from different versions")
        jobs = [PlannedJob(**{**one, "target": Setting.from_plain(one["target"])}) for one in data["jobs"]]
        lock = Lock(**data["lock"]) if data["lock"] is not None else None
        asked = data.get("throughput")
        throughput = None if asked is None else Throughput(**asked)
        made = cls(**{**data, "jobs": tuple(jobs), "lock": lock, "throughput": throughput})
        for name in (*made.files, *(one.path for one in jobs), *(one.inputs for one in jobs)):
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"'{name}' leaves the folder of the plan")
        return made


def in_turn(jobs: Sequence[int], rounds: range) -> Iterator[tuple[int, int]]:
    """Job and round of every process: each round begins with another job, so that none always follows the same."""
    for round_ in rounds:
        for step in range(len(jobs)):
            yield jobs[(round_ + step) % len(jobs)], round_
