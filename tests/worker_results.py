"""What a measuring process answers, for tests that need one and start none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit.measure.protocol import Energy, ExecutedPrecision, WorkerResult

RESULT = WorkerResult(
    samples_s=(0.002, 0.001),
    load_s=0.5,
    first_s=0.01,
    rss_empty_bytes=100,
    rss_loaded_bytes=250,
    rss_peak_bytes=300,
    context_switches_involuntary=4,
    cpu_s=0.1,
    wall_s=0.2,
    steal_ticks=None,
    clock_mhz_before=None,
    clock_mhz_after=None,
    threads=2,
    harness_s=2e-7,
    cores=(0, 1),
    executed=ExecutedPrecision(precision="fp32", how="told"),
    energy=Energy(not_measured_reason="no RAPL counters"),
)


def worker_result(**changes: Any) -> WorkerResult:
    """``RESULT`` with other values."""
    return replace(RESULT, **changes)
