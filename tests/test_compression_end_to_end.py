"""Every pass of a compression in one recipe, through the command line as a user would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import command_line
from tests.command_line import read_record

RECIPE = """
schema_version: 1
name: sequence
task:
  kind: classification
  description: a test
  modality: CT (synthetic)
  classes: [no lesion, solid nodule, calcified nodule, cystic lesion, ring-enhancing lesion]
data: {kind: phantom, size: 32, angles: 24, count: {train: 120, val: 40, test: 60}}
input: {size: [32, 32]}
teacher:
  model: {architecture: test_resnet}
  passes: [{kind: finetune, epochs: 2, learning_rate: 2.0e-3}]
model: {architecture: test_byobnet}
passes:
  - {kind: distill, epochs: 2, learning_rate: 2.0e-3}
  - {kind: prune, macs: 0.6, round_to: 8, recovery: {epochs: 1, distillation: {temperature: 2.0}}}
  # No factorization makes so small a network five times faster: this pass is rejected.
  - {kind: factorize, macs: 0.8, require_speedup: 5}
  - {kind: fold_batchnorm}
  - {kind: qat, epochs: 1, images: 16, keep_float: [first, last]}
targets: [cpu, iphone]
own_quantizers: false
evaluation: {bootstrap: 100}
benchmark: {warmup: 2, runs: 12, processes: 1, most_processes: 1, source: false}
# A few epochs on 120 images settle nothing: these gates only keep the run going.
gates: {max_accuracy_drop: 0.9}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the run, and what the command printed."""
    folder = tmp_path_factory.mktemp("sequence")
    (folder / "sequence.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "run", command_line.run(folder, "compress", "sequence.yaml", "--out", "run")


def _stage(record: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in record["stages"] if one["name"] == name)["changes"]
    return found


def test_a_pass_that_is_not_fast_enough_is_rejected(finished: tuple[Path, str]) -> None:
    run, said = finished
    record = read_record(run)
    proof = _stage(record, "prove-3-factorize")
    assert proof["rejected"].startswith("a speed-up of 5 was required, and cpu became")
    assert "the pass 3-factorize was rejected and the model before it kept" in said
    made = {one["name"]: one["stages"] for one in record["artifacts"]}
    assert made["source"] == ["model", "1-distill"]
    assert made["cpu-fp32"] == ["model", "1-distill", "2-prune", "4-fold_batchnorm"]
    assert made["cpu-int8"] == ["model", "1-distill", "2-prune", "4-fold_batchnorm", "5-qat"]
    # What was folded is the pruned model, not the factorized one.
    pruned = _stage(record, "2-prune")
    assert _stage(record, "4-fold_batchnorm")["macs_before"] == pruned["macs_after"] < pruned["macs_before"]


def test_artifacts_are_compared_with_the_model_they_come_from(finished: tuple[Path, str]) -> None:
    record = read_record(finished[0])
    details = {one["name"]: one["details"] for one in record["artifacts"]}
    assert details["cpu-fp32"]["compared_with"] == "source-fused"
    assert details["cpu-int8"]["compared_with"] == "quantized"
    assert "agreement_with_source" in details["cpu-int8"]
    gates = {(one["artifact"], one["name"]): one for one in record["gates"]}
    assert gates["cpu-int8", "parity/agreement"]["limit"] == 0.995
    assert gates["cpu-int8", "parity/agreement"]["explanation"].startswith("the same class as the fake-quantized")
    assert "the compressed float model" in gates["cpu-fp32", "parity/agreement"]["explanation"]
    assert not any(one["name"].startswith("parity") for one in record["gates"] if one["artifact"] == "source-fused")


def test_teacher_and_steps_are_reported(finished: tuple[Path, str]) -> None:
    run, _ = finished
    record = read_record(run)
    assert 0 <= _stage(record, "evaluate-teacher")["figures"]["balanced_accuracy"]["value"] <= 1
    assert "teacher" in _stage(record, "1-distill")
    checklist = (run / "checklist.md").read_text(encoding="utf-8")
    table = checklist[checklist.index("### What each pass brought") :]
    for row in ("| teacher |", "| source (1-distill) |", "| 2-prune |", "| 3-factorize (rejected) |", "| 5-qat |"):
        assert row in table
    assert "QAT (quantization-aware training)" in checklist
