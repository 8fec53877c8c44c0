"""Which artifacts are measured side by side on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit.devices import local
from edgekit.devices.local import LocalDevice, side_by_side
from edgekit.errors import DeviceError
from edgekit.measure.latency import Job
from edgekit.measure.plan import Turn, in_turn
from edgekit.measure.protocol import WorkerResult
from edgekit.recipe import Benchmark
from edgekit.target import Target
from tests.worker_results import worker_result

PLENTY = 1e12


def jobs(folder: Path, **targets: dict[str, object]) -> list[Job]:
    """Two a target."""
    path = folder / "model.onnx"
    path.write_bytes(bytes(1000))
    plain = {
        "schema_version": 1,
        "description": "for a test",
        "runtime": "onnxruntime",
        "device": "CPU",
        "precisions": ("fp32",),
        "energy_meter": "none",
    }
    return [
        Job(
            f"{name}-{index}",
            "onnxruntime",
            path,
            Target.model_validate({**plain, "name": name, **own}),
            "fp32",
            path,
        )
        for name, own in targets.items()
        for index in range(2)
    ]


def grouped(found: list[Job], memory: float = PLENTY, rounds: int = 2) -> list[list[str]]:
    """Names by group."""
    turns = [Turn(job, round_, f"{job} {round_}") for job, round_ in in_turn(range(len(found)), range(rounds))]
    groups = side_by_side(turns, found, memory)
    return [[f"{found[turn.job].artifact} {turn.round}" for turn in group] for group in groups]


def test_the_files_of_a_target_are_measured_side_by_side(tmp_path: Path) -> None:
    assert grouped(jobs(tmp_path, one={}, two={"device": "XNNPACK"})) == [
        ["one-0 0", "one-1 0"],
        ["two-0 0", "two-1 0"],
        ["one-1 1", "one-0 1"],
        ["two-0 1", "two-1 1"],
    ]


@pytest.mark.parametrize("own", [{"governor": "performance"}, {"device": "CUDA"}])
def test_a_governor_and_a_gpu_are_for_one_at_a_time(tmp_path: Path, own: dict[str, object]) -> None:
    found = grouped(jobs(tmp_path, one=own, two={}), rounds=1)
    assert found == [["one-0 0"], ["one-1 0"], ["two-0 0", "two-1 0"]]


def test_memory_limits_how_many(tmp_path: Path) -> None:
    assert grouped(jobs(tmp_path, one={}), memory=0, rounds=1) == [["one-0 0"], ["one-1 0"]]


def test_one_that_fails_has_no_second_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = jobs(tmp_path, one={}, two={})
    asked: list[list[str]] = []

    def together(some: Sequence[Job], *_: object) -> list[WorkerResult | DeviceError]:
        asked.append([job.artifact for job in some])
        return [DeviceError("it died") if job.artifact == "one-1" else worker_result() for job in some]

    class Sink:
        def __init__(self) -> None:
            self.taken: list[tuple[int, int]] = []
            self.lost: list[tuple[int, str]] = []

        def begin(self, machine: dict[str, object]) -> list[Turn]:
            return [Turn(job, round_, f"{job} {round_}") for job, round_ in in_turn(range(4), range(2))]

        def started(self, turn: Turn) -> None:
            pass

        def take(self, turn: Turn, result: WorkerResult, seconds: float) -> None:
            self.taken.append((turn.job, turn.round))

        def failed(self, turn: Turn, why: str) -> None:
            self.lost.append((turn.job, why))

    monkeypatch.setattr(local, "run_together", together)
    sink = Sink()
    LocalDevice().measure(found, Benchmark(), sink)
    assert asked == [["one-0", "one-1"], ["two-0", "two-1"], ["one-0"], ["two-0", "two-1"]]
    assert sink.lost == [(1, "it died")]
    assert sink.taken == [(0, 0), (2, 0), (3, 0), (0, 1), (2, 1), (3, 1)]
