"""The order of a study: every run up to its judged artifacts, one session that times them all, then the records.

All runs share one store, so what two candidates have in common (data, model, training with one seed) is made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import exemplars, outputs
from edgekit import recipe as recipes
from edgekit.errors import EdgekitError
from edgekit.measure.together import Together
from edgekit.pipeline import Judged, Run
from edgekit.progress import Reporter
from edgekit.recipe import StudyRun
from edgekit.record import Exemplars, Measurement, Record
from edgekit.store import Store
from edgekit.target import Target


@dataclass(frozen=True)
class Ended:
    """How one run of the study ended: with a record or with an error, exactly one of them."""

    member: StudyRun
    record: Record | None
    error: EdgekitError | None

    @property
    def title(self) -> str:
        """``prune, seed 0``."""
        return self.member.study.title

    @property
    def exit_code(self) -> int:
        """The error's, or that of a run with such a record."""
        if self.error is not None:
            return self.error.exit_code
        return outputs.exit_code(self.record) if self.record is not None else 0


def folder_of(member: StudyRun, root: Path) -> Path:
    """Where a run's record goes: ``root/CANDIDATE/seed-N``; ``root/STUDY-CANDIDATE`` in a study without seeds."""
    if member.study.seed is None:
        return root / member.name
    return root / member.study.candidate / f"seed-{member.study.seed}"


def execute(
    members: Sequence[StudyRun],
    targets: dict[str, Target],
    root: Path,
    module: str | None,
    reporter: Reporter,
    command: str,
) -> list[Ended]:
    """Run all and write their records. A run that fails does not stop the others.

    Args:
        members: all runs of one study.
        targets: the study's, by name.
        root: the study's folder.
        module: ``--module``.
        reporter: told of progress.
        command: as the user wrote it, for the records.

    Raises:
        EdgekitError: the folder cannot be used, or a target cannot be exported for: nothing was run.
    """
    kept = Store(root, recipes.owner(recipes.plain(members[0])))
    try:
        runs = [Run(one, targets, folder_of(one, root), module, reporter, kept) for one in members]
        judged: dict[str, Judged] = {}
        errors: dict[str, EdgekitError] = {}
        used: set[str] = set()
        session = Together(kept, members[0].benchmark, reporter, used)
        for member, run in zip(members, runs, strict=True):
            reporter.say(member.study.title, "bold")
            try:
                judged[member.name] = run.judge()
            except EdgekitError as error:
                reporter.say(f"error: {error}", "red")
                errors[member.name] = error
                _set_aside(run.folder)
                continue
            if member.study.timed:
                session.add(_short(member), judged[member.name].jobs)
        session.measure()
        populations = {name: _exemplars(name, members, judged) for name in members[0].study.candidates}
        ended = []
        for member, run in zip(members, runs, strict=True):
            if member.name in errors:
                ended.append(Ended(member, None, errors[member.name]))
                continue
            one = judged[member.name]
            timed, failed = session.of(_short(member)) if member.study.timed else (_not_timed(member, one), {})
            stages = session.stages if member.study.timed else []
            found = populations[member.study.candidate]
            ended.append(Ended(member, run.write(one, timed, failed, stages, command, found), None))
            used |= run.stages.used
        # After an error the stages of an earlier, whole run may still be wanted.
        if not errors:
            kept.prune(used)
        return ended
    finally:
        kept.close()


def _exemplars(candidate: str, members: Sequence[StudyRun], judged: Mapping[str, Judged]) -> list[Exemplars]:
    """Over the seeds of a candidate that came so far."""
    own = [one for one in members if one.study.candidate == candidate and one.name in judged]
    return exemplars.find({one.study.seed: judged[one.name].logits for one in own if one.study.seed is not None})


def _short(member: StudyRun) -> str:
    """``prune.seed-0``: no name of a candidate or target holds a dot."""
    return ".".join(folder_of(member, Path()).parts)


def _set_aside(folder: Path) -> None:
    """Rename the earlier record of a run that has now failed, so that no summary takes it for its result."""
    before = folder / "record.json"
    if before.exists():
        before.replace(folder / "earlier-record.json")


def _not_timed(member: StudyRun, judged: Judged) -> list[Measurement]:
    reason = (
        f"measured for seed {member.study.seeds[0]} of this study ({member.study.candidate}) and not for the "
        "others: that of one network hardly depends on its seed ('timed_seeds: all' measures every run)"
    )
    return [
        Measurement(
            artifact=job.artifact, metric="latency_s", unit="s", not_measured_reason=reason, method="not measured"
        )
        for job, _ in judged.jobs
    ]
