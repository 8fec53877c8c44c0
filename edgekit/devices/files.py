"""What travels to a device: the files of each artifact and their inputs, with their hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import outputs, store
from edgekit.measure.plan import PlannedJob
from edgekit.measure.protocol import Setting

if TYPE_CHECKING:
    from edgekit.measure.latency import Job


@dataclass(frozen=True)
class Upload:
    """One file: where it is, its name below the run's folder on the device, and its sha256."""

    path: Path
    name: str
    sha256: str


def uploads(jobs: Sequence[Job]) -> list[Upload]:
    """Every file once."""
    found = {}
    for index, job in enumerate(jobs):
        folder = job.path.parent
        for part in outputs.files(folder):
            for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
                if path.is_file():
                    found[f"{_folder(index, job)}/{path.relative_to(folder).as_posix()}"] = path
        found[_inputs(job)] = job.inputs
    return [Upload(path, name, store.file_sha256(path)) for name, path in found.items()]


def planned(jobs: Sequence[Job]) -> tuple[PlannedJob, ...]:
    """The jobs with the paths that ``uploads`` gives their files."""
    return tuple(
        PlannedJob(
            artifact=job.artifact,
            sha256=outputs.files_sha256(job.path.parent),
            path=f"{_folder(index, job)}/{job.path.name}",
            target=Setting.of(job.target),
            precision=job.precision,
            inputs=_inputs(job),
        )
        for index, job in enumerate(jobs)
    )


def _folder(index: int, job: Job) -> str:
    """Where a job's files lie: an altered record may call an artifact anything, and a path may not be anything."""
    return f"artifacts/{index}-{re.sub('[^A-Za-z0-9_.-]', '_', job.artifact)}"


def _inputs(job: Job) -> str:
    return f"inputs/{store.file_sha256(job.inputs)[:16]}.npy"
