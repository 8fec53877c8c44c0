"""``edgekit bench``: measure the artifacts of a finished run again and add to its record."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from edgekit import outputs, record, runtimes, store
from edgekit import target as targets
from edgekit.choose import undecided
from edgekit.devices.ssh import SshDevice
from edgekit.errors import DeviceError, InputError, MissingError
from edgekit.measure.bench import Bench
from edgekit.measure.latency import Job
from edgekit.occasion import Mark, Measured, Occasion
from edgekit.progress import Reporter
from edgekit.recipe import Benchmark, owner
from edgekit.store import Store
from edgekit.target import Target
from edgekit.variant import PYTORCH

#: In place of a target's name: every target of the run that can be measured from here.
ALL = "all"


def newest_run(folder: Path) -> Path:
    """The run below ``folder`` whose record was written last.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("no run here", where=str(folder), remedy="run 'edgekit compress' first, or give --run DIR")
    return found[-1].parent


def rebench(
    folder: Path,
    name: str,
    module: str | None,
    reporter: Reporter,
    wait_s: float = 0.0,
    keep: bool = False,
) -> record.Record:
    """Measure the artifacts of a target on its device, in a new session.

    Beside them the source, where the device is this machine. Several devices work at once, one target after the
    other on each. An occasion that was interrupted within the last day goes on.

    Args:
        folder: the run's.
        name: a target of the run, its file, or ``all``.
        module: ``--module``, for the source.
        reporter: told of progress.
        wait_s: how long to wait for a device that another run uses.
        keep: leave the runner and its files on devices.

    Raises:
        InputError: the run has no such target, or an artifact is missing or altered.
        MissingError: the device lacks what the target needs.
        DeviceError: nothing could be measured, or a device could not be reached or was lost.
    """
    made = record.read(folder)
    protocol = protocol_of(made, folder)
    chosen = _all(made, folder, reporter) if name == ALL else [_reached(made, name, folder)]
    kept = Store(store.home(folder, of_study="study" in made.recipe), owner(made.recipe))
    try:
        occasions = []
        for target in chosen:
            mark = Mark.of(folder, target.name)
            if mark.resumed:
                reporter.say(f"{target.name}: goes on with the session that was interrupted")
            ssh = target.connection if target.connection.kind == "ssh" else None
            device = SshDevice(target.name, ssh, mark.run, reporter.say, wait_s, keep) if ssh else None
            rivals = functools.partial(undecided, made.artifacts)
            bench = Bench(kept, protocol, reporter, set(), mark.session, device, rivals)
            for job, key in bench_jobs(made, target, protocol, module, folder, kept):
                bench.add(job, key)
            occasions.append(Occasion(target, bench, mark))
        errors = {}
        for one in _measured(occasions):
            if one.error is not None:
                errors[one.occasion.target.name] = one.error
                continue
            made = one.added_to(made)
            outputs.publish(made, folder)
    finally:
        kept.close()
    if len(chosen) == 1 and errors:
        raise next(iter(errors.values()))
    if errors:
        text = "; ".join(str(error) for error in errors.values())
        raise DeviceError(f"{len(errors)} of {len(chosen)} targets were not measured, the others were: {text}")
    return made


def protocol_of(made: record.Record, folder: Path) -> Benchmark:
    """The recipe's ``benchmark``."""
    try:
        return Benchmark.model_validate(made.recipe["benchmark"])
    except (KeyError, ValidationError):
        raise InputError(
            "holds no valid protocol", where=f"{folder / 'record.json'}: recipe.benchmark", remedy="it was altered"
        ) from None


def _all(made: record.Record, folder: Path, reporter: Reporter) -> list[Target]:
    """The run's targets that can be measured from here; says why others cannot."""
    found, lacks = [], {}
    for name in made.targets:
        try:
            found.append(_reached(made, name, folder))
        except MissingError as error:
            lacks[name] = str(error)
            reporter.say(f"left out: {error}", "yellow")
    if not found:
        raise MissingError(f"no target of the run can be measured from here: {'; '.join(lacks.values())}")
    return found


