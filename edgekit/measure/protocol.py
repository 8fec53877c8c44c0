"""What a measuring process is asked, and what it answers. Both travel as JSON files.

Nothing here needs more than the standard library, because the same code measures on devices that have no pydantic.
What comes back is checked by ``answers``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.target import Precision, Target

#: Version of these messages. It is the record's: an answer is the raw part of a record.
FORMAT = 1
#: How ``answers`` checks a message: no key that it does not know, no figure that is not finite.
_CHECKED = {"extra": "forbid", "allow_inf_nan": False, "strict": True}


@dataclass(frozen=True)
class Setting:
    """What of a target the measuring process needs; the fields have the names and the meaning of ``Target``'s."""

    name: str
    runtime: str
    device: str
    precisions: tuple[str, ...]
    threads: int
    power_mode: str | None
    energy_meter: str | dict[str, Any]
    options: dict[str, str | int | float | bool]
    cores: tuple[int, ...] | None = None
    governor: str | None = None

    @classmethod
    def of(cls, target: Target) -> Setting:
        """The part of ``target`` that travels."""
        given = {one.name: getattr(target, one.name) for one in fields(cls)}
        if not isinstance(target.energy_meter, str):
            given["energy_meter"] = target.energy_meter.model_dump(mode="json")
        return cls(**given)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Setting:
        """What ``asdict`` and JSON made of one; raises ``TypeError`` or ``KeyError`` on anything else."""
        cores = data.get("cores")
        lists = {"precisions": tuple(data["precisions"]), "cores": None if cores is None else tuple(cores)}
        return cls(**{**data, **lists})


@dataclass(frozen=True)
class Throughput:
    """What is asked of throughput: how many streams, 0 for one a core, and seconds of a window."""

    streams: int
    window_s: float


