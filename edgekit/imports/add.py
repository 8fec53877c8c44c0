"""A file of measurements into the record: only what was taken of the record's own artifacts, and only once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edgekit import outputs, record, store
from edgekit.errors import InputError
from edgekit.imports import android_log, runner_result, samples_file
from edgekit.imports.base import Imported, JobOf
from edgekit.measure.latency import Job
from edgekit.occasion import with_rows
from edgekit.rebench import target_of
from edgekit.recipe import owner
from edgekit.store import Store

_LARGEST_BYTES = 256 * 2**20


def add(folder: Path, file: Path, by: str | None) -> record.Record:
    """Add what ``file`` holds to the record in ``folder``.

    Statistics come from raw samples alone: a summary is kept as that, in words.

    Args:
        folder: the run's.
        file: of the runner, of ``android.sh``, or in the form of a bundle's README.
        by: who measured, where the file does not say it.

    Raises:
        InputError: the file has none of these forms, was imported before, or is of other artifacts than the run's.
    """
    made = record.read(folder)
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= _LARGEST_BYTES else b""
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    if size > _LARGEST_BYTES:
        raise InputError(f"{size / 1e6:.0f} MB are too large for a file of measurements", where=str(file))
    sha256 = hashlib.sha256(data).hexdigest()
    if any(one.conditions.get("imported", {}).get("sha256") == sha256 for one in made.measurements):
        raise InputError("was imported before", where=str(file), remedy="its figures are in the record")
    found = _parsed(data.decode("utf-8", errors="replace"), _job_of(made, folder), str(file))
    _verify(made, found, str(file))
    who = by or found.measured_by
    if who is None:
        raise InputError("does not say who measured", where=str(file), remedy='say it: --by "NAME"')
    provenance = {"sha256": sha256, "measured_by": who, "measured_utc": found.measured_utc, "tool": found.tool}
    conditions = {"session": f"imported {sha256[:16]}", "machine": found.machine, "imported": provenance}
    rows = [one.model_copy(update={"conditions": {**one.conditions, **conditions}}) for one in found.rows]
    kept = Store(store.home(folder, of_study="study" in made.recipe), owner(made.recipe))
    try:
        made = with_rows(made, rows)
        outputs.publish(made, folder)
    finally:
        kept.close()
    return made


def _parsed(text: str, job_of: JobOf, where: str) -> Imported:
    if android_log.MARK in text:
        return android_log.parse(text, job_of, where)
    try:
        data = json.loads(text)
    except ValueError:
        raise InputError(
            "is no file of measurements that edgekit knows",
            where=where,
            remedy="a bundle's README.md shows the forms",
        ) from None
    if isinstance(data, dict) and "results" in data:
        return runner_result.parse(text, job_of, where)
    return samples_file.parse(text, job_of, where)


def _job_of(made: record.Record, folder: Path) -> JobOf:
    def find(name: str) -> Job:
        one = next((one for one in made.artifacts if one.name == name), None)
        if one is None:
            raise InputError(f"the run has no artifact '{name}'", remedy="is it the bundle of this run?")
        target = target_of(made, one.target, folder)
        precision = next((p for p in target.precisions if p == one.precision_requested), None)
        if precision is None:
            raise InputError(f"the target allows no {one.precision_requested}", where=name)
        path = store.inside(folder, one.path, f"record.json: {name}")
        return Job(name, one.runtime, path, target, precision, path)

    return find


def _verify(made: record.Record, found: Imported, where: str) -> None:
    hashes = {one.name: one.sha256 for one in made.artifacts}
    for name, sha256 in found.artifacts.items():
        if hashes.get(name) != sha256:
            raise InputError(
                f"'{name}' is another file there: its sha256 is {sha256[:12]}, the record says "
                f"{str(hashes.get(name))[:12]}",
                where=where,
                remedy="measure the artifacts of this run: 'edgekit bundle' writes them",
            )
