"""What an inference costs in energy: how it was measured, the idle power, joules, their variance."""

from __future__ import annotations

import statistics as standard

from edgekit.evaluate.repeats import repeated
from edgekit.record import Measurement, Record
from edgekit.report import figures, results
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_measured, not_recorded
from edgekit.report.items import Item, per_artifact
from edgekit.report.plain import words

#: The metric of an estimate, which is never shown without the word.
_ESTIMATED = "energy_estimated_j"


def items(record: Record) -> list[Item]:
    """Method, idle power, joules, their variance; an estimate, where the target asked for one, apart."""
    names = results.names(record)
    estimated = [name for name in names if record.value(name, _ESTIMATED) is not None]
    found = [
        per_artifact("Measurement method", names, lambda name: _meter(record, name)),
        per_artifact("Idle power subtracted", names, lambda name: _idle(record, name)),
        per_artifact("Energy per inference", names, lambda name: _joules(record, name)),
        per_artifact("Variance of energy", names, lambda name: _variance(record, name)),
    ]
    if estimated:
        title = "Energy per inference, estimated from the rated power and not measured"
        found.append(per_artifact(title, estimated, lambda name: _estimate(record, name)))
    return found


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
    missing = found.conditions.get("processes_without")
    if missing:
        known.append(f"{len(missing)} processes gave no figure: {words(missing[0])}")
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
    found = record.value(name, "energy_j")
    if found is None:
        return _without(record, name)
    values, what = _repetitions(found)
    one = repeated(values)
    shown = figures.figure(one.mean, one.low, one.high, " J")
    if one.low is None or one.high is None:
        return Shown(f"{shown.value}, of one window and so without interval")
    said = f"{shown.value}, over {figures.counted(one.n, what)}"
    if one.low <= 0.0:
        said += "; the interval holds 0: not told apart from the idle power by these windows"
    return Shown(said)


def _repetitions(found: Measurement) -> tuple[list[float], str]:
    """The mean of each process, since its windows share its state; the windows where there is one process."""
    samples = list(found.samples or ())
    processes = _windows(found, "process")
    if len(processes) != len(samples) or len(set(processes)) < 2:
        return samples, "window"
    of_each = [
        standard.fmean(joules for joules, process in zip(samples, processes, strict=True) if process == one)
        for one in dict.fromkeys(processes)
    ]
    return of_each, "process"


def _variance(record: Record, name: str) -> Shown:
    found = record.value(name, "energy_j")
    if found is None:
        return _without(record, name)
    values, what = _repetitions(found)
    if len(values) < 2:
        return not_measured("one window was measured, and variance needs at least two")
    return Shown(
        f"standard deviation {figures.number(standard.stdev(values))} J over {figures.counted(len(values), what)}"
    )


def _estimate(record: Record, name: str) -> Shown:
    found = record.value(name, _ESTIMATED)
    if found is None or not found.samples:
        return _without(record, name)
    middle = standard.median(found.samples)
    source = words(found.conditions.get("source"))
    return Shown(f"estimated {figures.number(middle)} J ({source}; {words(found.conditions.get('scope'))})")