def _reached(made: record.Record, asked: str, folder: Path) -> Target:
    """The run's target, whose device is this machine or named in its file.

    Raises:
        InputError: the run has no such target, or nothing says where its device is.
        MissingError: this machine cannot run it.
    """
    target = target_of(made, asked, folder)
    name = target.name
    if target.connection.kind == "local":
        if made.targets[name].get("connection", {}).get("kind") == "ssh" and not _file_of(name, asked):
            raise InputError(
                f"the record does not keep how the device of '{name}' is reached",
                where=str(folder / "record.json"),
                remedy=f"put its target file into targets/, or name it: --target {name}.yaml",
            )
        reason = runtimes.get(target.runtime).cannot_run(target)
        if reason:
            raise MissingError(f"cannot run here: {reason}", where=f"target '{name}'", remedy=_BUNDLE.format(name))
    return target


def _file_of(name: str, asked: str) -> bool:
    return asked.endswith((".yaml", ".yml")) or name in targets.available()


def target_of(made: record.Record, asked: str, folder: Path) -> Target:
    """The run's target: threads, device, options and connection are those of today's file, the artifact stays.

    Raises:
        InputError: the run has no such target.
    """
    today = targets.load(asked) if asked.endswith((".yaml", ".yml")) else None
    name = today.name if today else asked
    if name not in made.targets:
        raise InputError(f"this run has no target '{name}'", remedy=f"it has: {', '.join(made.targets)}")
    if today is None and name in targets.available():
        today = targets.load(name)
    if today is not None and today.runtime == made.targets[name].get("runtime"):
        return today
    try:
        return Target.model_validate({key: one for key, one in made.targets[name].items() if key != "connection"})
    except ValidationError as error:
        raise InputError(
            f"holds a target that is not valid: {error.errors()[0]['msg']}",
            where=f"{folder / 'record.json'}: targets.{name}",
            remedy="the record was altered",
        ) from None


_BUNDLE = "or name the device's connection in the target file, or take it there with 'edgekit bundle --target {}'"


def bench_jobs(
    made: record.Record, target: Target, protocol: Benchmark, module: str | None, folder: Path, kept: Store
) -> Iterator[tuple[Job, str]]:
    """The target's artifacts, and the source where it can run beside them, each with its hash."""
    inputs = list(kept.stages.glob("inputs-*/inputs.npy"))
    if not inputs:
        raise InputError(
            "the run's test images are gone", where=str(kept.stages), remedy="run 'edgekit compress' again"
        )
    for one in made.artifacts:
        of_source = one.runtime == "torch_eager"
        if one.target != target.name and not of_source:
            continue
        if of_source and (target.elsewhere or not protocol.source or PYTORCH.name != one.target):
            continue
        if one.status == "not exported":
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
        yield Job(one.name, one.runtime, path, used, precision, inputs[-1]), one.sha256


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


def _measured(occasions: Sequence[Occasion]) -> Iterator[Measured]:
    """All occasions as they end: devices side by side, the targets of one device one after the other."""
    devices: dict[object, list[Occasion]] = {}
    for one in occasions:
        ssh = one.target.connection if one.target.connection.kind == "ssh" else None
        devices.setdefault((ssh.host, ssh.port, ssh.user) if ssh else None, []).append(one)
    several = len(occasions) > 1
    titles = {one.mark.path: f"measure {one.target.name}" if several else "measure" for one in occasions}
    if len(devices) == 1:
        for one in occasions:
            yield one.measure(titles[one.mark.path])
        return
    ended: queue.Queue[Measured | BaseException] = queue.Queue()

    def work(own: Sequence[Occasion]) -> None:
        try:
            for one in own:
                ended.put(one.measure(titles[one.mark.path]))
        except BaseException as error:
            ended.put(error)

    for own in devices.values():
        # Daemons: where the user interrupts, nobody waits for them, and a device notices that the link is gone.
        threading.Thread(target=work, args=(own,), daemon=True).start()
    for _ in occasions:
        found = ended.get()
        if isinstance(found, BaseException):
            raise found
        yield found
