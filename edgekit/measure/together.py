"""The artifacts of several runs timed in one session, in turn, so that their latencies can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit import store
from edgekit.measure.bench import Bench
from edgekit.record import Measurement, Stage

if TYPE_CHECKING:
    from edgekit.measure.latency import Job
    from edgekit.progress import Reporter
    from edgekit.recipe import Benchmark
    from edgekit.store import Store

#: In a measurement's conditions: which session it was. Latencies of different sessions are not compared.
SESSION = "study_session"


class Together:
    """Collects the jobs of runs, then measures them all; a file that several runs have in common once."""

    def __init__(self, kept: Store, protocol: Benchmark, reporter: Reporter, used: set[str]) -> None:
        """
        Args:
            kept: where finished rounds are kept.
            protocol: the study's ``benchmark``.
            reporter: told of progress.
            used: takes the names of the stages' folders.
        """
        self._kept = kept
        self._protocol = protocol
        self._reporter = reporter
        self._used = used
        #: Key of a file -> its job under a name that no other file of the study has.
        self._jobs: dict[str, Job] = {}
        #: Run -> artifact -> key of its file.
        self._runs: dict[str, dict[str, str]] = {}
        self._rows: dict[str, list[Measurement]] = {}
        self._failed: dict[str, str] = {}
        self.stages: list[Stage] = []

    def add(self, run: str, jobs: list[tuple[Job, str]]) -> None:
        """Measure the artifacts of ``run`` too.

        Args:
            run: its name, unique in the study.
            jobs: each with the hash of what determines its file.
        """
        self._runs[run] = {job.artifact: key for job, key in jobs}
        for job, key in jobs:
            self._jobs.setdefault(key, replace(job, artifact=f"{run}.{job.artifact}"))

    def measure(self) -> None:
        """All rounds. Where the files of the study have changed since the last time, all are measured again."""
        session = store.digest(sorted(self._jobs))[:16]
        bench = Bench(self._kept, self._protocol, self._reporter, self._used, session)
        for key, job in self._jobs.items():
            bench.add(job, key)
        rows, failed = bench.measure()
        conditions = {SESSION: session}
        for key, job in self._jobs.items():
            own = [one for one in rows if one.artifact == job.artifact]
            self._rows[key] = [
                one.model_copy(update={"conditions": {**one.conditions, **conditions, "timed_as": job.artifact}})
                for one in own
            ]
            if job.artifact in failed:
                self._failed[key] = failed[job.artifact]
        said = {"session": "one for all runs of the study", "artifacts": len(self._jobs)}
        self.stages = [one.model_copy(update={"changes": said}) for one in bench.stages]

    def of(self, run: str) -> tuple[list[Measurement], dict[str, str]]:
        """The measurements of a run's artifacts under their own names, and why others could not be taken."""
        keys = self._runs[run]
        rows = [
            one.model_copy(update={"artifact": artifact})
            for artifact, key in keys.items()
            for one in self._rows[key]
        ]
        return rows, {artifact: self._failed[key] for artifact, key in keys.items() if key in self._failed}
