"""The rows of a study's tables: one for each candidate's float model and for each of its exported artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.report import results
from edgekit.report.ablation import scores, timing
from edgekit.report.ablation.runs import One, Runs
from edgekit.report.ablation.scores import FLOAT, in_record
from edgekit.report.figures import Shown, not_measured

REFERENCE = Shown("reference", short="ref.")


@dataclass(frozen=True)
class Row:
    """One artifact of one candidate.

    Attributes:
        candidate: its name.
        artifact: 'float' for the float model in PyTorch, else the exported artifact.
        target: the artifact's; none for the float model.
        precision: as executed.
        scores: by metric, over the seeds.
        over: what of the baseline it is compared with, as ``candidate: artifact``.
        differences: by metric, less the baseline.
        p50: latency.
        speedup: over the baseline.
        status: over the seeds, with the gates that rejected it.
        accepted: whether it is accepted in every seed.
    """

    candidate: str
    artifact: str
    target: str | None
    precision: Shown
    scores: dict[str, Shown]
    over: str
    differences: dict[str, Shown]
    p50: Shown
    speedup: Shown
    status: str
    accepted: bool


def rows(runs: Runs) -> list[Row]:
    """All rows, candidates in their order; none for a candidate that left no record."""
    found = []
    for candidate in runs.study.candidates:
        own = runs.of(candidate)
        if own:
            found += [_row(runs, own, artifact) for artifact in (FLOAT, *scores.artifacts(own))]
    return found


def _row(runs: Runs, own: list[One], artifact: str) -> Row:
    candidate = own[0].study.candidate
    name = own[0].study.baseline
    base = runs.of(name)
    first = results.artifact(own[0].record, in_record(own[0].record, artifact))
    metrics = scores.metrics(runs)
    executed = first.precision_executed if first else None
    if candidate == name:
        differences, speedup, over = dict.fromkeys(metrics, REFERENCE), REFERENCE, ""
    elif not base:
        absent = not_measured(f"the baseline {name} left no record")
        differences, speedup, over = dict.fromkeys(metrics, absent), absent, name
    else:
        differences = {metric: scores.difference(own, base, artifact, metric) for metric in metrics}
        speedup = timing.speedup(own, base, artifact)
        over = f"{name}: {scores.reference(own[0].record, artifact, base[0].record)}"
    status, accepted = _status(own, artifact)
    return Row(
        candidate=candidate,
        artifact=artifact,
        target=first.target if first and artifact != FLOAT else None,
        precision=Shown(executed) if executed else not_measured((first and first.reason) or "it did not run here"),
        scores={metric: scores.score(own, artifact, metric) for metric in metrics},
        over=over,
        differences=differences,
        p50=timing.p50(own, artifact),
        speedup=speedup,
        status=status,
        accepted=accepted,
    )


def _status(own: Sequence[One], artifact: str) -> tuple[str, bool]:
    """``accepted``, or how many seeds were not and why."""
    if artifact == FLOAT:
        return "in PyTorch, not exported", True
    found = [(run, one) for run in own if (one := results.artifact(run.record, artifact))]
    groups: dict[str, list[One]] = {}
    for run, one in found:
        lost = [gate.name for gate in run.record.gates if gate.artifact == artifact and not gate.passed]
        groups.setdefault(one.status + (f" by {', '.join(lost)}" if lost else ""), []).append(run)
    if len(groups) == 1:
        return next(iter(groups)), "accepted" in groups
    parts = [
        f"{text} in {len(members)} of {len(found)} (seed {', '.join(str(one.study.seed) for one in members)})"
        for text, members in groups.items()
    ]
    return "; ".join(parts), False
