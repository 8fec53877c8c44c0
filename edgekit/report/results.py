"""The figures that the reports show, each derived from the record's raw samples."""

from __future__ import annotations

import functools
import statistics as standard
from dataclasses import dataclass
from typing import Any

from edgekit.evaluate import statistics
from edgekit.measure.machine import fingerprint
from edgekit.record import SOURCE, Artifact, Measurement, Record
from edgekit.report import figures
from edgekit.report.figures import Shown, not_measured

FUSED = "source-fused"
#: Latency samples in seconds, one tuple a process.
Samples = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Latency:
    """One round of latency samples of one artifact, in seconds, one tuple a process.

    Attributes:
        processes: the samples.
        method: how the last process took them.
        conditions: under which the last process took them.
        each: the conditions of every process.
    """

    processes: Samples
    method: str
    conditions: dict[str, Any]
    each: tuple[dict[str, Any], ...] = ()

    @property
    def pooled(self) -> tuple[float, ...]:
        """The samples of all processes together."""
        return tuple(sample for process in self.processes for sample in process)

    @property
    def session(self) -> object:
        """Which occasion it was; none for the run that made the artifact."""
        return self.conditions.get("session")


def names(record: Record) -> list[str]:
    """Every artifact once: the source, the fused source, then the exported files in their order."""
    found = dict.fromkeys(a.name for a in record.artifacts)
    found |= dict.fromkeys(m.artifact for m in record.measurements)
    return sorted(found, key=lambda name: (name != SOURCE, name != FUSED))


def artifact(record: Record, name: str) -> Artifact | None:
    """The artifact called ``name``."""
    return next((a for a in record.artifacts if a.name == name), None)


def exported(record: Record) -> list[Artifact]:
    """The artifacts that ship, without the two models in PyTorch that they are compared with."""
    return [a for a in record.artifacts if a.name not in (SOURCE, FUSED)]


def recommended(record: Record) -> list[str]:
    """The names of the artifacts to use, one a target."""
    return [a.name for a in exported(record) if a.recommended]


def why_not(record: Record, name: str, metric: str) -> str:
    """Why ``metric`` of ``name`` has no samples."""
    for asked in (metric, "latency_s"):
        # Where latency was not taken, nothing else was that the same process measures.
        given = [m.not_measured_reason for m in record.of(name, asked) if m.not_measured_reason]
        if given:
            return given[-1]
    one = artifact(record, name)
    if one is not None and (one.status in ("failed", "not exported") or one.status.endswith("not run here")):
        return one.reason or one.status
    return "this run did not measure it"


def rounds(record: Record, name: str) -> list[Latency]:
    """The latency of one artifact on every occasion, the newest last.

    A later 'edgekit bench' adds its processes to the same record. Samples of two occasions are never pooled: the
    machine may have been in another state, or another machine. A new round begins with another ``session``, or
    with a process number that was seen before.
    """
    found: list[list[Measurement]] = []
    seen: set[object] = set()
    session: object = None
    for one in record.of(name, "latency_s"):
        if one.samples is None:
            continue
        process = one.conditions.get("process")
        if not found or process is None or process in seen or one.conditions.get("session") != session:
            found.append([])
            seen, session = set(), one.conditions.get("session")
        seen.add(process)
        found[-1].append(one)
    return [
        Latency(
            tuple(one.samples for one in part if one.samples),
            part[-1].method,
            part[-1].conditions,
            tuple(one.conditions for one in part),
        )
        for part in found
    ]


def latency(record: Record, name: str) -> Latency | None:
    """The newest round of latency samples; none where there is none."""
    found = rounds(record, name)
    return found[-1] if found else None


def machines(record: Record) -> dict[str, dict[str, Any]]:
    """By artifact, the machine of its newest latency where that is another one than the record's."""
    own, found = fingerprint(record.machine), {}
    for name in names(record):
        newest = [one.conditions.get("machine") for one in record.of(name, "latency_s")][-1:]
        if newest and isinstance(newest[0], dict) and fingerprint(newest[0]) != own:
            found[name] = newest[0]
    return found


def percentile(record: Record, name: str, q: float) -> Shown:
    """A percentile in ms with its 95 % interval, or the reason why it is not printed.

    Args:
        record: the record.
        name: the artifact.
        q: 0 to 1.
    """
    found = latency(record, name)
    if found is None:
        return not_measured(why_not(record, name, "latency_s"))
    one = statistics.quantile(found.pooled, q)
    if not one.allowed:
        why = f"p{q * 100:g} needs at least {one.least_n} runs, {one.n} were timed"
        return Shown(why=why, kind="not printed", short=f"n<{one.least_n}")
    low, high = (None if end is None else end * 1e3 for end in (one.low, one.high))
    return figures.figure(one.value * 1e3, low, high, " ms")


def speedup(record: Record, name: str) -> Shown:
    """How many times faster than the source as trained in PyTorch on the same occasion, with its interval."""
    other = latency(record, name)
    if other is None:
        return not_measured(why_not(record, name, "latency_s"))
    bases = rounds(record, SOURCE)
    base = next((one for one in reversed(bases) if one.session == other.session), None)
    if not bases:
        return not_measured(f"the source has no latency: {why_not(record, SOURCE, 'latency_s')}")
    if base is None:
        return not_measured("the source was not timed on the same occasion, and machines change between occasions")
    if name == SOURCE:
        return Shown("1 (reference)", short="1")
    return figures.figure(*_ratio(base.processes, other.processes), "x")


@functools.lru_cache(maxsize=256)
def _ratio(base: Samples, other: Samples) -> tuple[float, float, float]:
    """Over the rounds that both have. The bootstrap takes a second or so, and two reports show the same figure."""
    both = min(len(base), len(other))
    return statistics.speedup(base[:both], other[:both])


def score(record: Record, name: str, metric: str) -> Shown:
    """A figure over the test split with its 95 % interval: Wilson's of a class, else the bootstrap's."""
    one = record.value(name, metric)
    if one is None or one.samples is None:
        return not_measured(why_not(record, name, metric))
    # A bootstrap interval has no width where all images of a class are right; Wilson's has.
    bounds = one.conditions.get("wilson_95") or one.interval
    low, high = bounds if isinstance(bounds, (list, tuple)) and len(bounds) == 2 else (None, None)
    return figures.figure(one.samples[-1], low, high, places=3)


def over_processes(record: Record, name: str, metric: str) -> Shown:
    """Bytes of one process each: the median in MB, and the range in brackets when there are several."""
    newest = record.value(name, metric)
    samples = newest.samples if newest is not None else None
    if not samples:
        return not_measured(why_not(record, name, metric))
    middle = standard.median(samples) / 1e6
    low, high = min(samples) / 1e6, max(samples) / 1e6
    if len(samples) == 1:
        return Shown(figures.megabytes(samples[0]))
    return figures.figure(middle, low, high, " MB")
