"""The rounds of a benchmark: every artifact once a round, each time in a fresh process, as stages that are kept."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import store
from edgekit.errors import DeviceError
from edgekit.measure import answers
from edgekit.measure.latency import Job, measurements, run_once
from edgekit.measure.machine import describe, fingerprint
from edgekit.measure.protocol import WorkerResult
from edgekit.record import Measurement, Stage
from edgekit.runtimes import get

if TYPE_CHECKING:
    from edgekit.progress import Reporter
    from edgekit.recipe import Benchmark
    from edgekit.store import Store

#: Ends a process that hangs; far above what the slowest runtime needs.
TIMEOUT_S = 900.0


class Bench:
    """Collects jobs, then measures them in turn."""

    def __init__(
        self, kept: Store, protocol: Benchmark, reporter: Reporter, used: set[str], session: str = "compress"
    ) -> None:
        """
        Args:
            kept: where finished rounds are kept.
            protocol: the recipe's ``benchmark``.
            reporter: told of progress.
            used: takes the names of the stages' folders.
            session: part of every key; another one measures again.
        """
        self._store = kept
        self._protocol = protocol
        self._reporter = reporter
        self._used = used
        self._session = session
        self._jobs: list[tuple[Job, str]] = []
        self.stages: list[Stage] = []

    def add(self, job: Job, key: str) -> None:
        """Measure ``job`` too; ``key`` is the hash of what determines its file."""
        self._jobs.append((job, key))

    def measure(self) -> tuple[list[Measurement], dict[str, str]]:
        """All rounds.

        Returns:
            The measurements, and the reason of each artifact that failed, by name.
        """
        machine = fingerprint(describe())
        results: dict[str, list[WorkerResult]] = {job.artifact: [] for job, _ in self._jobs}
        failed: dict[str, str] = {}
        total = len(self._jobs) * self._protocol.processes
        seconds, cached, done = 0.0, True, 0
        with self._reporter.stage("measure") as update:
            for round_ in range(self._protocol.processes):
                # Each round begins with another artifact, so that none always follows the same neighbour.
                first = round_ % max(1, len(self._jobs))
                for job, key in self._jobs[first:] + self._jobs[:first]:
                    update(done / max(1, total), f"{job.artifact}, process {round_ + 1}")
                    done += 1
                    if job.artifact in failed:
                        continue
                    try:
                        stage = self._store.run(
                            f"measure-{job.artifact}-{round_}",
                            self._key(job, key, round_, machine),
                            functools.partial(self._once, job),
                        )
                    except DeviceError as error:
                        failed[job.artifact] = str(error)
                        continue
                    self._used.add(stage.folder.name)
                    seconds += stage.seconds
                    cached = cached and stage.cached
                    results[job.artifact].append(answers.kept(stage.result["worker"]))
        if self._jobs:
            self.stages.append(Stage(name="measure", kind="measure", seconds=round(seconds, 3), cached=cached))
            self._reporter.finished("measure", seconds, cached, f"{len(self._jobs)} artifacts")
        rows = []
        for job, _ in self._jobs:
            if job.artifact not in failed:
                rows += measurements(job, results[job.artifact], self._protocol)
        return rows, failed

    def _once(self, job: Job, folder: Path) -> dict[str, Any]:
        result = run_once(job, self._protocol.warmup, self._protocol.runs, TIMEOUT_S)
        return {"worker": answers.plain(result)}

    def _key(self, job: Job, key: str, round_: int, machine: str) -> str:
        return store.digest(
            {
                "artifact": key,
                "inputs": store.file_sha256(job.inputs),
                "target": job.target.model_dump(mode="json"),
                "warmup": self._protocol.warmup,
                "runs": self._protocol.runs,
                "round": round_,
                "session": self._session,
                "machine": machine,
                "code": store.code_sha256("measure", "runtimes"),
                "versions": store.versions(*get(job.runtime).packages, "numpy"),
            }
        )
