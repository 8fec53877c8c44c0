"""This machine."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices.base import Sink
from edgekit.errors import DeviceError
from edgekit.measure.latency import prepare, run_together, throughput_of
from edgekit.measure.machine import describe
from edgekit.measure.plan import TIMEOUT_S, Turn

if TYPE_CHECKING:
    from edgekit.measure.latency import Job
    from edgekit.recipe import Benchmark

#: Of this machine's memory, for processes that take turns; each is taken to need so many bytes and times its file.
_MEMORY_SHARE, _EACH_BYTES, _TIMES_FILE = 0.25, 3e8, 3

#: What targets call it.
_ON_THE_CPU = ("CPU", "XNNPACK")


class LocalDevice:
    """The machine on which edgekit itself runs."""

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        """See ``Device``. The files of one target take turns, see ``pace``."""
        broken: set[int] = set()
        prepared: set[int] = set()
        for turns in side_by_side(sink.begin(describe()), jobs, _memory()):
            for turn in turns:
                if turn.job in {*broken, *prepared}:
                    continue
                try:
                    prepare(jobs[turn.job])
                    prepared.add(turn.job)
                except DeviceError as error:
                    broken.add(turn.job)
                    sink.failed(turn, str(error))
            left = [turn for turn in turns if turn.job not in broken]
            if not left:
                continue
            for turn in left:
                sink.started(turn)
            started = time.monotonic()
            results = run_together(
                [jobs[turn.job] for turn in left],
                protocol.warmup,
                protocol.runs,
                TIMEOUT_S,
                throughput_of(protocol),
            )
            each_s = (time.monotonic() - started) / len(left)
            for turn, result in zip(left, results, strict=True):
                if isinstance(result, DeviceError):
                    broken.add(turn.job)
                    sink.failed(turn, str(result))
                else:
                    sink.take(turn, result, each_s)


def side_by_side(turns: Sequence[Turn], jobs: Sequence[Job], memory: float) -> Iterator[list[Turn]]:
    """Those that are taken together: of one round and one target, as many as ``memory`` in bytes holds.

    A process that sets the governor puts it back when it ends, and a GPU's memory is not known here: these are
    measured one after another.
    """
    groups: dict[Hashable, list[Turn]] = {}
    for turn in turns:
        target = jobs[turn.job].target
        alone = target.governor is not None or target.device.upper() not in _ON_THE_CPU
        groups.setdefault((turn.round, target.name, turn.job if alone else None), []).append(turn)
    for group in groups.values():
        held, needed = list[Turn](), 0.0
        for turn in group:
            own = _EACH_BYTES + _TIMES_FILE * _size(jobs[turn.job].path)
            if held and needed + own > memory:
                yield held
                held, needed = [], 0.0
            held.append(turn)
            needed += own
        yield held


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file())


def _memory() -> float:
    return _MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
