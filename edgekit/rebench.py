"""``edgekit bench``: measure the artifacts of a finished run again and add to its record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from edgekit import outputs, record, runtimes, store
from edgekit import target as targets
from edgekit.choose import recommend
from edgekit.errors import DeviceError, InputError, MissingError
from edgekit.measure import machine
from edgekit.measure.bench import Bench
from edgekit.measure.latency import Job
from edgekit.progress import Reporter
from edgekit.recipe import Benchmark, owner
from edgekit.target import Target
from edgekit.variant import PYTORCH


def newest_run(folder: Path) -> Path:
    """The run below ``folder`` whose record was written last.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("no run here", where=str(folder), remedy="run 'edgekit compress' first, or give --run DIR")
    return found[-1].parent


def rebench(folder: Path, name: str, module: str | None, reporter: Reporter) -> record.Record:
    """Measure the artifacts of target ``name``, and the source beside them, in a new session.

    Raises:
        InputError: the run has no such target, or an artifact is missing or altered.
        MissingError: this machine cannot run the target.
        DeviceError: nothing could be measured.
    """
    before = record.read(folder)
    if name not in before.targets:
        raise InputError(f"this run has no target '{name}'", remedy=f"it has: {', '.join(before.targets)}")
    try:
        target = Target.model_validate(before.targets[name])
        protocol = Benchmark.model_validate(before.recipe["benchmark"])
    except ValidationError as error:
        raise InputError(
            f"holds a target or protocol that is not valid: {error.errors()[0]['msg']}",
            where=f"{folder / 'record.json'}",
            remedy="the record was altered",
        ) from None
    if name in targets.available():
        # Threads, device and options are those of today's target file; the artifact stays as it is.
        today = targets.load(name)
        if today.runtime == target.runtime:
            target = today
    runtime = runtimes.get(target.runtime)
    reason = runtime.cannot_run(target)
    if reason:
        raise MissingError(f"cannot run here: {reason}", where=f"target '{name}'")
    kept = store.Store(store.home(folder, of_study="study" in before.recipe), owner(before.recipe))
    try:
        session = datetime.now(UTC).isoformat(timespec="microseconds")
        inputs = list(kept.stages.glob("inputs-*/inputs.npy"))
        if not inputs:
            raise InputError(
                "the run's test images are gone", where=str(kept.stages), remedy="run 'edgekit compress' again"
            )
        bench = Bench(kept, protocol, reporter, set(), session)
        for one in before.artifacts:
            of_source = one.runtime == "torch_eager"
            if one.target != name and not of_source:
                continue
            if of_source and (not protocol.source or PYTORCH.name != one.target):
                continue
            path = store.inside(folder, one.path, f"record.json: {one.name}")
            _verify(path, one)
            used = target.model_copy(update={"options": {**target.options, **one.options}})
            if of_source:
                used = PYTORCH
            if of_source and module is not None:
                used = used.model_copy(update={"options": {"module": module}})
            precision = next((p for p in used.precisions if p == one.precision_requested), None)
            if precision is None:
                raise InputError(
                    f"the target allows no {one.precision_requested}", where=one.name, remedy="compress again"
                )
            bench.add(Job(one.name, one.runtime, path, used, precision, inputs[-1]), one.sha256)
        timed, failed = bench.measure()
        if failed and not timed:
            raise DeviceError("; ".join(failed.values()), where=f"target '{name}'")
        added = [
            m.model_copy(update={"conditions": {**m.conditions, "session": session, "machine": machine.describe()}})
            for m in timed
        ]
        measurements = (*before.measurements, *added)
        made = before.model_copy(
            update={
                "measurements": measurements,
                "targets": {**before.targets, name: target.model_dump(mode="json")},
                "artifacts": tuple(recommend(before.artifacts, measurements)),
                "stages": (*before.stages, *(s.model_copy(update={"name": f"bench-{name}"}) for s in bench.stages)),
                "warnings": tuple(dict.fromkeys((*before.warnings, *failed.values()))),
            }
        )
        outputs.publish(made, folder)
        return made
    finally:
        kept.close()


def _verify(path: Path, one: record.Artifact) -> None:
    """Refuse an artifact that is not the one of the record."""
    if not path.exists():
        raise InputError("the artifact is gone", where=str(path), remedy="run 'edgekit compress' again")
    found = outputs.files_sha256(path.parent)
    if found != one.sha256:
        raise InputError(
            f"the artifact '{one.name}' was altered: its sha256 is {found[:12]}, the record says {one.sha256[:12]}",
            where=str(path),
            remedy="run 'edgekit compress' again",
        )
