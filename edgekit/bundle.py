"""``edgekit bundle``: a folder with all that is needed to measure a target's artifacts on a device out of reach."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgekit
from edgekit import record, store, templates
from edgekit.devices import archive
from edgekit.devices.files import planned, uploads
from edgekit.errors import InputError
from edgekit.measure.latency import throughput_of
from edgekit.measure.plan import Plan
from edgekit.rebench import bench_jobs, protocol_of, target_of
from edgekit.recipe import owner

if TYPE_CHECKING:
    from edgekit.measure.latency import Job
    from edgekit.recipe import Benchmark
    from edgekit.target import Target

SUMS = "SHA256SUMS"
_ALTERED = "the record was altered: run 'edgekit compress' again"
_TEMPLATES = Path(__file__).parent / "devices"


def write(run: Path, name: str, out: Path) -> list[Path]:
    """Write the bundle of target ``name`` of the run into ``out``, which must be empty or not exist.

    Returns:
        Its files.

    Raises:
        InputError: the run has no such target, an artifact is missing or altered, or ``out`` holds something.
        DeviceError: it cannot be written.
    """
    if store.present(out) and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is there already, and not an empty folder", where=str(out), remedy="choose another --out")
    made = record.read(run)
    target, protocol = target_of(made, name, run), protocol_of(made, run)
    kept = store.Store(store.home(run, of_study="study" in made.recipe), owner(made.recipe))
    try:
        every = bench_jobs(made, target, protocol, None, run, kept)
        jobs = [job for job, _ in every if job.runtime == target.runtime]
        if not jobs:
            raise InputError(f"the run has no artifact of target '{name}'", where=str(run))
        with store.atomic(out) as temporary:
            _fill(temporary, jobs, target, protocol)
            if out.is_dir():
                out.rmdir()
    finally:
        kept.close()
    return sorted(path for path in out.rglob("*") if path.is_file())


def _fill(folder: Path, jobs: list[Job], target: Target, protocol: Benchmark) -> None:
    files = uploads(jobs)
    for name in (*(job.artifact for job in jobs), *(one.name for one in files)):
        # They stand in a shell script.
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", name):
            raise InputError(f"the name {name!r} has characters that edgekit gives no artifact", remedy=_ALTERED)
    for one in files:
        place = folder / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, place)
    plan = Plan(
        edgekit_version=edgekit.__version__,
        jobs=planned(jobs),
        files={one.name: one.sha256 for one in files},
        processes=protocol.processes,
        warmup=protocol.warmup,
        runs=protocol.runs,
        lock=None,
        linked=False,
        throughput=throughput_of(protocol),
    )
    archive.build(folder / "runner.pyz")
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    (folder / "README.md").write_text(_rendered("bundle.md.j2", plan, target), encoding="utf-8")
    if target.runtime == "litert":
        script = folder / "android.sh"
        script.write_text(_rendered("android.sh.j2", plan, target), encoding="utf-8")
        script.chmod(script.stat().st_mode | 0o111)
    sums = [
        f"{store.file_sha256(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _rendered(template: str, plan: Plan, target: Target) -> str:
    # Markdown and a shell script; every name in them is of letters, digits, '.', '_' and '-'.
    made = templates.environment(_TEMPLATES)
    values: dict[str, Any] = {"plan": plan, "target": target}
    return made.get_template(template).render(values)
