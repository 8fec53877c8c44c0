"""Latency and memory of one artifact, each time in a fresh process, and the measurements made of them.

The caller takes the artifacts in turn, one process of each a round, so that a change of the machine's speed
meets them all. Those that are compared take turns within a round as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import environment
from edgekit.errors import DeviceError
from edgekit.measure import answers, joules, spawn
from edgekit.measure.plan import PREPARE_TIMEOUT_S
from edgekit.measure.protocol import Request, Setting, Throughput, WorkerResult
from edgekit.measure.timing import AWAKE_S, TURN_S
from edgekit.record import Measurement
from edgekit.runtimes import get
from edgekit.store import PACKAGE
from edgekit.target import Precision, Target

if TYPE_CHECKING:
    from edgekit.recipe import Benchmark

#: -P: a file of the user's working folder, such as 'json.py', must not take the place of a module.
_COMMAND = (sys.executable, "-P", "-m", "edgekit.measure.worker")
_SCOPE = (
    "inference only: call to return, the input in memory and read once before, the output in memory; preprocessing "
    "excluded"
)
#: How a process's runs lie in time where others took turns with it.
_ALTERNATED = (
    f"in turn with the processes of the target's other files, {TURN_S:g} s or a block of runs at a time, after "
    f"{AWAKE_S:g} s of runs that are not timed"
)


@dataclass(frozen=True)
class Job:
    """One artifact to measure.

    Attributes:
        artifact: its name in the record.
        runtime: the name of the runtime that loads it.
        path: its file or folder.
        target: the target; threads, device, options and energy meter count.
        precision: the one requested.
        inputs: .npy of preprocessed images, float32 ``[k, C, H, W]``.
    """

    artifact: str
    runtime: str
    path: Path
    target: Target
    precision: Precision
    inputs: Path


def throughput_of(benchmark: Benchmark) -> Throughput | None:
    """What of the recipe's ``benchmark.throughput`` travels."""
    asked = benchmark.throughput
    return None if asked is None else Throughput(asked.streams, asked.window_s)


def run_once(
    job: Job, warmup: int, runs: int, timeout_s: float, throughput: Throughput | None = None
) -> WorkerResult:
    """Measure ``job`` once, in a process of its own; see ``run_together``.

    Raises:
        DeviceError: it failed, died or took too long; with the last lines that it wrote.
    """
    (found,) = run_together([job], warmup, runs, timeout_s, throughput)
    if isinstance(found, DeviceError):
        raise found
    return found


def run_together(
    jobs: Sequence[Job], warmup: int, runs: int, timeout_s: float, throughput: Throughput | None = None
) -> list[WorkerResult | DeviceError]:
    """Measure each of ``jobs`` once, in a process of its own; several take turns, see ``pace``.

    Args:
        jobs: the artifacts.
        warmup: runs before the timed ones.
        runs: timed runs.
        timeout_s: seconds at a stretch after which a process is ended.
        throughput: measured too, after the latency.

    Returns:
        By job, what was measured, or why nothing was.
    """
    orders = [
        spawn.Order(job.artifact, replace(_request(job, warmup, runs), throughput=throughput)) for job in jobs
    ]
    texts = spawn.fresh_processes(_COMMAND, orders, _environment(), timeout_s)
    found: list[WorkerResult | DeviceError] = []
    for job, text in zip(jobs, texts, strict=True):
        try:
            found.append(text if isinstance(text, DeviceError) else answers.worker_result(text, runs, job.artifact))
        except DeviceError as error:
            found.append(error)
    return found


def prepare(job: Job) -> None:
    """Build what ``job``'s runtime needs on this machine, where it needs something, in a process of its own.

    Raises:
        DeviceError: it failed, died or took too long.
    """
    if get(job.runtime).prepares:
        request = replace(_request(job, 1, 1), prepare=True)
        spawn.fresh_process(_COMMAND, request, _environment(), PREPARE_TIMEOUT_S, job.artifact)


def _request(job: Job, warmup: int, runs: int) -> Request:
    return Request(
        runtime=job.runtime,
        path=job.path.resolve(),
        target=Setting.of(job.target),
        precision=job.precision,
        inputs=job.inputs.resolve(),
        warmup=warmup,
        runs=runs,
    )


def _environment() -> dict[str, str]:
    """This process's environment, without telemetry, and with the checkout that this process runs from.

    Thread counts are left as they are: they come from the target, through the runtime.
    """
    env = environment.of_a_measuring_process()
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").exists():
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(checkout), env.get("PYTHONPATH"))))
    return env


