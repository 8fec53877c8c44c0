"""What the measuring process is asked, and what it answers. Both travel as JSON files."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edgekit.target import Precision, Target


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Request(_Message):
    """One artifact to measure. Paths are absolute."""

    runtime: str
    path: Path
    target: Target
    precision: Precision
    inputs: Path = Field(description=".npy of preprocessed images, float32[k, C, H, W]; they are used in turn")
    warmup: int = Field(ge=1)
    runs: int = Field(ge=1)


class ExecutedPrecision(_Message):
    """``runtimes.base.Executed`` as JSON."""

    precision: str
    layers: dict[str, int] = Field(default_factory=dict)
    how: str
    fallbacks: tuple[str, ...] = ()
    macs: dict[str, int] = Field(default_factory=dict)


class Energy(_Message):
    """Energy of one process's busy window, or the reason why there is none.

    Joules, watts and seconds. ``busy_j`` is what the counter saw, idle power included; ``joules_per_inference``
    is what is left of it without the idle power, divided by ``count``.
    """

    not_measured_reason: str | None = None
    joules_per_inference: float | None = None
    idle_w: float | None = None
    busy_j: float | None = None
    count: int | None = None
    window_s: float | None = None
    idle_s: float | None = None
    source: str | None = None
    scope: str | None = None


class WorkerResult(_Message):
    """What one fresh process measured on one artifact."""

    samples_s: tuple[float, ...] = Field(description="wall time of each timed run, in order, nothing left out")
    load_s: float = Field(description="import of the runtime and loading of the artifact")
    first_s: float = Field(description="the first inference")
    rss_empty_bytes: int = Field(description="resident memory before the runtime is imported, inputs in memory")
    rss_loaded_bytes: int = Field(description="after loading, before the first inference")
    rss_peak_bytes: int = Field(description="highest resident memory of the process up to the last timed run")
    context_switches_involuntary: int = Field(description="during the timed runs, all threads")
    cpu_s: float = Field(description="CPU time of the process during the timed runs, all threads")
    wall_s: float = Field(description="wall time of all timed runs together")
    steal_ticks: int | None = Field(description="ticks that the hypervisor took meanwhile; none: not readable")
    clock_mhz_before: float | None = Field(description="mean clock of the process's cores; none: not readable")
    clock_mhz_after: float | None
    threads: int = Field(description="cores that the runtime was allowed")
    executed: ExecutedPrecision
    energy: Energy
