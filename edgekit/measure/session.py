"""The runner's session: a plan's artifacts measured in turn on this device, each time in a fresh process.

It tells what happens as lines of JSON, and keeps each process's samples in a file as soon as they are made, so that
a link that is cut loses nothing and a later session with the same folder goes on from there. Standard library only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit import environment
from edgekit.errors import DeviceError
from edgekit.measure import lock, machine
from edgekit.measure.link import Link
from edgekit.measure.plan import PREPARE_TIMEOUT_S, TIMEOUT_S, Plan, PlannedJob, Turn, in_turn
from edgekit.measure.protocol import FORMAT, Request
from edgekit.measure.spawn import fresh_process
from edgekit.store import digest, file_sha256

RESULTS = "results"
Tell = Callable[[dict[str, Any]], None]


def run(plan: Plan, folder: Path, result: Path, command: Sequence[str]) -> int:
    """Measure ``plan``, whose files lie in ``folder``, and write everything to ``result``.

    Args:
        plan: what to measure.
        folder: where its files are, or will be when the other side gives the turns.
        result: the file with all samples, for 'edgekit bench --import'.
        command: starts a process that measures one artifact.

    Returns:
        The exit code: 0, or 5 where something failed.
    """
    link = Link() if plan.linked else None
    held = lock.held(plan.lock, _busy) if plan.lock is not None else contextlib.nullcontext()
    try:
        with held:
            return _Session(plan, folder, command).run(link, result)
    except DeviceError as error:
        tell({"event": "refused", "problem": error.problem, "remedy": error.remedy or ""})
        return error.exit_code


def tell(event: dict[str, Any]) -> None:
    """One line of JSON for whoever listens."""
    print(json.dumps(event, allow_nan=False), flush=True)


def _busy(has: dict[str, str]) -> None:
    tell({"event": "busy", **has})


class _Session:
    def __init__(self, plan: Plan, folder: Path, command: Sequence[str]) -> None:
        self._plan = plan
        self._folder = folder
        self._command = command
        self._machine = machine.describe()
        self._done: list[dict[str, Any]] = []
        self._failed: dict[int, str] = {}
        self._prepared: set[int] = set()

    def run(self, link: Link | None, result: Path) -> int:
        lacks = self._lacks()
        tell(
            {
                "event": "ready",
                "format": FORMAT,
                "machine": self._machine,
                "lacks": lacks,
                "free_bytes": shutil.disk_usage(self._folder).free,
                "present": self._present(),
            }
        )
        turns = self._asked(link.command()) if link else self._all()
        if lacks and turns:
            raise DeviceError(lacks)
        present = self._present()
        altered = [name for name in self._needed(turns) if present.get(name) != self._plan.files[name]]
        if altered:
            raise DeviceError(f"arrived altered: {', '.join(altered)}", remedy="run it again; look at the disk")
        for number, turn in enumerate(turns):
            if turn.job not in self._failed:
                self._turn(number, turn)
        self._write(result)
        tell({"event": "done"})
        return DeviceError.exit_code if self._failed else 0

    def _asked(self, line: str) -> list[Turn]:
        return [Turn(**one) for one in json.loads(line)["turns"]]

    def _all(self) -> list[Turn]:
        """Every turn, under keys that hold as long as plan and machine are the same."""
        plan, fingerprint = self._plan.to_json(), machine.fingerprint(self._machine)
        pairs = in_turn(range(len(self._plan.jobs)), range(self._plan.processes))
        return [Turn(job, round_, digest([plan, fingerprint, job, round_])) for job, round_ in pairs]

    def _lacks(self) -> str:
        """What is missing here, and the remedy; empty where nothing is."""
        if importlib.util.find_spec("numpy") is None:
            return f"numpy is not installed for {sys.executable}"
        from edgekit import runtimes

        found: dict[str, None] = {}
        for one in self._plan.jobs:
            reason = runtimes.get(one.target.runtime).cannot_run(one.target)
            if reason:
                found[reason] = None
        return "; ".join(found) + (f" (asked of {sys.executable})" if found else "")

    def _needed(self, turns: Sequence[Turn]) -> list[str]:
        """The files of those jobs whose turn comes."""
        jobs = {turn.job for turn in turns}
        wanted = {Path(self._plan.jobs[job].path).parts[:2] for job in jobs}
        shared = {self._plan.jobs[job].inputs for job in jobs}
        return [name for name in self._plan.files if Path(name).parts[:2] in wanted or name in shared]

    def _present(self) -> dict[str, str]:
        """sha256 of the plan's files that are here."""
        names = [name for name in self._plan.files if (self._folder / name).is_file()]
        return {name: file_sha256(self._folder / name) for name in names}

    def _turn(self, number: int, turn: Turn) -> None:
        job = self._plan.jobs[turn.job]
        tell({"event": "started", "turn": number})
        kept = self._folder / RESULTS / f"{digest(turn.key)[:32]}.json"
        try:
            found = json.loads(kept.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            try:
                self._prepare(turn)
                started = time.monotonic()
                text = self._measured(turn)
            except DeviceError as error:
                self._failed[turn.job] = error.problem
                tell({"event": "failed", "turn": number, "problem": error.problem})
                return
            found = {"seconds": time.monotonic() - started, "result": json.loads(text)}
            _keep(kept, found)
        self._done.append({"artifact": job.artifact, "round": turn.round, **found})
        tell({"event": "result", "turn": number, **found})

    def _prepare(self, turn: Turn) -> None:
        """Once a job: what its runtime builds on this device."""
        from edgekit import runtimes

        job = self._plan.jobs[turn.job]
        if turn.job not in self._prepared and runtimes.get(job.target.runtime).prepares:
            request = replace(self._request(job), prepare=True)
            env = environment.of_a_measuring_process()
            fresh_process(self._command, request, env, PREPARE_TIMEOUT_S, job.artifact)
        self._prepared.add(turn.job)

    def _measured(self, turn: Turn) -> str:
        job = self._plan.jobs[turn.job]
        env = environment.of_a_measuring_process()
        return fresh_process(self._command, self._request(job), env, TIMEOUT_S, job.artifact)

    def _request(self, job: PlannedJob) -> Request:
        return Request(
            runtime=job.target.runtime,
            path=self._folder / job.path,
            target=job.target,
            precision=job.precision,
            inputs=self._folder / job.inputs,
            warmup=self._plan.warmup,
            runs=self._plan.runs,
            throughput=self._plan.throughput,
        )

    def _write(self, result: Path) -> None:
        """All samples, and what they were taken of: the file that 'edgekit bench --import' reads."""
        whole = {
            "format": FORMAT,
            "edgekit_version": self._plan.edgekit_version,
            "written_utc": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "python": platform.python_version(),
            "machine": self._machine,
            "processes": self._plan.processes,
            "warmup": self._plan.warmup,
            "runs": self._plan.runs,
            "artifacts": {one.artifact: one.sha256 for one in self._plan.jobs},
            "results": self._done,
            "failed": {self._plan.jobs[job].artifact: why for job, why in self._failed.items()},
        }
        _keep(result, whole)


def _keep(path: Path, data: dict[str, Any]) -> None:
    """Write a file whole or not at all. A full disk costs the file; the samples go over the link all the same."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as handle:
            json.dump(data, handle, allow_nan=False)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        tell({"event": "note", "text": f"{path.name} could not be kept on the device: {error.strerror}"})
        with contextlib.suppress(OSError):
            temporary.unlink()
