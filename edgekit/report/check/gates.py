"""Gates: that what is said to have passed did, against the limits of the recipe and the figures of the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.record import SOURCE, Gate, Record
from edgekit.report import headline, overview
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig, words

#: Parts of the names of gates whose value must reach the limit; every other value must not exceed it.
_AT_LEAST = ("agreement", "masks", "min_")
#: Last word of a gate's name -> which way the figure of its first words gets worse.
_SIGNS = {"drop": -1.0, "rise": 1.0}
#: First words of a gate's name -> metric, where they are not the same.
_METRICS = {"dice": "mean_dice"}
#: First word of a gate's name -> where an artifact's details tell its figures; last word -> which of them.
_COMPARED = {"parity": ("parity", "parity_whole_split"), "batches": ("in_batches",), "sizes": ("in_sizes",)}
_FIGURES = {"logits": "relative", "agreement": "argmax_agreement", "masks": "mask_dice"}
_ROUNDING = 1e-9


def gates(record: Record) -> Iterator[Finding]:
    """Limits, values, verdicts and statuses that go together."""
    status = {one.name: one.status for one in record.artifacts}
    asked = dig(record.recipe, "gates")
    stated = set(_numbers(asked)) if asked else None
    for gate in record.gates:
        where = f"gates {gate.artifact} {gate.name}"
        if gate.artifact not in status:
            yield Finding("artifact", where, "no such artifact")
        if not gate.explanation.strip():
            yield Finding("missing", where, "its explanation is blank")
        if not gate.passed and status.get(gate.artifact) in ("accepted", "checked, not run here"):
            yield Finding("gate", where, f"lost, and the artifact is {status[gate.artifact]}")
        if stated is not None and gate.limit is not None and not _among(gate.limit, stated):
            yield Finding("gate", where, f"its limit {gate.limit:.6g} is none of the recipe's")
        if gate.undecided and gate.passed and dig(asked, "undecided") == "fail":
            yield Finding("gate", where, "undecided and passed; the recipe lets none pass that is undecided")
        yield from _verdict(gate, where)
        yield from _change(record, gate, where)
        yield from _parity(record, gate, where)
    judged = {gate.artifact for gate in record.gates}
    for one in record.artifacts:
        if judged and one.name != SOURCE and one.status == "accepted" and one.name not in judged:
            yield Finding("gate", f"artifacts.{one.name}", "accepted, and no gate judged it")
        elif one.name in judged and one.status == "accepted" and not overview.untrained(record):
            yield from _left_out(record, one.name)


def _left_out(record: Record, name: str) -> Iterator[Finding]:
    """Drops and rises that the recipe limits and no gate judged."""
    own = {gate.name for gate in record.gates if gate.artifact == name}
    other_task = "accuracy_drop" if headline.segments(record) else "dice_drop"
    for key, limit in (dig(record.recipe, "gates") or {}).items():
        wanted = key.removeprefix("max_")
        judged = wanted not in (key, other_task) and wanted.rpartition("_")[2] in _SIGNS
        if limit is not None and judged and wanted not in own:
            yield Finding("gate", f"artifacts.{name}", f"accepted, and no gate judged its {wanted}")


def _verdict(gate: Gate, where: str) -> Iterator[Finding]:
    if gate.limit is None or gate.value is None:
        return
    least = any(part in gate.name for part in _AT_LEAST)
    holds = gate.value >= gate.limit if least else gate.value <= gate.limit
    if holds != gate.passed:
        said = "passed" if gate.passed else "lost"
        yield Finding("gate", where, f"{said}, with {gate.value:.6g} for a limit of {gate.limit:.6g}")


def _change(record: Record, gate: Gate, where: str) -> Iterator[Finding]:
    """The value of a drop or a rise is the difference of the two figures."""
    kind, _, sign = gate.name.rpartition("_")
    metric = _METRICS.get(kind, kind)
    before, after = record.value(SOURCE, metric), record.value(gate.artifact, metric)
    if sign not in _SIGNS or gate.value is None or before is None or after is None:
        return
    if before.samples and after.samples:
        right = _SIGNS[sign] * (after.samples[-1] - before.samples[-1])
        if abs(right - gate.value) > _ROUNDING:
            text = f"a {sign} of {gate.value:.6g}; the figures differ by {right:.6g}"
            yield Finding("gate", where, text)


def _parity(record: Record, gate: Gate, where: str) -> Iterator[Finding]:
    """The value of a comparison is one of those that the artifact's details tell."""
    compared, _, figure = gate.name.partition("/")
    details = next((one.details for one in record.artifacts if one.name == gate.artifact), {})
    told = {dig(details, part, _FIGURES[figure]) for part in _COMPARED.get(compared, ()) if figure in _FIGURES}
    told -= {None}
    if told and gate.value is not None and not any(math.isclose(gate.value, one, rel_tol=1e-9) for one in told):
        yield Finding("gate", where, f"{gate.value:.6g}; the artifact's details say {words(sorted(told))}")


def _numbers(asked: Any) -> Iterator[float]:
    """Every number that the recipe's gates hold, however deep."""
    if isinstance(asked, Mapping):
        for one in asked.values():
            yield from _numbers(one)
    elif isinstance(asked, (list, tuple)):
        for one in asked:
            yield from _numbers(one)
    elif isinstance(asked, (int, float)) and not isinstance(asked, bool):
        yield float(asked)


def _among(limit: float, stated: set[float]) -> bool:
    return any(math.isclose(limit, one, rel_tol=1e-9, abs_tol=1e-12) for one in stated)