def measurements(job: Job, results: Sequence[WorkerResult], benchmark: Benchmark) -> list[Measurement]:
    """What ``results``, one a process and in their order, say of one artifact.

    Returns:
        ``latency_s`` once a process, with all its samples; then ``load_s``, ``first_inference_s``,
        ``peak_rss_bytes``, ``runtime_rss_bytes``, ``runtime_peak_rss_bytes`` and ``harness_s``, each with one
        sample a process, and on a GPU ``device_memory_bytes``; ``throughput_per_s``, where it was asked for, and
        ``energy_j`` with one a window.

    Raises:
        DeviceError: there are no results.
    """
    if not results:
        raise DeviceError("no process gave a result", where=job.artifact)
    rows = [_latency(job, index, one, len(results), benchmark) for index, one in enumerate(results)]
    for metric, unit, method, pick in _SINGLE:
        rows.append(
            Measurement(
                artifact=job.artifact,
                metric=metric,
                unit=unit,
                samples=tuple(pick(one) for one in results),
                method=method,
                conditions={**_shared(job, results[0]), "processes": len(results)},
            )
        )
    rows += [*_device_memory(job, results), *_throughput(job, results)]
    return [*rows, *joules.measurements(job.artifact, [one.energy for one in results], _shared(job, results[0]))]


_SINGLE: tuple[tuple[str, str, str, Callable[[WorkerResult], float]], ...] = (
    (
        "load_s",
        "s",
        "import of the runtime and loading of the artifact in a fresh process, files possibly in the page cache",
        lambda one: one.load_s,
    ),
    ("first_inference_s", "s", "wall time of the first inference after loading", lambda one: one.first_s),
    (
        "peak_rss_bytes",
        "byte",
        "highest resident memory of the process (VmHWM, or ru_maxrss off Linux), Python and the inputs included",
        lambda one: one.rss_peak_bytes,
    ),
    (
        "runtime_rss_bytes",
        "byte",
        "resident memory after loading the artifact less that before importing the runtime",
        lambda one: one.rss_loaded_bytes - one.rss_empty_bytes,
    ),
    (
        "runtime_peak_rss_bytes",
        "byte",
        "highest resident memory of the process less that before importing the runtime, Python and inputs",
        lambda one: one.rss_peak_bytes - one.rss_empty_bytes,
    ),
    (
        "harness_s",
        "s",
        "p50 of what the timing loop itself adds to a run: the null runtime, timed in the same process",
        lambda one: one.harness_s,
    ),
)


def _device_memory(job: Job, results: Sequence[WorkerResult]) -> list[Measurement]:
    """Of those that ran on a GPU; the memory of a CPU is that of the process."""
    held = tuple(float(one.device_bytes) for one in results if one.device_bytes is not None)
    reason = next((one.device_bytes_reason for one in results if one.device_bytes_reason), None)
    if not held and reason is None:
        return []
    return [
        Measurement(
            artifact=job.artifact,
            metric="device_memory_bytes",
            unit="byte",
            samples=held or None,
            not_measured_reason=None if held else reason,
            method="memory that the process holds on the GPU after the timed runs, as its driver tells",
            conditions={**_shared(job, results[0]), "processes": len(results)},
        )
    ]


def _throughput(job: Job, results: Sequence[WorkerResult]) -> list[Measurement]:
    """Where it was asked for: one sample a window."""
    found = [one.throughput for one in results if one.throughput is not None]
    if not found:
        return []
    samples = tuple(rate for one in found for rate in one.per_s)
    reason = next((one.not_measured_reason for one in found if one.not_measured_reason), None)
    each = {"streams": found[0].streams, "threads": found[0].threads, "window_s": found[0].window_s}
    return [
        Measurement(
            artifact=job.artifact,
            metric="throughput_per_s",
            unit="1/s",
            samples=samples or None,
            not_measured_reason=None if samples else reason,
            method="images that all streams together finish in a window, each stream of batch 1; throughput mode",
            conditions={**_shared(job, results[0]), **each, "processes": len(results)},
        )
    ]


def _shared(job: Job, one: WorkerResult) -> dict[str, Any]:
    return {"batch": 1, "threads": one.threads, "device": job.target.device, "power_mode": job.target.power_mode}


def _latency(job: Job, index: int, one: WorkerResult, processes: int, benchmark: Benchmark) -> Measurement:
    return Measurement(
        artifact=job.artifact,
        metric="latency_s",
        unit="s",
        samples=one.samples_s,
        method="wall time of each run in a fresh process, time.perf_counter_ns, nothing left out, latency mode",
        conditions={
            **_shared(job, one),
            "process": index,
            "processes": processes,
            "warmup": benchmark.warmup,
            "runs": len(one.samples_s),
            "timed": _SCOPE,
            **({"alternated": _ALTERNATED} if one.alternated else {}),
            "synchronization": "the call returns when the logits are in host memory",
            "context_switches_involuntary": one.context_switches_involuntary,
            "cpu_s": one.cpu_s,
            "wall_s": one.wall_s,
            "steal_ticks": one.steal_ticks,
            "clock_mhz_before": one.clock_mhz_before,
            "clock_mhz_after": one.clock_mhz_after,
            "precision_executed": one.executed.precision,
            "temperature_c_before": one.temperature_c_before,
            "temperature_c_after": one.temperature_c_after,
            "cpu_quota_throttled": one.cpu_quota_throttled,
            "harness_s": one.harness_s,
            "cores": list(one.cores),
            "not_set": one.not_set,
            **({"built": one.executed.built} if one.executed.built else {}),
            "rss_empty_bytes": one.rss_empty_bytes,
            "rss_loaded_bytes": one.rss_loaded_bytes,
            "rss_peak_bytes": one.rss_peak_bytes,
        },
    )
