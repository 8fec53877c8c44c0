"""Gates on p90, size and joules: kept, lost, and undecided where nothing was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.evaluate import check_budgets
from edgekit.evaluate.statistics import quantile
from edgekit.recipe import Gates
from edgekit.record import Artifact, Gate, Measurement

ARTIFACT = Artifact(
    name="cpu-int8",
    target="cpu",
    runtime="onnxruntime",
    precision_requested="int8",
    precision_executed="int8",
    path="artifacts/cpu-int8/model.onnx",
    sha256="0" * 64,
    size_bytes=4_200_000,
    status="accepted",
)
#: In ms; the p90 is near 9.
TIMES = np.linspace(1.0, 10.0, 100)


def latency(samples: Any, session: str | None = None) -> Measurement:
    conditions = {"session": session} if session else {}
    seconds = tuple(float(one) / 1e3 for one in samples)
    return Measurement(
        artifact="cpu-int8", metric="latency_s", unit="s", samples=seconds, method="m", conditions=conditions
    )


def judged(gates: Gates, *rows: Measurement, timed: bool = True) -> dict[str, Gate]:
    return {gate.name: gate for gate in check_budgets(ARTIFACT, rows, gates, timed)}


def test_nothing_is_asked_by_default() -> None:
    assert judged(Gates(), latency(TIMES)) == {}


def test_size() -> None:
    assert judged(Gates(max_size_mb=4.2))["size"].passed
    gate = judged(Gates(max_size_mb=4.1))["size"]
    assert not gate.passed
    assert gate.explanation == "4.2 MB on disk; at most 4.1 MB is allowed"


def test_p90_by_its_estimate_and_by_its_interval() -> None:
    found = quantile(TIMES, 0.9)
    assert found.low is not None
    assert found.high is not None
    between = (found.value + found.high) / 2
    assert judged(Gates(max_p90_ms=between), latency(TIMES))["p90"].passed
    strict = judged(Gates(max_p90_ms=between, decide_by="interval"), latency(TIMES))["p90"]
    assert not strict.passed
    assert "do not rule out that it is more" in (strict.undecided or "")
    kept = judged(Gates(max_p90_ms=found.high, decide_by="interval"), latency(TIMES))["p90"]
    assert kept.passed
    assert kept.value == pytest.approx(found.value)
    assert kept.interval == pytest.approx((found.low, found.high))
    lost = judged(Gates(max_p90_ms=found.value - 0.1, decide_by="interval"), latency(TIMES))["p90"]
    assert (lost.passed, lost.undecided) == (False, None)


def test_too_few_runs_decide_nothing() -> None:
    gate = judged(Gates(max_p90_ms=100.0), latency(TIMES[:40]))["p90"]
    assert not gate.passed
    assert gate.undecided == "p90 needs at least 64 runs, 40 were timed"
    assert "counts as failed" in gate.explanation
    assert judged(Gates(max_p90_ms=100.0, undecided="pass"), latency(TIMES[:40]))["p90"].passed


def test_samples_of_two_occasions_are_not_pooled() -> None:
    slow_then_fast = (latency(TIMES * 100), latency(TIMES, "later"))
    assert judged(Gates(max_p90_ms=10.0), *slow_then_fast)["p90"].passed


def test_what_was_not_measured_is_undecided_with_the_reason() -> None:
    why = "no RAPL counters: this is a virtual machine"
    row = Measurement(artifact="cpu-int8", metric="energy_j", unit="J", not_measured_reason=why, method="m")
    gates = judged(Gates(max_energy_j=1.0, max_p90_ms=1.0), row)
    assert gates["energy"].undecided == f"its energy was not measured: {why}"
    assert gates["p90"].undecided == "its latency was not measured: this run did not measure it"
    joules = row.model_copy(update={"samples": (0.5, 0.7), "not_measured_reason": None})
    assert judged(Gates(max_energy_j=0.6), joules)["energy"].passed
    assert not judged(Gates(max_energy_j=0.59), joules)["energy"].passed


def test_a_run_that_is_not_timed_is_not_asked_for_its_latency() -> None:
    assert list(judged(Gates(max_p90_ms=1.0, max_energy_j=1.0, max_size_mb=9.0), timed=False)) == ["size"]
