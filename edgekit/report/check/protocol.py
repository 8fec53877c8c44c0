"""How latency, memory and energy were measured: every run there, none twice, joules with their idle power."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from edgekit.record import Measurement, Record
from edgekit.report import results
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig

#: Part of the loop's processor time, over its threads, that its timed calls take at least. The rest is copying of
#: images; wall time would count what other processes took between two calls.
_LEAST_SHARE = 0.2
#: Processor time is counted in ticks; below this there are too few.
_LEAST_CPU_S = 0.05
#: Two lists of so many nanosecond timings do not agree by chance.
_ALIKE = 5


def protocol(record: Record) -> Iterator[Finding]:
    """Runs and processes as the conditions and the recipe say."""
    yield from _runs(record)
    yield from _processes(record)
    yield from _memory(record)
    for row in record.measurements:
        if row.metric == "energy_j" and row.samples:
            yield from _energy(row)


def _runs(record: Record) -> Iterator[Finding]:
    seen: dict[tuple[float, ...], str] = {}
    for row in record.measurements:
        if row.metric != "latency_s" or not row.samples:
            continue
        where = f"measurements {row.artifact} latency_s process {row.conditions.get('process')}"
        runs = row.conditions.get("runs")
        if isinstance(runs, int) and runs != len(row.samples):
            yield Finding("count", where, f"{len(row.samples)} samples of {runs} timed runs")
        for key in ("warmup", "runs"):
            told, asked = row.conditions.get(key), dig(record.recipe, "benchmark", key)
            if told is not None and asked is not None and told != asked:
                yield Finding("count", where, f"{key} {told}; the recipe says {asked}")
        if len(row.samples) >= _ALIKE and row.samples in seen:
            yield Finding("samples", where, f"the same samples as {seen[row.samples]}")
        seen[row.samples] = where.removeprefix("measurements ")
        yield from _loop(row, where)


def _loop(row: Measurement, where: str) -> Iterator[Finding]:
    """The timed calls cannot take longer than their loop, nor a small part of the work that was done in it."""
    total_s = sum(row.samples or ())
    wall_s, cpu_s, threads = (row.conditions.get(key) for key in ("wall_s", "cpu_s", "threads"))
    if isinstance(wall_s, (int, float)) and wall_s and total_s > wall_s * (1 + 1e-6):
        yield Finding("samples", where, f"its samples add up to {total_s:.4g} s; their loop took {wall_s:.4g} s")
    if isinstance(cpu_s, (int, float)) and isinstance(threads, int) and cpu_s >= _LEAST_CPU_S:
        work_s = cpu_s / max(1, threads)
        if total_s < _LEAST_SHARE * work_s:
            text = f"its samples add up to {total_s:.4g} s; the processor worked for {work_s:.4g} s"
            yield Finding("samples", where, text)


def _processes(record: Record) -> Iterator[Finding]:
    asked = dig(record.recipe, "benchmark", "processes")
    for name in results.names(record):
        one = results.latency(record, name)
        if one is None:
            continue
        told = one.conditions.get("processes", asked)
        if isinstance(told, int) and told != len(one.processes):
            where = f"measurements {name} latency_s"
            yield Finding("count", where, f"samples of {len(one.processes)} of {told} processes")


def _memory(record: Record) -> Iterator[Finding]:
    """The peak of each process, which its latency's conditions hold as well."""
    for name in results.names(record):
        rows = [row for row in record.of(name, "latency_s") if row.samples]
        told = [row.conditions.get("rss_peak_bytes") for row in rows]
        peak = record.value(name, "peak_rss_bytes")
        if peak is None or not peak.samples or None in told or len(told) < len(peak.samples):
            continue
        newest = told[-len(peak.samples) :]
        if [float(one) for one in newest if one is not None] != list(peak.samples):
            where = f"measurements {name} peak_rss_bytes"
            text = f"median {statistics.median(peak.samples):.6g} bytes; its processes told other figures"
            yield Finding("figure", where, text)


def _energy(row: Measurement) -> Iterator[Finding]:
    where = f"measurements {row.artifact} energy_j"
    windows = row.conditions.get("windows")
    rows = [one for one in windows if isinstance(one, dict)] if isinstance(windows, list) else []
    if "idle_w" not in row.conditions and (not rows or any(one.get("idle_w") is None for one in rows)):
        yield Finding("energy", where, "joules without the idle power that was subtracted")
    if not row.conditions.get("source"):
        yield Finding("energy", where, "joules without the meter that they come from")
    for one, joules in zip(rows, row.samples or (), strict=False):
        busy_j, idle_w, window_s, count = (one.get(key) for key in ("busy_j", "idle_w", "window_s", "count"))
        if None in (busy_j, idle_w, window_s) or not count:
            continue
        right = (float(busy_j or 0) - float(idle_w or 0) * float(window_s or 0)) / float(count)
        if abs(right - joules) > 1e-6 * max(abs(right), abs(joules)):
            yield Finding("energy", where, f"{joules:.6g} J; its window gives {right:.6g} J")
