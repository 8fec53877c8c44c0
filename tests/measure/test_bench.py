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
