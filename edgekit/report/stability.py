"""Whether a latency was stable while it was taken, in words, with what was seen.

The samples tell of drift, of processes that differ, and of a heavy tail. What the operating system counted
meanwhile tells of throttling and of neighbours.
"""

from __future__ import annotations

import statistics as standard
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.evaluate.drift import Drift, drift
from edgekit.evaluate.random_effects import of_processes
from edgekit.evaluate.statistics import least_samples, median_interval
from edgekit.evaluate.tail import FACTOR, SEVERE, tail
from edgekit.report import figures
from edgekit.report.figures import Shown, not_measured
from edgekit.report.results import Latency

#: Medians of processes that lie farther apart than this share of their middle, and than their noise explains.
SPREAD = 0.05
#: A clock that falls by this share while the runs last.
_CLOCK = 0.05
#: Share of the cores' time that the hypervisor took, from this many ticks on: one is 10 ms, and a run may be 0.2 s.
_STEAL, _STEAL_TICKS = 0.02, 3
_TICKS_PER_S = 100
#: Involuntary context switches a second. A process alone sees some dozens; one that shares its cores hundreds.
_SWITCHES = 200.0


@dataclass(frozen=True)
class Stability:
    """What was seen.

    Attributes:
        causes: why the latency is called unstable; empty where it is stable.
        remarks: what was seen and does not make it so.
        judged: whether there were samples enough to say anything.
    """

    causes: tuple[str, ...]
    remarks: tuple[str, ...]
    judged: bool

    @property
    def unstable(self) -> bool:
        """Whether something was seen that a reader of the figure must know."""
        return bool(self.causes)

    @property
    def shown(self) -> Shown:
        """``unstable: ...``, ``stable``, or why neither can be said."""
        if self.causes:
            return Shown(f"unstable: {'; '.join((*self.causes, *self.remarks))}")
        if not self.judged:
            return not_measured("too few runs to tell stable from unstable")
        return Shown("; ".join(("stable", *self.remarks)))


def of(latency: Latency) -> Stability:
    """The verdict on one round of samples."""
    least = least_samples(0.5)
    judged = all(len(process) >= least for process in latency.processes)
    causes = [*_drift(latency), *_between(latency), *_throttling(latency), *_neighbours(latency)]
    remarks: list[str] = []
    slow = tail(latency.pooled)
    if slow.heavy:
        factor = SEVERE if slow.severe else FACTOR
        text = f"heavy tail: {100 * slow.share:.1f} % of the runs took more than {factor:g} times the p50, "
        (causes if slow.severe else remarks).append(f"{text}the slowest {figures.number(slow.slowest, 2)} times")
    return Stability(tuple(causes), tuple(remarks), judged)


def worst_drift(latency: Latency) -> Drift | None:
    """Of the processes, the one whose thirds differ most; none where all have too few samples."""
    found = [one for process in latency.processes if (one := drift(process)) is not None]
    return max(found, key=lambda one: (one.seen, abs(one.ratio - 1.0)), default=None)


def _drift(latency: Latency) -> Iterator[str]:
    seen = [one for process in latency.processes if (one := drift(process)) is not None and one.seen]
    if seen:
        worst = max(seen, key=lambda one: abs(one.ratio - 1.0))
        way = "slower" if worst.ratio > 1 else "faster"
        count = f" ({len(seen)} of {len(latency.processes)} processes)" if len(latency.processes) > 1 else ""
        yield (
            f"drift: the last third of the runs was {100 * abs(worst.ratio - 1):.0f} % {way} than the first{count}"
        )


def _between(latency: Latency) -> Iterator[str]:
    model = of_processes(latency.processes)
    if model is None or model.between_std == 0.0:
        return
    ends = [median_interval(process, len(process)) for process in latency.processes]
    medians = [middle for middle, _, _ in ends]
    spread = (max(medians) - min(medians)) / standard.median(medians)
    if spread > SPREAD and model.between_std > model.within_std:
        low, high = (figures.milliseconds(end) for end in (min(medians), max(medians)))
        yield f"the processes differ: their p50 lie between {low} and {high} ({100 * spread:.0f} %)"


def _throttling(latency: Latency) -> Iterator[str]:
    falls = []
    for one in latency.each:
        before, after = _number(one, "clock_mhz_before"), _number(one, "clock_mhz_after")
        if before and after and after < before * (1 - _CLOCK):
            falls.append((before, after))
    if falls:
        before, after = min(falls, key=lambda pair: pair[1] / pair[0])
        yield f"throttling: the clock fell from {before:.0f} to {after:.0f} MHz"
    held = sum(int(_number(one, "cpu_quota_throttled") or 0) for one in latency.each)
    if held:
        yield f"throttling: the CPU quota of its control group held the process {figures.counted(held, 'time')}"


def _neighbours(latency: Latency) -> Iterator[str]:
    stolen, rates = [0.0], [0.0]
    for one in latency.each:
        wall_s = _number(one, "wall_s")
        if not wall_s:
            continue
        ticks = _number(one, "steal_ticks") or 0
        if ticks >= _STEAL_TICKS:
            stolen.append(ticks / _TICKS_PER_S / (wall_s * max(1.0, _number(one, "threads") or 1.0)))
        rates.append((_number(one, "context_switches_involuntary") or 0) / wall_s)
    if max(stolen) > _STEAL:
        yield f"noisy neighbours: the hypervisor took {100 * max(stolen):.0f} % of the cores' time (steal)"
    if max(rates) > _SWITCHES:
        yield f"noisy neighbours: other work took a core {max(rates):.0f} times a second (involuntary switches)"


def _number(conditions: Mapping[str, Any], key: str) -> float | None:
    value = conditions.get(key)
    return value if isinstance(value, (int, float)) else None
