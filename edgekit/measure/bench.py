"""The rounds of a benchmark: every artifact once a round, each time in a fresh process, as stages that are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit import store
from edgekit.devices.local import LocalDevice
from edgekit.measure import answers, energy
from edgekit.measure.latency import Job, measurements
from edgekit.measure.machine import fingerprint
from edgekit.measure.plan import Turn, in_turn
from edgekit.measure.protocol import Setting, WorkerResult
from edgekit.record import Measurement, Stage
from edgekit.runtimes import get

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from edgekit.devices.base import Device
    from edgekit.progress import Reporter, Update
    from edgekit.recipe import Benchmark
    from edgekit.store import Finished, Store

    #: Names the artifacts that what was measured so far does not tell apart.
    Undecided = Callable[[Sequence[Measurement]], Collection[str]]


class Bench:
    """Collects jobs, then measures them in turn on one device."""

    def __init__(
        self,
        kept: Store,
        protocol: Benchmark,
        reporter: Reporter,
        used: set[str],
        session: str = "compress",
        device: Device | None = None,
        undecided: Undecided = lambda rows: (),
    ) -> None:
        """
        Args:
            kept: where finished rounds are kept.
            protocol: the recipe's ``benchmark``.
            reporter: told of progress.
            used: takes the names of the stages' folders.
            session: part of every key; another one measures again.
            device: where it happens; this machine when absent.
            undecided: names the artifacts that need more rounds, up to the protocol's ``most_processes``; they
                get as many at a time as all had at first.
        """
        self._store = kept
        self._protocol = protocol
        self._reporter = reporter
        self._used = used
        self._session = session
        self._device = device or LocalDevice()
        self._undecided = undecided
        self._jobs: list[tuple[Job, str]] = []
        self._results: dict[int, dict[int, WorkerResult]] = {}
        self._planned: list[tuple[int, int]] = []
        self._broken: dict[str, str] = {}
        self._seconds, self._cached, self._done = 0.0, True, 0
        self._update: Update = lambda fraction, text: None
        self.stages: list[Stage] = []
        #: The device's description, once something was measured on it.
        self.machine: dict[str, Any] = {}

    def add(self, job: Job, key: str) -> None:
        """Measure ``job`` too; ``key`` is the hash of what determines its file."""
        self._jobs.append((job, key))

    def measure(self, title: str = "measure") -> tuple[list[Measurement], dict[str, str]]:
        """All rounds, once.

        Args:
            title: what the progress is called.

        Returns:
            The measurements, and the reason of each artifact that failed, by name.

        Raises:
            EdgekitError: the device cannot be reached, or was lost; finished rounds are kept.
        """
        if not self._jobs:
            return [], {}
        jobs = [job for job, _ in self._jobs]
        every, most = self._protocol.processes, self._protocol.most_processes
        with self._reporter.stage(title) as self._update:
            self._rounds(jobs, range(len(jobs)), range(every))
            for first in range(every, most, every):
                names = self._undecided(self._rows(jobs))
                wanted = [index for index, job in enumerate(jobs) if job.artifact in names]
                if not wanted:
                    break
                self._rounds(jobs, wanted, range(first, min(first + every, most)))
        self.stages.append(
            Stage(name="measure", kind="measure", seconds=round(self._seconds, 3), cached=self._cached)
        )
        self._reporter.finished(title, self._seconds, self._cached, f"{len(jobs)} artifacts")
        return self._rows(jobs), self._broken

    def _rounds(self, jobs: list[Job], wanted: Sequence[int], rounds: range) -> None:
        self._planned = list(in_turn(wanted, rounds))
        self._done = 0
        self._device.measure(jobs, self._protocol, self)

    def _rows(self, jobs: list[Job]) -> list[Measurement]:
        rows = []
        for index, job in enumerate(jobs):
            if job.artifact not in self._broken:
                found = self._results[index]
                rows += measurements(job, [found[round_] for round_ in sorted(found)], self._protocol)
        return rows

    # What the device tells; see ``devices.base.Sink``

    def begin(self, machine: dict[str, Any]) -> list[Turn]:
        """Takes what an earlier run finished on this machine, and gives the other turns."""
        self.machine = machine
        remaining = []
        for index, round_ in self._planned:
            turn = Turn(index, round_, self._key(index, round_))
            stage = self._store.find(self._name(turn), turn.key)
            if stage is None:
                remaining.append(turn)
            else:
                self._count(turn, stage)
        self._cached = self._cached and not remaining
        return remaining

    def started(self, turn: Turn) -> None:
        """Shows it."""
        text = f"{self._jobs[turn.job][0].artifact}, process {turn.round + 1}"
        self._update(self._done / len(self._planned), text)

    def take(self, turn: Turn, result: WorkerResult, seconds: float) -> None:
        """Keeps the result as a stage, with what an external meter beside this machine says of its windows."""
        asked = Setting.of(self._jobs[turn.job][0].target).energy_meter
        whole = replace(result, energy=energy.read_external(asked, result.energy))
        plain = {"worker": answers.plain(whole), "seconds": seconds}
        self._count(turn, self._store.run(self._name(turn), turn.key, lambda folder: plain))

    def failed(self, turn: Turn, why: str) -> None:
        """Remembers why; the rounds that the artifact has do not count."""
        self._broken[self._jobs[turn.job][0].artifact] = why

    def _count(self, turn: Turn, stage: Finished) -> None:
        self._used.add(stage.folder.name)
        self._seconds += float(stage.result["seconds"])
        self._done += 1
        self._results.setdefault(turn.job, {})[turn.round] = answers.kept(stage.result["worker"])

    def _name(self, turn: Turn) -> str:
        return f"measure-{self._jobs[turn.job][0].artifact}-{turn.round}"

    def _key(self, index: int, round_: int) -> str:
        job, key = self._jobs[index]
        versions = self.machine.get("versions", {})
        return store.digest(
            {
                "artifact": key,
                "inputs": store.file_sha256(job.inputs),
                "target": job.target.model_dump(mode="json"),
                "warmup": self._protocol.warmup,
                "runs": self._protocol.runs,
                "throughput": self._protocol.model_dump(mode="json")["throughput"],
                "round": round_,
                "session": self._session,
                "machine": fingerprint(self.machine),
                "code": store.code_sha256("measure", "runtimes"),
                "versions": {one: versions.get(one) for one in (*get(job.runtime).packages, "numpy")},
            }
        )
