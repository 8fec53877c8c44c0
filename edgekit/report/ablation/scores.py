"""Figures of a candidate over its seeds, and their differences to the baseline, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.evaluate.repeats import Repeated, repeated
from edgekit.record import SOURCE, Record
from edgekit.report import classes, figures, headline, results
from edgekit.report.ablation.runs import One, Runs
from edgekit.report.figures import Shown, not_measured

#: Stands for the float model after all passes, in PyTorch: 'source-fused', or 'source' where no pass changed it.
FLOAT = "float"
_PRECISE_FIRST = ("fp32", "fp16", "bf16", "int8")


def metrics(runs: Runs) -> dict[str, str]:
    """Metric -> heading."""
    if not runs.runs:
        return dict(headline.CLASSIFICATION.study)
    first = runs.runs[0].record
    shown = headline.of(first)
    rare = {
        f"{shown.rare}/{one.name}": f"{shown.rare} of {one.name}, the rarest class"
        for one in classes.rarest(first)[:1]
    }
    return {**shown.study, **rare}


def in_record(record: Record, artifact: str) -> str:
    """The name that ``artifact`` has in the record: 'float' is no name there."""
    if artifact != FLOAT:
        return artifact
    return results.FUSED if results.artifact(record, results.FUSED) else SOURCE


def artifacts(runs: Sequence[One]) -> list[str]:
    """The exported artifacts of a candidate, in their order."""
    return list(dict.fromkeys(one.name for run in runs for one in results.exported(run.record)))


def reference(record: Record, artifact: str, base: Record) -> str:
    """What of the baseline ``artifact`` is compared with: its namesake, else the most precise on its target."""
    if artifact == FLOAT or results.artifact(base, artifact):
        return artifact
    own = results.artifact(record, artifact)
    same = [one for one in results.exported(base) if own is not None and one.target == own.target]
    known = [one for one in same if one.precision_requested in _PRECISE_FIRST]
    return min(known, key=lambda one: _PRECISE_FIRST.index(one.precision_requested)).name if known else FLOAT


def value(run: One, artifact: str, metric: str) -> float | None:
    """A figure over the test split; none where it was not measured."""
    found = run.record.value(in_record(run.record, artifact), metric)
    return found.samples[-1] if found is not None and found.samples else None


def over_seeds(runs: Sequence[One], artifact: str, metric: str) -> Repeated | None:
    """The figure of every seed that has it, together."""
    found = [one for run in runs if (one := value(run, artifact, metric)) is not None]
    return repeated(found) if found else None


def score(runs: Sequence[One], artifact: str, metric: str) -> Shown:
    """Mean over seeds with its interval. In a study without seeds: the figure with its interval over images."""
    if not runs:
        return not_measured("this run left no record")
    found = over_seeds(runs, artifact, metric)
    if found is None:
        return not_measured(results.why_not(runs[0].record, in_record(runs[0].record, artifact), metric))
    if runs[0].study.seed is None:
        return results.score(runs[0].record, in_record(runs[0].record, artifact), metric)
    return _shown(found, len(runs[0].study.seeds))


def difference(runs: Sequence[One], base: Sequence[One], artifact: str, metric: str) -> Shown:
    """``artifact`` less its reference of the baseline: the mean of the differences of equal seeds."""
    other = {run.study.seed: run for run in base}
    found = []
    for run in runs:
        pair = other.get(run.study.seed)
        if pair is None:
            continue
        own, of_base = (
            value(run, artifact, metric),
            value(pair, reference(run.record, artifact, pair.record), metric),
        )
        if own is not None and of_base is not None:
            found.append(own - of_base)
    if not found:
        return not_measured("no seed has both figures")
    return _shown(repeated(found), max(1, len(runs[0].study.seeds)), "+")


def counted(runs: Sequence[One], what: str, unit: str) -> Shown:
    """Parameters or MACs of the float model after all passes: one figure, or the mean where seeds differ."""
    found = _counts(runs, what)
    if not found:
        return not_measured("the record does not count them" if runs else "this run left no record")
    if not differs(runs, what):
        return Shown(figures.large(found[0], unit), short=figures.large(found[0], unit))
    low, high = (figures.large(end, unit) for end in (min(found), max(found)))
    mean = figures.large(repeated(found).mean, unit)
    return Shown(f"{mean} (seeds: {low} to {high})", short=mean)


def differs(runs: Sequence[One], what: str) -> bool:
    """Whether the count depends on the seed, as it may after pruning."""
    return len(set(_counts(runs, what))) > 1


def _counts(runs: Sequence[One], what: str) -> list[float]:
    return [one for run in runs if (one := _count(run.record, what)) is not None]


def _count(record: Record, what: str) -> float | None:
    """The count after the last stage that made the float model and counted."""
    made = results.artifact(record, in_record(record, FLOAT))
    changes = {stage.name: stage.changes for stage in record.stages}
    for name in reversed(made.stages if made else ()):
        number = changes.get(name, {}).get(f"{what}_after")
        if isinstance(number, (int, float)):
            return float(number)
    return None


def _shown(one: Repeated, wanted: int, sign: str = "") -> Shown:
    """The mean and its interval; how many seeds, where not all have the figure."""
    mean = f"{one.mean:{sign}.3f}"
    few = "" if one.n == wanted else f", {one.n} of {wanted} seeds"
    if one.low is None or one.high is None:
        text = mean + (few and f" ({few.removeprefix(', ')})")
    elif one.equal:
        text = f"{mean} (the same for all {one.n} seeds)"
    else:
        text = f"{mean} ({one.low:{sign}.3f} to {one.high:{sign}.3f}{few})"
    return Shown(text, short=mean)
