"""Throughput: several streams beside one another, each of batch 1. No latency is taken from it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.measure import process
from edgekit.measure.protocol import Rates, Request

if TYPE_CHECKING:
    from edgekit.runtimes.base import Runtime, Session

_WINDOWS = 3
_WARMUP = 5


def measured(request: Request, runtime: Runtime, batches: Sequence[NDArray[np.float32]]) -> Rates | None:
    """Images a second of ``request``'s artifact; none where throughput is not asked for.

    The cores are divided among the streams. What fails here costs no other figure.
    """
    asked = request.throughput
    if asked is None:
        return None
    cores = request.target.threads or len(process.affinity())
    streams = asked.streams or cores
    each = dataclasses.replace(request.target, threads=max(1, cores // streams))
    try:
        sessions = runtime.streams(request.path, each, request.precision, streams)
        per_s = tuple(_rate(sessions, batches, asked.window_s) for _ in range(_WINDOWS))
    except Exception as error:
        # A runtime may raise anything, and the latency of the same process is already known.
        why = f"{streams} streams failed: {type(error).__name__}: {error}"
        return Rates((), streams, each.threads, asked.window_s, why)
    return Rates(per_s, streams, each.threads, asked.window_s)


def _rate(sessions: Sequence[Session], batches: Sequence[NDArray[np.float32]], window_s: float) -> float:
    """Inferences that all sessions together finish in a window, over the time until the last one has."""
    counts, errors, started = [0] * len(sessions), [], [time.perf_counter()]

    def begin() -> None:
        # Before any stream is let go: this thread may get a core again long after they began.
        started[0] = time.perf_counter()

    ready = threading.Barrier(len(sessions) + 1, action=begin)
    over = threading.Event()

    def stream(index: int, session: Session) -> None:
        turn = itertools.islice(itertools.cycle(batches), index, None)
        try:
            for _ in range(_WARMUP):
                session.run(next(turn))
            ready.wait()
            while not over.is_set():
                session.run(next(turn))
                counts[index] += 1
        except Exception as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=stream, args=one, daemon=True) for one in enumerate(sessions)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        ready.wait()
        over.wait(window_s)
    over.set()
    for thread in threads:
        thread.join()
    if errors:
        # The first one; where a stream failed, the others only say that they waited for it in vain.
        raise errors[0]
    return sum(counts) / (time.perf_counter() - started[0])
