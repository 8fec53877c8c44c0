"""A file that is damaged on purpose, from the images to the gates; a runtime that does arithmetic stands for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from edgekit import recipe, record, target, verdict
from edgekit.data.base import Dataset, Preprocessing, Split, SplitName
from edgekit.data.prepared import Prepared, prepare
from edgekit.evaluation import Evaluation
from edgekit.progress import Reporter
from edgekit.recipe import Recipe
from edgekit.runtimes.base import Executed
from edgekit.stages import Stages
from edgekit.store import Finished, Store
from edgekit.variant import Made, Variant

CLASSES = ("common", "other", "rare")
COUNTS = {"train": (4, 4, 4), "val": (90, 60, 30), "test": (160, 100, 60)}
RECIPE = """
schema_version: 1
name: damaged
task: {kind: classification, description: d, modality: m, classes: [common, other, rare]}
data: {kind: phantom}
input: {size: [8, 8], channels: 3}
model: {architecture: test_byobnet}
passes: [{kind: finetune, epochs: 1}]
targets: [cpu]
evaluation: {bootstrap: 200, temperature_scaling: true, thumbnails: 3}
gates: {max_accuracy_drop: 0.05, max_sensitivity_drop: 0.1, max_ece_rise: 0.03, max_nll_rise: 0.1}
"""
Logits = NDArray[np.float32]
Damage = Callable[[Logits], Logits]
Judge = Callable[[Damage], tuple[Finished, record.Artifact, list[record.Gate]]]


@dataclass
class Arithmetic:
    """A runtime whose logits are twelve times the mean of each channel, after ``damage``."""

    damage: Damage
    packages: tuple[str, ...] = ()

    def check(self, path: Path, aim: object, precision: str) -> Arithmetic:
        return self

    def run(self, batch: Logits) -> Logits:
        return self.damage(batch.mean(axis=(2, 3)) * 12.0)

    def executed(self) -> Executed:
        return Executed("fp32", {}, "told by the test")


def _split(name: SplitName) -> Split:
    """Images whose channels are bright where the class is theirs, with noise that makes some ambiguous."""
    rng = np.random.default_rng(len(name))
    labels = np.repeat(np.arange(3), COUNTS[name])
    levels = np.clip(110 + 28 * np.eye(3)[labels] + rng.normal(0, 17, (labels.size, 3)), 0, 255).astype(np.uint8)
    noise = rng.integers(0, 2, (labels.size, 8, 8, 1)).astype(np.uint8)
    images = np.minimum(levels[:, None, None, :], 254) + noise
    ids = tuple(f"{name}-{index}.png" for index in range(labels.size))
    return Split(labels.size, lambda index: images[index], labels, ids)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    splits: dict[SplitName, Split] = {name: _split(name) for name in ("train", "val", "test")}
    prepare(Dataset("made", CLASSES, splits), Preprocessing(size=(8, 8)), folder, lambda part, text: None)
    return Prepared.open(folder)


@pytest.fixture
def judge(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    (tmp_path / "r.yaml").write_text(RECIPE, encoding="utf-8")
    asked: Recipe = recipe.load(tmp_path / "r.yaml")[0][0]
    kept = Store(tmp_path / "run", "damaged")
    stages = Stages(kept, Reporter(Console(file=io.StringIO())))
    made = Finished("0" * 16, tmp_path, {}, 0.0, cached=False)
    evaluation = Evaluation(stages, asked, data, made)
    aim = target.load("cpu")

    def run(name: str, damage: Damage, references: dict[str, Finished]) -> Finished:
        monkeypatch.setattr("edgekit.variant.runtimes.get", lambda _: Arithmetic(damage))
        exported = Finished(f"{name}{len(stages.done)}", tmp_path, {}, 0.0, cached=False)
        return evaluation.artifact(_variant(name), exported, tmp_path, aim, references)

    def _variant(name: str) -> Variant:
        return Variant(name, Made(made, None), aim, "fp32", (), "" if name == record.SOURCE else record.SOURCE)

    def judged(damage: Damage) -> tuple[Finished, record.Artifact, list[record.Gate]]:
        source = run(record.SOURCE, lambda logits: logits, {})
        found = run("cpu-fp32", damage, {record.SOURCE: source})
        rows = [
            verdict.figures(_variant(name), one, None, asked)
            for name, one in ((record.SOURCE, source), ("cpu-fp32", found))
        ]
        gates = verdict.gates(_variant("cpu-fp32"), found, rows[1], rows[0], asked)
        result: dict[str, Any] = {"details": {}, "file": "f", "sha256": "0", "size_bytes": 1}
        exported = Finished("1", tmp_path, {**result, "inputs": [], "outputs": []}, 0.0, cached=False)
        return found, verdict.artifact(_variant("cpu-fp32"), exported, found, None, None, gates, asked), gates

    yield judged
    kept.close()


def lost(gates: list[record.Gate]) -> set[str]:
    return {gate.name for gate in gates if not gate.passed}


def test_an_undamaged_file_is_accepted(judge: Judge) -> None:
    found, artifact, gates = judge(lambda logits: logits)
    assert lost(gates) == set()
    assert artifact.status == "accepted"
    assert found.result["changed"]["count"] == 0
    rows = {row["metric"]: row for row in found.result["measurements"]}
    assert rows["accuracy"]["conditions"]["less_source"]["value"] == 0.0
    assert {"ppv/rare", "npv/rare", "adaptive_ece", "temperature", "ece_scaled"} <= set(rows)


def test_a_lowered_rare_class_is_rejected_by_its_own_gate(judge: Judge, data: Prepared) -> None:
    found, artifact, gates = judge(lambda logits: logits - np.array([0.0, 0.0, 1.5], np.float32))
    assert "sensitivity_drop" in lost(gates)
    assert artifact.status == "rejected"
    assert "sensitivity of 'rare'" in (artifact.reason or "")
    worst = found.result["changed"]["images"][0]
    assert worst["id"] == data.ids("test")[worst["image"]]
    assert worst["true_after"] < worst["true_before"]


def test_an_overconfident_file_is_rejected_and_its_temperature_mends_it(judge: Judge) -> None:
    _, before, _ = judge(lambda logits: logits)
    found, artifact, gates = judge(lambda logits: logits * 4.0)
    assert {"ece_rise", "nll_rise"} <= lost(gates)
    assert "sensitivity_drop" not in lost(gates)
    rows = {row["metric"]: row for row in found.result["measurements"]}
    assert rows["ece_scaled"]["samples"][0] < rows["ece"]["samples"][0] / 2
    ratio = artifact.details["temperature"]["value"] / before.details["temperature"]["value"]
    assert ratio == pytest.approx(4.0, rel=1e-3)
    # Each with its own temperature they are the same model.
    assert rows["nll_scaled"]["conditions"]["less_source"]["value"] == pytest.approx(0.0, abs=1e-5)


def test_logits_that_are_not_finite_are_rejected(judge: Judge) -> None:
    found, artifact, gates = judge(lambda logits: logits * np.float32(np.nan))
    assert artifact.status == "rejected"
    assert found.result["changed"] is None
    assert {"accuracy_drop", "ece_rise", "nll_rise", "sensitivity_drop"} <= lost(gates)
