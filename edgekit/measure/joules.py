"""The rows of a record that tell of energy."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgekit.measure.protocol import Energy
from edgekit.record import Measurement

METHOD = "energy of busy windows less the idle power of a window before them, per inference"
#: An estimate has a metric of its own, so that nothing that reads ``energy_j`` takes it for a measurement.
ESTIMATED = "energy_estimated_j"
_ESTIMATED_METHOD = "estimated from the rated power of the CPU and its busy time, not measured, per inference"


def measurements(artifact: str, found: Sequence[Energy], shared: Mapping[str, Any]) -> list[Measurement]:
    """``energy_j`` with one sample a busy window, or why there is none; an estimate under its own name beside it.

    Args:
        artifact: whose.
        found: of each process, in their order.
        shared: conditions that all measurements have.
    """
    windows = [{"process": index, **asdict(window)} for index, one in enumerate(found) for window in one.windows]
    conditions: dict[str, Any] = {**shared, "processes": len(found)}
    if not windows:
        reason = next((one.not_measured_reason for one in found if one.not_measured_reason), None)
        return [_missing(artifact, reason or "the meter gave no figure", conditions)]
    first = next(one for one in found if one.windows)
    missing = [one.not_measured_reason for one in found if one.not_measured_reason]
    conditions |= {"source": first.source, "scope": first.scope, "windows": windows}
    conditions |= {"processes_without": missing} if missing else {}
    samples = tuple(float(one["joules_per_inference"]) for one in windows)
    if not first.estimated:
        idle_w = statistics.fmean(one["idle_w"] for one in windows)
        return [_measured(artifact, "energy_j", samples, METHOD, conditions | {"idle_w": idle_w})]
    why = "no meter: the target asks for an estimate from the rated power, which stands apart"
    estimate = _measured(artifact, ESTIMATED, samples, _ESTIMATED_METHOD, conditions)
    return [_missing(artifact, why, {**shared, "processes": len(found)}), estimate]


def _measured(
    artifact: str, metric: str, samples: tuple[float, ...], method: str, conditions: dict[str, Any]
) -> Measurement:
    return Measurement(
        artifact=artifact, metric=metric, unit="J", samples=samples, method=method, conditions=conditions
    )


def _missing(artifact: str, reason: str, conditions: dict[str, Any]) -> Measurement:
    return Measurement(
        artifact=artifact,
        metric="energy_j",
        unit="J",
        not_measured_reason=reason,
        method=METHOD,
        conditions=conditions,
    )
