"""What an artifact costs is judged when it was measured: it is rejected then."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import recipe, verdict
from edgekit.recipe import Recipe
from edgekit.record import Artifact, Measurement, Status

RECIPE = """
schema_version: 1
name: costs
task: {{kind: classification, description: d, modality: m, classes: [a, b, c, d, e]}}
data: {{kind: phantom, size: 64, count: {{train: 5, val: 5, test: 5}}}}
input: {{size: [32, 32]}}
model: {{architecture: test_byobnet}}
passes: [{{kind: finetune, epochs: 1}}]
targets: [cpu]
gates: {{{gates}}}
"""


def _recipe(folder: Path, gates: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(gates=gates), encoding="utf-8")
    return recipe.load(path)[0][0]


def _artifacts() -> list[Artifact]:
    rows: list[tuple[str, str, Status]] = [
        ("source", "torch_eager", "accepted"),
        ("fast", "onnxruntime", "accepted"),
    ]
    rows += [("slow", "onnxruntime", "accepted"), ("unseen", "coreml", "checked, not run here")]
    return [
        Artifact(
            name=name,
            target="t",
            runtime=runtime,
            precision_requested="fp32",
            precision_executed=None,
            path="model",
            sha256="0" * 64,
            size_bytes=1,
            status=status,
        )
        for name, runtime, status in rows
    ]


def _timed() -> list[Measurement]:
    times = {"source": 0.5, "fast": 0.004, "slow": 0.02}
    return [
        Measurement(artifact=name, metric="latency_s", unit="s", samples=(seconds,) * 64, method="m")
        for name, seconds in times.items()
    ]


@pytest.mark.parametrize(("undecided", "status"), [("fail", "rejected"), ("pass", "checked, not run here")])
def test_what_is_too_slow_is_rejected_after_the_measurement(tmp_path: Path, undecided: str, status: str) -> None:
    asked = _recipe(tmp_path, f"max_p90_ms: 10, undecided: {undecided}")
    artifacts, gates = verdict.budgeted(_artifacts(), _timed(), asked, timed=True)
    assert {one.name: one.status for one in artifacts} == {
        "source": "accepted",
        "fast": "accepted",
        "slow": "rejected",
        "unseen": status,
    }
    assert artifacts[2].reason == "p90 20 ms (95 % interval 20 to 20); at most 10 ms is allowed"
    # The model in PyTorch does not ship, and may be as slow as it is.
    assert [gate.artifact for gate in gates] == ["fast", "slow", "unseen"]


def test_a_rejection_keeps_its_first_reason_and_a_study_that_is_not_timed_asks_nothing(tmp_path: Path) -> None:
    asked = _recipe(tmp_path, "max_p90_ms: 10")
    before = [one.model_copy(update={"status": "rejected", "reason": "accuracy"}) for one in _artifacts()]
    artifacts, _ = verdict.budgeted(before, _timed(), asked, timed=True)
    assert (artifacts[2].reason or "").startswith("accuracy; p90 20 ms")
    assert artifacts[1].reason == "accuracy"
    assert verdict.budgeted(_artifacts(), _timed(), asked, timed=False)[1] == []
