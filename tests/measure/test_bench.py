"""What is done with a result where it arrives, whatever device it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from edgekit.measure.bench import Bench
from edgekit.measure.latency import Job
from edgekit.measure.protocol import Energy, EnergySpan
from edgekit.progress import Reporter
from edgekit.recipe import Benchmark
from edgekit.store import Store
from edgekit.target import Target
from tests.measure.conftest import target
from tests.measure.test_latency import result

if TYPE_CHECKING:
    from edgekit.devices.base import Sink
    from edgekit.record import Measurement

BEGUN = 1_700_000_000.0


class Elsewhere:
    """A device with an external meter on its cable: it tells when its windows were, and no joules."""

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        spans = tuple(EnergySpan(BEGUN + 3 * index, 2.0, 40 if index else 0) for index in range(4))
        energy = Energy(spans=spans, source="external meter", scope="all")
        for turn in sink.begin({}):
            sink.take(turn, replace(result(), energy=energy), 1.0)


@pytest.mark.parametrize("there", [True, False])
def test_the_file_of_an_external_meter_is_read_where_edgekit_runs(job: Job, tmp_path: Path, there: bool) -> None:
    meter = {"kind": "csv", "path": str(tmp_path / "meter.csv"), "period_s": 0.1}
    outside = replace(job, target=Target.model_validate(target().model_dump() | {"energy_meter": meter}))
    # 2 W until the first busy window begins, 5 W from then on.
    rows = "".join(f"{BEGUN - 1 + 0.01 * i},{5 if i >= 395 else 2}\n" for i in range(1600))
    if there:
        (tmp_path / "meter.csv").write_text("time,watts\n" + rows)
    kept = Store(tmp_path / "run", "test")
    try:
        bench = Bench(kept, Benchmark(processes=1), Reporter(Console(quiet=True)), set(), device=Elsewhere())
        bench.add(outside, "key")
        measured, failed = bench.measure()
    finally:
        kept.close()
    assert failed == {}
    (row,) = (row for row in measured if row.metric == "energy_j")
    if not there:
        assert "meter.csv: cannot be read" in (row.not_measured_reason or "")
        return
    # 3 W more for 2 s, over 40 inferences.
    assert row.samples == pytest.approx((0.15, 0.15, 0.15))
    assert row.conditions["idle_w"] == pytest.approx(2.0)
    assert row.conditions["source"] == "external meter (meter.csv), power sampled every 100 ms"


class Counting:
    """A device that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[int, int]]] = []

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        turns = sink.begin({})
        self.asked.append([(turn.job, turn.round) for turn in turns])
        for turn in turns:
            sink.started(turn)
            sink.take(turn, result(), 1.0)


def test_what_is_undecided_gets_more_rounds_up_to_the_limit(job: Job, tmp_path: Path) -> None:
    jobs = [replace(job, artifact=name) for name in ("first", "second", "third")]
    protocol = Benchmark(processes=2, most_processes=5)
    seen: list[int] = []

    def rivals(rows: Sequence[Measurement]) -> list[str]:
        seen.append(sum(row.metric == "latency_s" for row in rows))
        return ["first", "third"]

    def measured(device: Counting) -> dict[str, list[int]]:
        kept = Store(tmp_path / "run", "test")
        try:
            bench = Bench(kept, protocol, Reporter(Console(quiet=True)), set(), device=device, undecided=rivals)
            for one in jobs:
                bench.add(one, one.artifact)
            rows, failed = bench.measure()
        finally:
            kept.close()
        assert failed == {}
        found: dict[str, list[int]] = {}
        for row in rows:
            if row.metric == "latency_s":
                assert row.conditions["processes"] == (2 if row.artifact == "second" else 5)
                found.setdefault(row.artifact, []).append(row.conditions["process"])
        return found

    device = Counting()
    found = measured(device)
    assert found == {"first": [0, 1, 2, 3, 4], "second": [0, 1], "third": [0, 1, 2, 3, 4]}
    every = [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (0, 1)]
    assert device.asked == [every, [(0, 2), (2, 2), (2, 3), (0, 3)], [(0, 4), (2, 4)]]
    assert seen == [6, 10]
    # What was finished is not measured again.
    again = Counting()
    assert measured(again) == found
    assert again.asked == [[], [], []]


def test_as_many_processes_at_most_as_at_least_ask_nobody(job: Job, tmp_path: Path) -> None:
    def rivals(rows: Sequence[Measurement]) -> list[str]:
        raise AssertionError(rows)

    kept, device = Store(tmp_path / "run", "test"), Counting()
    try:
        protocol = Benchmark(processes=3, most_processes=3)
        bench = Bench(kept, protocol, Reporter(Console(quiet=True)), set(), device=device, undecided=rivals)
        bench.add(job, "key")
        bench.measure()
    finally:
        kept.close()
    assert device.asked == [[(0, 0), (0, 1), (0, 2)]]
