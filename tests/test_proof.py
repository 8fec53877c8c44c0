"""What is decided from the latency before and after a pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgekit import target as targets
from edgekit.passes.structural import StructuralPass
from edgekit.progress import Reporter
from edgekit.proof import Proof
from edgekit.stages import Stages
from edgekit.store import Finished, Store
from edgekit.variant import Made


class FakeData:
    def count(self, split: str) -> int:
        return 3

    def inputs(self, split: str, indices: Any) -> np.ndarray[Any, Any]:
        return np.zeros((len(indices), 1, 2, 2), np.float32)


def made(name: str) -> Made:
    one = Made(Finished(name, Path(), {}, 0.0, False), None)
    # The cached property: the samples below do not come from a model.
    one.__dict__["model"] = name
    return one


def prove(tmp_path: Path, required: float | None, after_ms: float, names: tuple[str, ...] = ("cpu",)) -> Any:
    """A proof on replayed samples: 2 ms before, ``after_ms`` after."""
    stages = Stages(Store(tmp_path / "run", "r"), Reporter(Console(quiet=True)))
    proof = Proof(stages, {name: targets.load(name) for name in names}, FakeData())  # type: ignore[arg-type]

    def replay(models: Any, target: Any, precision: Any) -> dict[str, list[list[float]]]:
        assert precision == "fp32"
        times = {"before": 2e-3, "after": after_ms * 1e-3}
        noise = 1 + 0.01 * np.sin(np.arange(60))
        return {name: [list(times[name] * noise) for _ in range(3)] for name in models}

    proof.trials = replay  # type: ignore[assignment]
    try:
        return proof.run("2-prune", StructuralPass(require_speedup=required), made("a"), made("b"), ()), stages
    finally:
        stages.kept.close()


def test_without_a_demand_it_goes_on_and_is_shown(tmp_path: Path) -> None:
    proven, stages = prove(tmp_path, None, 1.0)
    assert proven.rejected is None
    assert proven.warnings == ()
    row = stages.done[0].changes["latency"]["cpu"]
    assert row["speedup"] == pytest.approx(2.0)
    assert row["before_p50_s"] == pytest.approx(2e-3, rel=0.01)
    assert [len(process) for process in row["samples_s"]["after"]] == [60, 60, 60]


def test_smaller_and_not_faster_is_said(tmp_path: Path) -> None:
    proven, _ = prove(tmp_path, None, 2.1)
    assert proven.rejected is None
    assert proven.warnings[0].startswith(
        "the pass 2-prune made the model smaller and not faster on cpu: 0.95 times"
    )


@pytest.mark.parametrize(("required", "after_ms", "kept"), [(1.4, 1.0, True), (1.4, 1.6, False), (1.0, 2.1, False)])
def test_a_demand_decides(tmp_path: Path, required: float, after_ms: float, kept: bool) -> None:
    proven, _ = prove(tmp_path, required, after_ms)
    assert (proven.rejected is None) == kept
    if not kept:
        assert proven.rejected.startswith(f"a speed-up of {required:g} was required, and cpu became")
        assert "the model before it kept" in proven.warnings[0]


def test_what_cannot_be_measured_does_not_pass(tmp_path: Path) -> None:
    proven, stages = prove(tmp_path, 1.1, 1.0, ("iphone",))
    assert "no target of the recipe can be measured here" in proven.rejected
    assert "not_measured" in stages.done[0].changes["latency"]["iphone"]


def test_another_demand_is_another_stage_and_the_same_one_is_reused(tmp_path: Path) -> None:
    _, first = prove(tmp_path, 1.1, 1.0)
    _, second = prove(tmp_path, 1.1, 1.0)
    assert (first.done[0].cached, second.done[0].cached) == (False, True)
    _, third = prove(tmp_path, 1.2, 1.0)
    assert not third.done[0].cached
