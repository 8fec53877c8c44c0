"""What an inference costs: time and memory."""

from __future__ import annotations

import statistics as standard

from edgekit.evaluate import statistics
from edgekit.evaluate.dependence import autocorrelation, effective_samples
from edgekit.evaluate.early_stopping import SINGLE_STREAM, single_stream
from edgekit.evaluate.random_effects import RandomEffects, of_processes
from edgekit.record import Record
from edgekit.report import figures, headline, results, stability
from edgekit.report.figures import Shown, not_measured, not_recorded
from edgekit.report.items import Item, per_artifact
from edgekit.report.plain import dig

#: Not beside the latency: another mode, in which single images wait longer.
_THROUGHPUT = "Throughput, in a mode of its own (median and range of the windows)"


def latency(record: Record) -> list[Item]:
    """p50, p90 and p99 where the samples allow them, variance between processes, drift."""
    names = results.names(record)
    cases = [per_artifact("p50 of a whole case", names, lambda name: _of_case(record, name))]
    streamed = [name for name in names if record.of(name, "throughput_per_s")]
    title = "MLPerf single stream (90th percentile, LoadGen's early-stopping estimate)"
    single = [per_artifact(title, names, lambda name: _single_stream(record, name))]
    return [
        per_artifact("p50", names, lambda name: results.percentile(record, name, 0.5)),
        per_artifact("p90", names, lambda name: results.percentile(record, name, 0.9)),
        per_artifact("p99", names, lambda name: results.percentile(record, name, 0.99)),
        *(single if dig(record.recipe, "benchmark", "mlperf_single_stream") is True else []),
        *(cases if headline.segments(record) else []),
        per_artifact(
            "Variance across runs (standard deviation of p50 between processes)",
            names,
            lambda name: _between(record, name),
        ),
        per_artifact(
            "Dependence of the runs (lag-1 autocorrelation, median of the processes; effective sample size)",
            names,
            lambda name: _dependence(record, name),
        ),
        per_artifact(
            "Throttling or drift (p50 of the last third of the runs against the first, process with the largest)",
            names,
            lambda name: _drift(record, name),
        ),
        per_artifact("Stability", names, lambda name: _stability(record, name), prose=True),
        per_artifact("Loading, and the first inference", names, lambda name: _cold(record, name)),
        *([per_artifact(_THROUGHPUT, streamed, lambda name: _throughput(record, name))] if streamed else []),
    ]


def _throughput(record: Record, name: str) -> Shown:
    found = record.value(name, "throughput_per_s")
    if found is None or not found.samples:
        return not_measured(results.why_not(record, name, "throughput_per_s"))
    low, high = min(found.samples), max(found.samples)
    rate = figures.figure(standard.median(found.samples), low, high, " images a second")
    streams, threads = found.conditions.get("streams"), found.conditions.get("threads")
    if not isinstance(streams, int) or not isinstance(threads, int):
        return rate
    each = figures.counted(threads, "thread")
    return Shown(f"{rate.value}, {figures.counted(streams, 'stream')} of batch 1 with {each} each")


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
    text = f"{figures.milliseconds(deviation)}; range {figures.number(spread, 2)} %, {count} processes"
    model = of_processes(one.processes)
    if model is None:
        return Shown(text)
    centre = figures.figure(model.mean * 1e3, model.low * 1e3, model.high * 1e3, " ms")
    return Shown(f"{text}; random effects: {_part(model)}, p50 over processes {centre.value}")


def _part(model: RandomEffects) -> str:
    """What of the differences the noise within the processes does not explain."""
    if model.between_std == 0.0:
        return "none beyond the noise within the processes"
    return f"standard deviation {figures.milliseconds(model.between_std)} beyond the noise within them"


def _dependence(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    found = [r for process in one.processes if (r := autocorrelation(process)) is not None]
    if not found:
        return not_measured("too few runs, or all equal")
    worth = sum(effective_samples(process) for process in one.processes)
    return Shown(f"{standard.median(found):+.2f}; {len(one.pooled)} runs are worth {worth:.0f} independent ones")


def _drift(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    worst = stability.worst_drift(one)
    if worst is None:
        return not_measured("too few runs to compare the first third with the last")
    ends = (worst.low, worst.high)
    bounds = "" if None in ends else " ({} to {})".format(*(f"{(end - 1) * 100:+.1f}" for end in ends if end))
    seen = "drift seen" if worst.seen else "none seen"
    return Shown(f"{(worst.ratio - 1) * 100:+.1f} %{bounds}, {seen}; {_clock(record, name)}")


def _clock(record: Record, name: str) -> str:
    said = []
    for key, unit, what in (("clock_mhz", "MHz", "clock"), ("temperature_c", "°C", "temperature")):
        one = results.latency(record, name)
        before, after = (one.conditions.get(f"{key}_{when}") if one else None for when in ("before", "after"))
        if isinstance(before, (int, float)) and isinstance(after, (int, float)):
            said.append(f"{what} {before:.0f} to {after:.0f} {unit}")
        else:
            said.append(f"{what} not readable")
    return ", ".join(said)


def _stability(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    return stability.of(one).shown


def _single_stream(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    estimate = single_stream(one.pooled)
    if estimate is None:
        return not_measured(
            f"it needs {statistics.least_samples(SINGLE_STREAM)} runs, {len(one.pooled)} were timed"
        )
    return Shown(figures.milliseconds(estimate))


def memory(record: Record) -> list[Item]:
    """Size on disk, peak of the process, what the runtime added."""
    names = results.names(record)
    files = [one.name for one in record.artifacts]
    on_gpu = [name for name in names if record.of(name, "device_memory_bytes")]
    title = "Memory of the device (held on the GPU after the timed runs)"
    device = [per_artifact(title, on_gpu, lambda name: results.over_processes(record, name, "device_memory_bytes"))]
    return [
        per_artifact("Model size on disk", files, lambda name: size(record, name)),
        per_artifact(
            "Peak runtime memory (median and range of the processes)",
            names,
            lambda name: results.over_processes(record, name, "peak_rss_bytes"),
        ),
        per_artifact(
            "Peak of the runtime above the empty process",
            names,
            lambda name: results.over_processes(record, name, "runtime_peak_rss_bytes"),
        ),
        per_artifact(
            "Additional runtime or compiler buffers",
            names,
            lambda name: results.over_processes(record, name, "runtime_rss_bytes"),
        ),
        *(device if on_gpu else []),
    ]


def size(record: Record, name: str) -> Shown:
    """Bytes of the artifact on disk, in MB."""
    one = results.artifact(record, name)
    if one is None or one.size_bytes <= 0:
        return not_measured("there is no file of it")
    return Shown(figures.megabytes(one.size_bytes), short=figures.number(one.size_bytes / 1e6))
