"""This machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.devices.base import Sink
from edgekit.errors import DeviceError
from edgekit.measure.latency import prepare, run_once, throughput_of
from edgekit.measure.machine import describe
from edgekit.measure.plan import TIMEOUT_S

if TYPE_CHECKING:
    from edgekit.measure.latency import Job
    from edgekit.recipe import Benchmark


class LocalDevice:
    """The machine on which edgekit itself runs."""

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        """See ``Device``."""
        broken, prepared = set(), set()
        for turn in sink.begin(describe()):
            if turn.job in broken:
                continue
            sink.started(turn)
            started = time.monotonic()
            try:
                if turn.job not in prepared:
                    prepare(jobs[turn.job])
                    prepared.add(turn.job)
                    started = time.monotonic()
                result = run_once(
                    jobs[turn.job], protocol.warmup, protocol.runs, TIMEOUT_S, throughput_of(protocol)
                )
            except DeviceError as error:
                broken.add(turn.job)
                sink.failed(turn, str(error))
                continue
            sink.take(turn, result, time.monotonic() - started)
