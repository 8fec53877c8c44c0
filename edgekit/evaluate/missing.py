"""Metrics that were not measured, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import InputError
from edgekit.record import Measurement


def rows(
    artifact: str, metrics: Sequence[str], reason: str, known: Mapping[str, tuple[str, str]]
) -> list[Measurement]:
    """One row a metric.

    Args:
        artifact: its name in the record.
        metrics: their names, such as ``sensitivity/nevus``.
        reason: why they are missing.
        known: metric less its class -> unit and how it is computed.

    Raises:
        InputError: a metric is not in ``known``.
    """
    found = []
    for name in metrics:
        kind = name.split("/")[0]
        if kind not in known:
            raise InputError(f"unknown metric '{name}'", remedy=f"known: {', '.join(known)}")
        unit, method = known[kind]
        found.append(
            Measurement(
                artifact=artifact,
                metric=name,
                unit=unit,
                not_measured_reason=reason,
                method=method,
                conditions={"split": "test"},
            )
        )
    return found
