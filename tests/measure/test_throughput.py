"""Streams beside one another, on sessions whose time is known."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.measure import throughput
from edgekit.measure.latency import Job, measurements, throughput_of
from edgekit.measure.plan import Plan
from edgekit.measure.protocol import Rates, Request, Setting, Throughput
from edgekit.recipe import Benchmark
from tests.measure.test_latency import result

if TYPE_CHECKING:
    from edgekit.runtimes.base import Runtime
    from edgekit.target import Precision

BATCHES = [np.zeros((1, 1, 2, 2), np.float32)]


class Sleeper:
    """A runtime and session in one: a run takes 5 ms in which others may run; it keeps who ran."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.threads: set[int] = set()
        self.asked: list[tuple[int, int]] = []

    def streams(self, path: Path, target: Setting, precision: Precision, count: int) -> list[Sleeper]:
        self.asked.append((count, target.threads))
        return [self] * count

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.broken:
            raise ValueError("out of memory")
        self.threads.add(threading.get_ident())
        threading.Event().wait(0.005)
        return batch


def request(job: Job, streams: int, threads: int = 4) -> Request:
    setting = replace(Setting.of(job.target), threads=threads)
    asked = Throughput(streams, 0.1)
    return Request(job.runtime, job.path, setting, "fp32", job.inputs, 1, 1, throughput=asked)


def measured(job: Job, streams: int, runtime: Sleeper) -> Rates:
    found = throughput.measured(request(job, streams), cast("Runtime", runtime), BATCHES)
    assert found is not None
    return found


def test_streams_run_beside_one_another_and_share_the_cores(job: Job) -> None:
    runtime = Sleeper()
    found = measured(job, 2, runtime)
    assert runtime.asked == [(2, 2)]
    assert (found.streams, found.threads, len(found.per_s)) == (2, 2, 3)
    assert len(runtime.threads) > 1
    # No stream gives more than one image in 5 ms.
    assert 0 < max(found.per_s) <= 2 / 0.005
    # One a core, where the number is left open.
    measured(job, 0, runtime)
    assert runtime.asked[-1] == (4, 1)


def test_a_late_clock_takes_no_time_off_the_streams(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(threading.Barrier):
        def wait(self, timeout: float | None = None) -> int:
            place = super().wait(timeout)
            if threading.current_thread() is threading.main_thread():
                threading.Event().wait(0.1)
            return place

    monkeypatch.setattr(threading, "Barrier", Late)
    assert 0 < max(measured(job, 2, Sleeper()).per_s) <= 2 / 0.005


def test_a_stream_that_fails_costs_no_other_figure(job: Job) -> None:
    found = measured(job, 3, Sleeper(broken=True))
    assert found.per_s == ()
    assert found.not_measured_reason == "3 streams failed: ValueError: out of memory"
    made = replace(result(), throughput=found)
    rows = {row.metric: row for row in measurements(job, [made], Benchmark())}
    assert rows["throughput_per_s"].not_measured_reason == found.not_measured_reason
    assert rows["latency_s"].samples


def test_it_is_asked_for_in_the_recipe_and_travels(job: Job) -> None:
    assert throughput_of(Benchmark()) is None
    asked = throughput_of(Benchmark.model_validate({"throughput": {"streams": 3}}))
    assert asked == Throughput(3, 1.0)
    assert Request.from_json(request(job, 2).to_json()) == request(job, 2)
    plan = Plan("1", (), {}, 1, 1, 1, None, linked=False, throughput=asked)
    assert Plan.from_json(plan.to_json()) == plan
    nothing = replace(request(job, 2), throughput=None)
    assert throughput.measured(nothing, cast("Runtime", Sleeper()), BATCHES) is None


def test_the_row_holds_every_window(job: Job) -> None:
    found = replace(result(), throughput=Rates((10.0, 12.0, 11.0), 2, 1, 1.0))
    (row,) = (row for row in measurements(job, [found, found], Benchmark()) if row.metric == "throughput_per_s")
    assert row.samples == (10.0, 12.0, 11.0) * 2
    assert (row.unit, row.conditions["streams"], row.conditions["batch"]) == ("1/s", 2, 1)
    assert json.loads(row.model_dump_json())["metric"] == "throughput_per_s"


@pytest.mark.parametrize("wrong", [{"streams": -1}, {"window_s": 0.0}, {"batch": 4}])
def test_what_the_recipe_may_not_say(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="throughput"):
        Benchmark.model_validate({"throughput": wrong})
