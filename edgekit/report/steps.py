"""What compression did, step by step: each model from the source to the last, and what each pass brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.record import SOURCE, Record, Stage
from edgekit.report import classes, figures, headline, results
from edgekit.report.figures import Shown, does_not_apply, not_measured
from edgekit.report.plain import dig, words

_SAME = does_not_apply("this pass keeps the predictions")
_LATER = does_not_apply("the exported INT8 files are evaluated below")


@dataclass(frozen=True)
class Step:
    """One row: the model after a pass.

    Attributes:
        name: of the stage, or ``source``.
        parameters, macs: of the model.
        shown: one figure for each heading.
        latency: the speed-up on each target over the model before the pass, where it was measured.
        kept: whether the model went on; a rejected pass did not.
    """

    name: str
    parameters: str
    macs: str
    shown: list[Shown]
    latency: Shown
    kept: bool


@dataclass(frozen=True)
class Steps:
    """The headings of the figures, and the rows."""

    headings: list[str]
    rows: list[Step]


def steps(record: Record) -> Steps:
    """Every pass after the source, in order; no rows where the recipe only trains, merges and quantizes."""
    evaluated = {words(one.changes.get("pass")): one for one in record.stages if one.kind == "evaluate_step"}
    proven = {words(one.changes.get("pass")): one for one in record.stages if one.kind == "prove"}
    shown = headline.of(record)
    metrics = {
        **shown.steps,
        **{f"{shown.rare} of {one.name}": f"{shown.rare}/{one.name}" for one in classes.rarest(record)},
    }
    if not evaluated and not proven:
        return Steps([], [])
    by_name = {stage.name: stage for stage in record.stages}
    source = results.artifact(record, SOURCE)
    history = list(source.stages) if source is not None else []
    rows: list[Step] = []
    if "teacher" in evaluated:
        teachers = [one for one in record.stages if one.name == "teacher" or one.name.startswith("teacher-")]
        found = [_of_stage(evaluated["teacher"], metric) for metric in metrics.values()]
        rows.append(_row("teacher", teachers[-1] if teachers else None, found, None))
    of_source = [results.score(record, SOURCE, metric) for metric in metrics.values()]
    rows.append(
        _row(
            f"source ({history[-1]})" if history else SOURCE,
            by_name.get(history[-1]) if history else None,
            of_source,
            None,
        )
    )
    for name, stage in by_name.items():
        number, _, kind = name.partition("-")
        if not number.isdigit() or name in history:
            continue
        if name in evaluated:
            found = [_of_stage(evaluated[name], metric) for metric in metrics.values()]
        elif dig(proven[name].changes, "rejected") if name in proven else False:
            found = [not_measured("the pass was rejected")] * len(metrics)
        else:
            found = [_LATER if kind == "quantize" else _SAME] * len(metrics)
        rows.append(_row(name, stage, found, proven.get(name)))
    for one in results.exported(record):
        if one.precision_requested == "int8":
            found = [results.score(record, one.name, metric) for metric in metrics.values()]
            timed = results.percentile(record, one.name, 0.5)
            latency = timed if timed.value is None else Shown(f"p50 {timed.value}")
            rows.append(Step(f"exported {one.name}", "as above", "as above", found, latency, True))
    return Steps(list(metrics), rows)


def _row(name: str, stage: Stage | None, shown: list[Shown], proof: Stage | None) -> Step:
    changes: dict[str, Any] = stage.changes if stage is not None else {}
    rejected = dig(proof.changes, "rejected") if proof is not None else None
    counted = [changes.get("parameters_after"), changes.get("macs_after")]
    texts = [
        figures.large(value, unit) if isinstance(value, (int, float)) else "not counted"
        for value, unit in zip(counted, ("", "MAC"), strict=True)
    ]
    return Step(name, texts[0], texts[1], shown, _latency(proof), rejected is None)


def _of_stage(stage: Stage, metric: str) -> Shown:
    """A figure of a step, with its 95 % interval: Wilson's of a class, else the bootstrap's."""
    found = dig(stage.changes, "figures", metric)
    value = dig(found, "value")
    if not isinstance(value, (int, float)):
        return not_measured(words(dig(found, "reason") or "the record does not hold it"))
    bounds = dig(found, "wilson_95") or dig(found, "interval") or (None, None)
    return figures.figure(float(value), bounds[0], bounds[1], places=3)


def _latency(proof: Stage | None) -> Shown:
    if proof is None:
        return does_not_apply("no proof of speed is asked of this pass")
    parts = []
    for target, row in (dig(proof.changes, "latency") or {}).items():
        if dig(row, "speedup") is None:
            parts.append(f"{target}: not measured: {words(dig(row, 'not_measured') or 'no reason recorded')}")
            continue
        shown = figures.figure(row["speedup"], row["low"], row["high"], "x")
        before, after = figures.milliseconds(row["before_p50_s"]), figures.milliseconds(row["after_p50_s"])
        parts.append(f"{target} {row['precision']}: {shown.text}, p50 {before} to {after}")
    rejected = dig(proof.changes, "rejected")
    text = "; ".join([*parts, f"REJECTED: {words(rejected)}"] if rejected else parts)
    return Shown(text) if text else not_measured("the recipe has no target")
