"""The report on runs that were made with a known fault, and on one without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.record import Measurement, Record
from edgekit.report import document, overview, results, rows, stability
from edgekit.report.results import Latency

QUIET: dict[str, Any] = {
    "wall_s": 0.25, "threads": 2, "steal_ticks": 0, "context_switches_involuntary": 10, "clock_mhz_before": 3000.0,
    "clock_mhz_after": 2990.0,
}  # fmt: skip


def steady(seed: int, n: int = 200) -> NDArray[np.float64]:
    """1.2 ms and 2 % of noise to the right."""
    return 1.2e-3 * (1 + np.random.default_rng(seed).gamma(1.5, 0.015, n))


def made(processes: list[NDArray[np.float64]], **conditions: Any) -> Latency:
    each = tuple(QUIET | conditions for _ in processes)
    return Latency(tuple(tuple(map(float, one)) for one in processes), "perf_counter_ns", each[-1], each)


def said(processes: list[NDArray[np.float64]], **conditions: Any) -> str:
    return stability.of(made(processes, **conditions)).shown.text


def test_a_stable_run_is_called_stable() -> None:
    verdicts = {said([steady(3 * seed + part) for part in range(3)]) for seed in range(100)}
    assert verdicts == {"stable"}


@pytest.mark.parametrize(("change", "way"), [(0.25, "slower"), (-0.2, "faster")])
def test_a_known_drift(change: float, way: str) -> None:
    ramp = np.linspace(1.0, 1.0 + change, 200)
    text = said([steady(0) * ramp, steady(1) * ramp, steady(2)])
    # The middles of the outer thirds of a line.
    percent = abs((1 + change * 5 / 6) / (1 + change / 6) - 1) * 100
    assert text.startswith("unstable: drift: the last third of the runs was ")
    assert f"% {way} than the first (2 of 3 processes)" in text
    assert float(text.split("was ")[1].split(" %")[0]) == pytest.approx(percent, abs=2)


def test_a_known_heavy_tail() -> None:
    rng = np.random.default_rng(0)
    tailed = [1e-3 * (1 + rng.pareto(1.5, 200)) for _ in range(3)]
    text = said(tailed)
    assert text.startswith("unstable: heavy tail: ")
    assert "took more than 2 times the p50, the slowest" in text
    assert "drift" not in text
    # A tail that leaves the median its meaning is told of, and no more.
    light = [np.concatenate([steady(one, 195), np.full(5, 2.1e-3)])[rng.permutation(200)] for one in range(3)]
    assert said(light).startswith("stable; heavy tail: 2.5 % of the runs took more than 1.5 times the p50")


def test_too_few_samples() -> None:
    few = made([steady(0, 10)] * 3)
    assert stability.of(few).shown.text == "not measured: too few runs to tell stable from unstable"
    assert not stability.of(few).unstable


def test_processes_that_differ() -> None:
    text = said([steady(0), steady(1) * 1.3, steady(2)])
    assert text.startswith("unstable: the processes differ: their p50 lie between 1.22 ms and 1.59 ms (30 %)")
    # Two percent is what processes always differ by.
    assert said([steady(0), steady(1) * 1.02, steady(2)]) == "stable"


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ({"clock_mhz_after": 2400.0}, "throttling: the clock fell from 3000 to 2400 MHz"),
        ({"cpu_quota_throttled": 2}, "throttling: the CPU quota of its control group held the process 6 times"),
        ({"steal_ticks": 5}, "noisy neighbours: the hypervisor took 10 % of the cores' time (steal)"),
        ({"context_switches_involuntary": 500}, "noisy neighbours: other work took a core 2000 times a second"),
    ],
)
def test_what_the_system_counted(conditions: dict[str, Any], text: str) -> None:
    assert said([steady(one) for one in range(3)], **conditions).startswith(f"unstable: {text}")


@pytest.mark.parametrize("conditions", [{"steal_ticks": 2}, {"clock_mhz_after": None}, {"wall_s": None}])
def test_what_it_did_not_count_or_too_little_of_is_no_cause(conditions: dict[str, Any]) -> None:
    assert said([steady(one) for one in range(3)], **conditions) == "stable"


def unstable(record: Record) -> Record:
    """``record`` with a drift in the latency of cpu-int8."""

    def slowed(row: Measurement) -> Measurement:
        if row.artifact != "cpu-int8" or row.metric != "latency_s" or row.samples is None:
            return row
        ramp = np.linspace(1.0, 1.5, len(row.samples))
        return row.model_copy(
            update={"samples": tuple(float(s * r) for s, r in zip(row.samples, ramp, strict=True))}
        )

    return record.model_copy(update={"measurements": tuple(map(slowed, record.measurements))})


def test_the_summary_says_it_beside_the_figure(record: Record) -> None:
    calm, drifting = ({row.name: row for row in overview.rows(one)} for one in (record, unstable(record)))
    assert [name for name, row in calm.items() if row.unstable] == []
    assert [name for name, row in drifting.items() if row.unstable] == ["cpu-int8"]
    (warning,) = (text for text in overview.warnings(unstable(record)) if "unstable" in text)
    assert warning.startswith("the latency was unstable while it was taken: cpu-int8 (drift: the last third")
    cells = {row.name: cells for row, cells in document.content(unstable(record))["table"]}
    assert [name for name, one in cells.items() if one[3].endswith(", unstable")] == ["cpu-int8"]


def test_the_checklist_tells_dependence_variance_and_mlperf(record: Record) -> None:
    section = next(part for part in rows(record) if part.title == "Latency reporting")
    items = {one.name.split(" (")[0]: one for one in section.items}
    dependence = items["Dependence of the runs"].each["cpu-int8"].text
    assert "600 runs are worth" in dependence
    variance = items["Variance across runs"].each["cpu-int8"].text
    assert "random effects:" in variance
    assert "p50 over processes 1.3" in variance
    assert "MLPerf single stream" not in items
    asked = record.model_copy(update={"recipe": {**record.recipe, "benchmark": {"mlperf_single_stream": True}}})
    again = next(part for part in rows(asked) if part.title == "Latency reporting")
    shown = next(one for one in again.items if one.name.startswith("MLPerf"))
    found = results.latency(record, "cpu-int8")
    assert found is not None
    # Of 600 runs 43 may be slower: P(Binomial(600, 0.1) <= 43) is the last below 1 %.
    assert shown.each["cpu-int8"].text == f"{sorted(found.pooled)[-43] * 1e3:.2f} ms"
