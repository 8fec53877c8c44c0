"""What an inference costs: time, memory, energy."""

from __future__ import annotations

import statistics as standard

from edgekit.evaluate import statistics
from edgekit.record import Measurement, Record
from edgekit.report import figures, headline, results
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured, not_recorded
from edgekit.report.items import Item, per_artifact
from edgekit.report.plain import dig, words

#: A change of the median within a run that is pointed out, as a share.
_DRIFT = 0.05


def latency(record: Record) -> list[Item]:
    """p50, p90 and p99 where the samples allow them, variance between processes, drift."""
    names = results.names(record)
    cases = [per_artifact("p50 of a whole case", names, lambda name: _of_case(record, name))]
    return [
        per_artifact("p50", names, lambda name: results.percentile(record, name, 0.5)),
        per_artifact("p90", names, lambda name: results.percentile(record, name, 0.9)),
        per_artifact("p99", names, lambda name: results.percentile(record, name, 0.99)),
        *(cases if headline.segments(record) else []),
        per_artifact(
            "Variance across runs (standard deviation of p50 between processes)",
            names,
            lambda name: _between(record, name),
        ),
        per_artifact(
            "Throttling or drift (p50 of the last third of the runs against the first, process with the largest)",
            names,
            lambda name: _drift(record, name),
        ),
        per_artifact("Loading, and the first inference", names, lambda name: _cold(record, name)),
    ]


def _of_case(record: Record, name: str) -> Shown:
    """The windows that a case of the test split has on average, each taking the p50."""
    windows, cases = (dig(record.data, "splits", "test", key) for key in ("count", "cases"))
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    if not isinstance(windows, int) or not isinstance(cases, int) or not cases:
        return not_recorded("the record does not count windows and cases")
    each = windows / cases
    total = standard.median(one.pooled) * each
    return Shown(f"{figures.duration(total)}: {figures.number(each)} windows, without cutting and assembling them")


def _cold(record: Record, name: str) -> Shown:
    load, first = record.value(name, "load_s"), record.value(name, "first_inference_s")
    if load is None or first is None or not load.samples or not first.samples:
        return not_measured(results.why_not(record, name, "load_s"))
    parts = [figures.duration(standard.median(samples)) for samples in (load.samples, first.samples)]
    return Shown(f"{parts[0]} and {parts[1]}")


def _between(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    found = statistics.between_process(one.processes)
    deviation, spread = found["std_s"], found["spread_percent"]
    if deviation is None or spread is None:
        return not_measured("one process was run, and variance is taken between processes")
    count = len(found["medians_s"])
    return Shown(f"{figures.milliseconds(deviation)}; range {figures.number(spread, 2)} %, {count} processes")


def _drift(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    ratios = [ratio for process in one.processes if (ratio := statistics.drift(process)) is not None]
    if not ratios:
        return not_measured("too few runs to compare the first third with the last")
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    seen = "drift seen" if abs(worst - 1) > _DRIFT else "none seen"
    return Shown(f"{(worst - 1) * 100:+.1f} %, {seen}; {_clock(record, name)}")


def _clock(record: Record, name: str) -> str:
    one = results.latency(record, name)
    before, after = (one.conditions.get(f"clock_mhz_{when}") if one else None for when in ("before", "after"))
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        return f"clock {before:.0f} to {after:.0f} MHz"
    return "clock not readable"


def memory(record: Record) -> list[Item]:
    """Size on disk, peak of the process, what the runtime added."""
    names = results.names(record)
    files = [one.name for one in record.artifacts]
    return [
        per_artifact("Model size on disk", files, lambda name: size(record, name)),
        per_artifact(
            "Peak runtime memory (median and range of the processes)",
            names,
            lambda name: results.over_processes(record, name, "peak_rss_bytes"),
        ),
        per_artifact(
            "Additional runtime or compiler buffers",
            names,
            lambda name: results.over_processes(record, name, "runtime_rss_bytes"),
        ),
    ]


def size(record: Record, name: str) -> Shown:
    """Bytes of the artifact on disk, in MB."""
    one = results.artifact(record, name)
    if one is None or one.size_bytes <= 0:
        return not_measured("there is no file of it")
    return Shown(figures.megabytes(one.size_bytes), short=figures.number(one.size_bytes / 1e6))


def energy(record: Record) -> list[Item]:
    """Method, idle power, joules, their variance."""
    names = results.names(record)
    return [
        per_artifact("Measurement method", names, lambda name: _meter(record, name)),
        per_artifact("Idle power subtracted", names, lambda name: _idle(record, name)),
        per_artifact("Energy per inference", names, lambda name: _joules(record, name)),
        per_artifact("Variance of energy", names, lambda name: _energy_variance(record, name)),
    ]


def _without(record: Record, name: str) -> Shown:
    return not_measured(results.why_not(record, name, "energy_j"))


def _meter(record: Record, name: str) -> Shown:
    found = record.value(name, "energy_j")
    if found is None:
        return _without(record, name)
    known = [f"{key} {words(found.conditions[key])}" for key in ("source", "scope") if found.conditions.get(key)]
    seconds, count = _windows(found, "window_s"), _windows(found, "count")
    if seconds and count:
        known.append(
            f"{len(count)} windows, {figures.number(sum(seconds))} s and {sum(count):.0f} inferences in all"
        )
    return Shown("; ".join([oneline(found.method), *known]))


def _windows(found: Measurement, key: str) -> list[float]:
    """``key`` of every energy window of a measurement."""
    windows = found.conditions.get("windows")
    rows = [row for row in windows if isinstance(row, dict)] if isinstance(windows, list) else []
    return [value for row in rows if isinstance(value := row.get(key), (int, float))]


def _idle(record: Record, name: str) -> Shown:
    found = record.value(name, "energy_j")
    if found is None:
        return _without(record, name)
    watts = _windows(found, "idle_w")
    if not watts:
        return not_recorded("the meter's measurement does not state the idle power")
    return Shown(f"yes, {figures.number(standard.fmean(watts))} W")


def _joules(record: Record, name: str) -> Shown:
    samples = _samples(record, name)
    return Shown(f"{figures.number(standard.fmean(samples))} J") if samples else _without(record, name)


def _samples(record: Record, name: str) -> tuple[float, ...]:
    found = record.value(name, "energy_j")
    return found.samples or () if found is not None else ()


def _energy_variance(record: Record, name: str) -> Shown:
    samples = _samples(record, name)
    if not samples:
        return _without(record, name)
    if len(samples) < 2:
        return not_measured("one window was measured, and variance needs at least two")
    return Shown(f"standard deviation {figures.number(standard.stdev(samples))} J over {len(samples)} windows")
