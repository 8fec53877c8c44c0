"""Gates on what an artifact costs: its p90, its size, its joules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit.evaluate import statistics
from edgekit.evaluate.verdicts import Ruling, gate
from edgekit.record import Artifact, Gate, Measurement

if TYPE_CHECKING:
    from edgekit.recipe import Gates


def check(artifact: Artifact, measurements: Iterable[Measurement], gates: Gates, timed: bool = True) -> list[Gate]:
    """The gates ``size``, ``p90`` and ``energy`` that the recipe asks for, in this order.

    Args:
        artifact: what was exported.
        measurements: of the run; those of other artifacts are left aside.
        gates: the recipe's limits.
        timed: whether this run measures latency and energy at all; a study may measure those of one seed only.
    """
    own = [row for row in measurements if row.artifact == artifact.name]
    rows = []
    if gates.max_size_mb is not None:
        size = artifact.size_bytes / 1e6
        text = f"{size:.3g} MB on disk; at most {gates.max_size_mb:g} MB is allowed"
        rows.append(
            gate(artifact.name, "size", gates.max_size_mb, Ruling(size <= gates.max_size_mb, text, size), gates)
        )
    if timed and gates.max_p90_ms is not None:
        latencies = [row for row in own if row.metric == "latency_s"]
        ruling = _p90(latencies, gates.max_p90_ms, gates.decide_by == "interval")
        rows.append(gate(artifact.name, "p90", gates.max_p90_ms, ruling, gates))
    if timed and gates.max_energy_j is not None:
        joules = [row for row in own if row.metric == "energy_j"]
        rows.append(gate(artifact.name, "energy", gates.max_energy_j, _energy(joules, gates.max_energy_j), gates))
    return rows


def _p90(rows: Sequence[Measurement], limit: float, strictly: bool) -> Ruling:
    newest = _newest_session(rows)
    samples = [sample * 1e3 for row in newest for sample in row.samples or ()]
    if not samples:
        return Ruling(None, f"its latency was not measured: {_why(rows)}")
    found = statistics.quantile(samples, 0.9)
    if not found.allowed:
        return Ruling(None, f"p90 needs at least {found.least_n} runs, {found.n} were timed")
    interval = None if found.low is None or found.high is None else (found.low, found.high)
    ends = "" if interval is None else f" (95 % interval {interval[0]:.3g} to {interval[1]:.3g})"
    text = f"p90 {found.value:.3g} ms{ends}; at most {limit:g} ms is allowed"
    if found.value > limit:
        return Ruling(False, text, found.value, interval)
    if not strictly:
        return Ruling(True, text, found.value, interval)
    if interval is None or interval[1] > limit:
        return Ruling(None, f"{text}; the samples do not rule out that it is more", None, interval)
    return Ruling(True, text, found.value, interval)


def _energy(rows: Sequence[Measurement], limit: float) -> Ruling:
    samples = next((row.samples for row in reversed(rows) if row.samples is not None), None)
    if samples is None:
        return Ruling(None, f"its energy was not measured: {_why(rows)}")
    joules = float(np.mean(samples))
    text = f"{joules:.3g} J per inference; at most {limit:g} J is allowed"
    return Ruling(joules <= limit, text, joules)


def _newest_session(rows: Sequence[Measurement]) -> list[Measurement]:
    """The samples of one occasion: those of two are never pooled."""
    found = [row for row in rows if row.samples is not None]
    session = found[-1].conditions.get("session") if found else None
    return [row for row in found if row.conditions.get("session") == session]


def _why(rows: Sequence[Measurement]) -> str:
    return next(
        (row.not_measured_reason for row in reversed(rows) if row.not_measured_reason),
        "this run did not measure it",
    )
