"""Differences from the source: that they follow from the two figures and from the images that changed sides."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgekit.errors import InputError
from edgekit.evaluate.differences import KEY
from edgekit.evaluate.paired import Pairs
from edgekit.record import SOURCE, Measurement, Record
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig

_ROUNDING = 1e-9


def differences(record: Record) -> Iterator[Finding]:
    """Each figure's difference from the source's, its counts, and McNemar's p."""
    for row in record.measurements:
        told, source = row.conditions.get(KEY), record.value(SOURCE, row.metric)
        if not isinstance(told, dict) or not row.samples or source is None or not source.samples:
            continue
        where = f"measurements {row.artifact} {row.metric}"
        value, right = dig(told, "value"), row.samples[-1] - source.samples[-1]
        if isinstance(value, float) and not math.isclose(value, right, rel_tol=0, abs_tol=_ROUNDING):
            yield Finding("figure", where, f"differs from the source by {value:.6g}; the figures by {right:.6g}")
        yield from _pairs(row, where)


def _pairs(row: Measurement, where: str) -> Iterator[Finding]:
    images, lost, won, p = (dig(row.conditions, KEY, key) for key in ("images", "lost", "won", "mcnemar_p"))
    if not isinstance(images, int) or not isinstance(lost, int) or not isinstance(won, int):
        return
    try:
        pairs = Pairs(images, lost, won)
    except InputError as error:
        yield Finding("count", where, error.problem)
        return
    value = dig(row.conditions, KEY, "value")
    if isinstance(value, float) and abs(value + pairs.drop) > _ROUNDING:
        yield Finding("count", where, f"{lost} images lost and {won} won are no difference of {value:.6g}")
    if isinstance(p, float) and not math.isclose(p, pairs.p, rel_tol=1e-6, abs_tol=_ROUNDING):
        yield Finding("figure", where, f"McNemar's p is {p:.4g}; {lost} lost and {won} won give {pairs.p:.4g}")