@dataclass(frozen=True)
class Request:
    """One artifact to measure in one process.

    Attributes:
        runtime: the one that loads it.
        path: its file or folder, absolute.
        target: threads, device, options and meter.
        precision: the one requested.
        inputs: .npy of preprocessed images, float32 ``[k, C, *spatial]``; they are used in turn.
        warmup: runs before the timed ones, at least 1.
        runs: timed runs, at least 1.
        prepare: build what the runtime needs on this device, and measure nothing.
        throughput: measured too, after the latency; none: not.
        turns: file descriptor of the link over which this process and others are told when to go on (``pace``);
            none: it measures alone.
    """

    runtime: str
    path: Path
    target: Setting
    precision: Precision
    inputs: Path
    warmup: int
    runs: int
    prepare: bool = False
    throughput: Throughput | None = None
    turns: int | None = None

    def to_json(self) -> str:
        """As ``from_json`` reads it."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """What ``to_json`` wrote; raises ``TypeError``, ``ValueError`` or ``KeyError`` on anything else."""
        data: dict[str, Any] = json.loads(text)
        asked = data.get("throughput")
        made = {
            "path": Path(data["path"]),
            "inputs": Path(data["inputs"]),
            "target": Setting.from_plain(data["target"]),
            "throughput": None if asked is None else Throughput(**asked),
        }
        return cls(**{**data, **made})


@dataclass(frozen=True)
class ExecutedPrecision:
    """``runtimes.base.Executed`` as JSON."""

    __pydantic_config__ = _CHECKED

    precision: str
    how: str
    layers: dict[str, int] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    macs: dict[str, int] = field(default_factory=dict)
    built: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyWindow:
    """Energy of one busy window.

    Attributes:
        joules_per_inference: (busy_j - idle_w * window_s) / count. It may be below 0 where the work costs less
            than the noise of the idle power; it is not clipped.
        idle_w: mean power of the process's idle window; none for an estimate.
        busy_j: joules of the busy window, idle power included.
        count: inferences in it.
        window_s: its length.
        idle_s: length of the idle window; none for an estimate.
    """

    __pydantic_config__ = _CHECKED

    joules_per_inference: float
    idle_w: float | None
    busy_j: float
    count: int
    window_s: float
    idle_s: float | None


@dataclass(frozen=True)
class EnergySpan:
    """When a window was, for a meter that is read afterwards: seconds since 1970, seconds, inferences."""

    __pydantic_config__ = _CHECKED

    start_utc_s: float
    seconds: float
    count: int


@dataclass(frozen=True)
class Energy:
    """Energy of one process's busy windows, or the reason why there is none.

    Attributes:
        not_measured_reason: why there are no windows.
        windows: the busy ones.
        spans: the idle window and the busy ones, for an external meter whose file is still to be read.
        source: where the joules come from.
        scope: what they include.
        estimated: whether they follow from a rated power and nothing was measured.
    """

    __pydantic_config__ = _CHECKED

    not_measured_reason: str | None = None
    windows: tuple[EnergyWindow, ...] = ()
    spans: tuple[EnergySpan, ...] = ()
    source: str | None = None
    scope: str | None = None
    estimated: bool = False


@dataclass(frozen=True)
class Rates:
    """Images a second of each window, or why there are none.

    Attributes:
        per_s: one figure a window.
        streams: how many ran beside one another.
        threads: of each stream.
        window_s: least length of a window.
        not_measured_reason: why ``per_s`` is empty.
    """

    __pydantic_config__ = _CHECKED

    per_s: tuple[float, ...]
    streams: int
    threads: int
    window_s: float
    not_measured_reason: str | None = None


@dataclass(frozen=True)
class WorkerResult:
    """What one fresh process measured on one artifact.

    Attributes:
        samples_s: wall time of each timed run, in order, nothing left out.
        load_s: import of the runtime and loading of the artifact.
        first_s: the first inference.
        rss_empty_bytes: resident memory before the runtime is imported, inputs in memory.
        rss_loaded_bytes: after loading, before the first inference.
        rss_peak_bytes: highest resident memory of the process up to the last timed run.
        context_switches_involuntary: during the timed runs, all threads.
        cpu_s: CPU time of the process during the timed runs, all threads.
        wall_s: wall time of all timed runs together.
        steal_ticks: what the hypervisor took meanwhile; none: not readable.
        clock_mhz_before: mean clock of the process's cores; none: not readable.
        clock_mhz_after: after the timed runs.
        threads: cores that the runtime was allowed.
        harness_s: p50 of what the timing loop itself adds to a run, from runs of the null runtime.
        cores: those that the process could use.
        not_set: what the target asks of the machine and could not be set, by its key, and why.
        temperature_c_before: hottest thermal zone; none: not readable.
        temperature_c_after: after the timed runs.
        cpu_quota_throttled: how often the control group's CPU quota held the process; none: not readable.
        device_bytes: memory that the process holds on the GPU after the timed runs; none: not known.
        device_bytes_reason: why not; none where it is known, or no GPU takes part.
        throughput: of streams of its own, after all else; none where it was not asked for.
        executed: the precision, as the runtime tells it.
        energy: of windows of its own, after the timed runs.
        alternated: whether it took turns with other processes.
    """

    __pydantic_config__ = _CHECKED

    samples_s: tuple[float, ...]
    load_s: float
    first_s: float
    rss_empty_bytes: int
    rss_loaded_bytes: int
    rss_peak_bytes: int
    context_switches_involuntary: int
    cpu_s: float
    wall_s: float
    steal_ticks: int | None
    clock_mhz_before: float | None
    clock_mhz_after: float | None
    threads: int
    executed: ExecutedPrecision
    energy: Energy
    harness_s: float
    cores: tuple[int, ...]
    not_set: dict[str, str] = field(default_factory=dict)
    temperature_c_before: float | None = None
    temperature_c_after: float | None = None
    cpu_quota_throttled: int | None = None
    device_bytes: int | None = None
    device_bytes_reason: str | None = None
    throughput: Rates | None = None
    alternated: bool = False

    def to_json(self) -> str:
        """As ``answers.worker_result`` reads it."""
        return json.dumps(asdict(self), allow_nan=False)
