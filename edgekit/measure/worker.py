"""The process that measures one artifact: ``python -m edgekit.measure.worker REQUEST.json RESULT.json``.

It loads one artifact through one runtime and nothing else, so that its memory and its timing are the artifact's
own. It writes a ``WorkerResult``, or ``{"error": text}`` and ends with exit code 5. It needs the standard
library, numpy and the runtime.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit import environment
from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.measure import energy, pace, process, setting, throughput, timing
from edgekit.measure.device_memory import device_memory
from edgekit.measure.protocol import ExecutedPrecision, Request, Setting, WorkerResult
from edgekit.measure.spawn import PARENT

if TYPE_CHECKING:
    from edgekit.runtimes.base import Runtime


def measure(request: Request, get: Callable[[str], Runtime]) -> WorkerResult:
    """Measure one artifact in this process.

    Args:
        request: what to measure.
        get: gives the runtime of a name; its call is timed as part of loading, so it imports the runtime.

    Raises:
        EdgekitError: the inputs or the artifact cannot be loaded, or it does not give logits.
    """
    with setting.applied(request.target.cores, request.target.governor) as not_set:
        return _measure(request, get, not_set)


def _measure(request: Request, get: Callable[[str], Runtime], not_set: dict[str, str]) -> WorkerResult:
    batches = _batches(request.inputs)
    harness_s = timing.harness_s(batches)
    rss_empty = process.rss_bytes()
    started = time.perf_counter()
    runtime = get(request.runtime)
    session = runtime.load(request.path, request.target, request.precision)
    load_s = time.perf_counter() - started
    rss_loaded = process.rss_bytes()

    started = time.perf_counter()
    first = session.run(batches[0])
    first_s = time.perf_counter() - started
    spatial = batches[0].shape[2:]
    if first.ndim < 2 or first.shape[0] != 1 or first.shape[2:] not in ((), spatial):
        wanted = f"[1, classes] or [1, classes, {', '.join(map(str, spatial))}]"
        raise DeviceError(f"the artifact gave an output of shape {list(first.shape)} for one input, not {wanted}")
    over = None if request.turns is None else pace.Turns(request.turns).over
    found = timing.timed(session.run, batches, request.warmup, request.runs, over)
    peak = process.peak_rss_bytes()
    on_gpu = _on_gpu(request.target)
    held, why_not = device_memory() if on_gpu else (None, None)

    # After the peak was read: what the runtime tells of itself, and the energy, cost memory of their own.
    told = dataclasses.asdict(session.executed())
    turn = itertools.cycle(batches)
    return WorkerResult(
        samples_s=found.samples_s,
        load_s=load_s,
        first_s=first_s,
        rss_empty_bytes=rss_empty,
        rss_loaded_bytes=rss_loaded,
        rss_peak_bytes=peak,
        context_switches_involuntary=found.switches,
        cpu_s=found.cpu_s,
        wall_s=found.wall_s,
        steal_ticks=found.steal_ticks,
        clock_mhz_before=found.clock_mhz[0],
        clock_mhz_after=found.clock_mhz[1],
        threads=request.target.threads or len(process.affinity()),
        executed=ExecutedPrecision(**told),
        energy=energy.measured(request.target.energy_meter, on_gpu, lambda: session.run(next(turn))),
        harness_s=harness_s,
        cores=process.affinity(),
        not_set=not_set,
        temperature_c_before=found.temperature_c[0],
        temperature_c_after=found.temperature_c[1],
        cpu_quota_throttled=found.throttled,
        device_bytes=held,
        device_bytes_reason=why_not,
        throughput=throughput.measured(request, runtime, batches),
        alternated=over is not None,
    )


def _batches(path: Path) -> list[NDArray[np.float32]]:
    """The images of ``path`` as separate batches of one ``float32[1, C, *spatial]``, each a copy of its own."""
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as a .npy file: {error}", where=str(path)) from None
    whole = isinstance(images, np.ndarray) and images.dtype == np.float32 and images.ndim in (4, 5) and len(images)
    if not whole:
        rule = "must hold float32[images, channels, height, width], or volumes, at least one"
        raise InputError(rule, where=str(path))
    return [images[index : index + 1].copy() for index in range(images.shape[0])]


def _on_gpu(target: Setting) -> bool:
    return target.runtime == "tensorrt" or target.device.upper().startswith(("CUDA", "TENSORRT"))


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that started it.

    Otherwise a measurement whose pipeline was killed would go on, beside those of the pipeline's next start.
    """
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = os.environ.get(PARENT)
    if parent is not None and parent != str(os.getppid()):
        os._exit(DeviceError.exit_code)  # it ended before it could be asked for


def main(arguments: list[str]) -> int:
    """Run one request; returns the exit code."""
    _die_with_parent()
    if len(arguments) != 2:
        print("usage: python -m edgekit.measure.worker REQUEST.json RESULT.json", file=sys.stderr)
        return 2
    environment.no_telemetry()
    result = Path(arguments[1])
    try:
        request = Request.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
        if request.prepare:
            _get(request.runtime).prepare(request.path, request.target, request.precision)
            text = "{}"
        else:
            text = measure(request, _get).to_json()
        code = 0
    except EdgekitError as error:
        text, code = json.dumps({"error": str(error)}), 5
    except Exception as error:
        # A runtime may raise anything; the parent shows this line, and the traceback goes to its log.
        import traceback

        traceback.print_exc()
        text, code = json.dumps({"error": f"{type(error).__name__}: {error}"}), 5
    temporary = result.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(result)
    return code


def _get(name: str) -> Runtime:
    from edgekit.runtimes import get

    return get(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
