"""One occasion on which 'edgekit bench' measures a target, and the mark that lets an interrupted one go on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edgekit import record, store
from edgekit.choose import recommend
from edgekit.errors import DeviceError, EdgekitError
from edgekit.measure.bench import Bench
from edgekit.record import Measurement, Stage
from edgekit.target import Target

#: What was measured longer ago is measured again: a machine changes, and latencies of one session are compared.
_GOES_ON = timedelta(hours=24)


@dataclass(frozen=True)
class Mark:
    """An occasion that has begun, in the run's folder until it has ended.

    Attributes:
        path: the file.
        session: tells its measurements from those of other occasions.
        run: name of its folder on a device.
        resumed: whether an earlier process began it.
    """

    path: Path
    session: str
    run: str
    resumed: bool

    @classmethod
    def of(cls, folder: Path, target: str) -> Mark:
        """The one that an interrupted process left for ``target``, or a new one."""
        path = folder / f".bench-{target}.json"
        session, run, resumed = f"{datetime.now(UTC).isoformat(timespec='microseconds')} {target}", "", False
        try:
            left = json.loads(path.read_text(encoding="utf-8"))
            run = str(left["run"])
            if datetime.now(UTC) - datetime.fromisoformat(str(left["session"]).split()[0]) < _GOES_ON:
                session, resumed = str(left["session"]), True
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            pass
        # The name goes into a path on the device: an altered file gets a new one.
        if not (run.startswith("run-") and run[4:].isalnum()):
            run = f"run-{secrets.token_hex(8)}"
        store.write_text(path, json.dumps({"session": session, "run": run}))
        return cls(path, session, run, resumed)

    def end(self) -> None:
        """The occasion is over."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Occasion:
    """What is measured on one target.

    Attributes:
        target: as its file is today.
        bench: with the jobs added.
        mark: removed at the end.
    """

    target: Target
    bench: Bench
    mark: Mark

    def measure(self, title: str) -> Measured:
        """All of it; an error is part of the outcome, since other devices may still be at work."""
        try:
            timed, failed = self.bench.measure(title)
        except EdgekitError as error:
            return Measured(self, (), {}, error)
        self.mark.end()
        if failed and not timed:
            nothing = DeviceError("; ".join(failed.values()), where=f"target '{self.target.name}'")
            return Measured(self, (), failed, nothing)
        conditions: dict[str, Any] = {"session": self.mark.session, "machine": self.bench.machine}
        if self.target.elsewhere:
            conditions["connection"] = self.target.connection.kind
        rows = tuple(one.model_copy(update={"conditions": {**one.conditions, **conditions}}) for one in timed)
        return Measured(self, rows, failed, None)


@dataclass(frozen=True)
class Measured:
    """How an occasion ended: measurements, why single artifacts failed, or the error that ended it."""

    occasion: Occasion
    rows: tuple[Measurement, ...]
    failed: dict[str, str]
    error: EdgekitError | None

    def added_to(self, made: record.Record) -> record.Record:
        """The record with the measurements."""
        target, stages = self.occasion.target, self.occasion.bench.stages
        whole = with_rows(made, self.rows)
        return whole.model_copy(
            update={
                "targets": {**made.targets, target.name: target.model_dump(mode="json")},
                "stages": (*made.stages, *(_renamed(one, target.name) for one in stages)),
                "warnings": tuple(dict.fromkeys((*made.warnings, *self.failed.values()))),
            }
        )


def with_rows(made: record.Record, rows: Sequence[Measurement]) -> record.Record:
    """The record with new measurements, and what follows from them for its artifacts."""
    timed = [one for one in rows if one.metric == "latency_s"]
    executed = {one.artifact: one.conditions.get("precision_executed") for one in timed}
    artifacts = [
        one.model_copy(update={"precision_executed": executed[one.name]})
        if one.precision_executed is None and executed.get(one.name)
        else one
        for one in made.artifacts
    ]
    measurements = (*made.measurements, *rows)
    update = {"measurements": measurements, "artifacts": tuple(recommend(artifacts, measurements))}
    return made.model_copy(update=update)


def _renamed(stage: Stage, target: str) -> Stage:
    return stage.model_copy(update={"name": f"bench-{target}"})
