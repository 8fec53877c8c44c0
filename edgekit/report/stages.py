"""What each pass changed, as far as the record says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.record import Record, Stage
from edgekit.report import figures
from edgekit.report.plain import dig

_NOT_COUNTED = "not counted"


@dataclass(frozen=True)
class Pass:
    """One pass: its counts before and after, and its agreement with the model before it."""

    name: str
    kind: str
    parameters: str
    macs: str
    difference: str
    agreement: str
    seconds: str


def passes(record: Record) -> list[Pass]:
    """The model as built, then the stages that changed it, in their order."""
    kinds = {dig(one, "kind") for one in dig(record.recipe, "passes") or ()}
    return [_pass(stage) for stage in record.stages if stage.kind in kinds or "parameters_after" in stage.changes]


def _pass(stage: Stage) -> Pass:
    changes = stage.changes
    relative = _find(changes, "max_relative_difference", "relative")
    same = _find(changes, "argmax_agreement", "agreement")
    return Pass(
        name=stage.name,
        kind=stage.kind,
        parameters=_counts(changes, "parameters", ""),
        macs=_counts(changes, "macs", "MAC"),
        difference="not compared" if relative is None else f"{relative:.1e}",
        agreement="not compared" if same is None else f"{same:.1%}",
        seconds=figures.duration(stage.seconds) + (" (reused)" if stage.cached else ""),
    )


def _find(changes: dict[str, Any], *keys: str) -> float | None:
    """The first of ``keys`` that is a number, at the top or below ``agreement``."""
    for place in (dig(changes, "agreement"), changes):
        for key in keys:
            value = dig(place, key)
            if isinstance(value, (int, float)):
                return float(value)
    return None


def _counts(changes: dict[str, Any], what: str, unit: str) -> str:
    before, after = changes.get(f"{what}_before"), changes.get(f"{what}_after")
    if not (isinstance(before, (int, float)) and isinstance(after, (int, float))):
        return figures.large(after, unit) if isinstance(after, (int, float)) else _NOT_COUNTED
    if before == after:
        return f"{figures.large(after, unit)}, unchanged"
    return f"{figures.large(before, unit)} → {figures.large(after, unit)}"
