"""Files whose batch is open: any number of inputs at once, answered as one by one; refused where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import runtimes, zoo
from edgekit.errors import UnsupportedError
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.target import Precision, RuntimeName
from edgekit.zoo.ss2d import SS2D
from tests import command_line
from tests.command_line import read_record
from tests.networks import cpu_target, images, small_model

RECIPE = """
schema_version: 1
name: batches
task:
  kind: classification
  description: a test
  modality: CT (synthetic)
  classes: [no lesion, solid nodule, calcified nodule, cystic lesion, ring-enhancing lesion]
data: {kind: phantom, size: 32, angles: 24, count: {train: 40, val: 40, test: 40}}
input: {size: [32, 32]}
model: {architecture: test_resnet}
passes:
  - {kind: finetune, epochs: 1}
  - {kind: quantize, images: 16}
targets: [cpu, intel-cpu, android]
dynamic: [batch]
own_quantizers: false
evaluation: {bootstrap: 100}
benchmark: {warmup: 2, runs: 12, processes: 1, source: false}
# One epoch on 40 images settles nothing: these gates only keep the run going.
gates: {max_accuracy_drop: 0.9, int8_min_agreement: 0.1}
"""


def _ranges(model: Model, inputs: torch.Tensor) -> Model:
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in inputs], lambda *_: None)
    return replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []})


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_several_at_once_are_answered_as_one_by_one(
    name: RuntimeName, precision: Precision, tmp_path: Path
) -> None:
    static = _ranges(small_model(), images())
    runtime, target, inputs = runtimes.get(name), cpu_target(name, precision), images(7).numpy()
    exported = runtime.export(replace(static, dynamic=("batch",)), target, precision, tmp_path)
    assert exported.inputs[0].shape == (-1, 3, 32, 32)
    assert exported.outputs[0].shape == (-1, 5)
    session = runtime.load(exported.path, target, precision)
    single = np.concatenate([session.run(one[None]).copy() for one in inputs])
    for count in (7, 2, 1):
        found = session.run(np.ascontiguousarray(inputs[:count]))
        assert np.abs(found - single[:count]).max() <= 1e-6 * np.abs(single).max()
    with torch.no_grad():
        logits = static.network(torch.from_numpy(inputs)).numpy()
    assert np.abs(single - logits).max() <= (1e-5 * np.abs(logits).max() if precision == "fp32" else 0.15)
    (tmp_path / "static").mkdir()
    fixed = runtime.export(static, target, precision, tmp_path / "static")
    assert fixed.inputs[0].shape == (1, 3, 32, 32)
    assert session.executed().macs == runtime.load(fixed.path, target, precision).executed().macs


class Scanned(nn.Module):
    """A selective scan in four directions over 8 x 8 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.mixer = SS2D(16, d_state=4)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.mixer(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))
        return logits


def _timm(name: str, **arguments: int) -> nn.Module:
    return zoo.build(name, arguments, 5, 3, None)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("build", "side"),
    [
        pytest.param(lambda: _timm("vit_tiny_patch16_224", img_size=32, depth=2), 32, id="vit"),
        pytest.param(lambda: _timm("mobilevit_xxs"), 64, id="mobilevit"),
        pytest.param(Scanned, 32, id="scan"),
    ],
)
def test_networks_that_cut_and_join_their_axes(
    build: Callable[[], nn.Module], side: int, name: RuntimeName, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = Model("module", {}, 5, (3, side, side), "tests:x", (), build().eval(), dynamic=("batch",))
    runtime, target = runtimes.get(name), cpu_target(name, "fp32")
    session = runtime.load(runtime.export(model, target, "fp32", tmp_path).path, target, "fp32")
    inputs = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model.network(inputs).numpy()
    assert np.abs(session.run(inputs.numpy()) - logits).max() <= 1e-3 * np.abs(logits).max()


class Threes(nn.Module):
    """Is written for three images at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)).reshape(3, 3)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_network_that_fixes_its_batch_is_refused(name: RuntimeName, tmp_path: Path) -> None:
    model = Model("module", {}, 3, (3, 32, 32), "tests:threes", (), Threes().eval(), dynamic=("batch",))
    with pytest.raises(UnsupportedError, match="fixes how many images it takes at once") as caught:
        runtimes.get(name).export(model, cpu_target(name, "fp32"), "fp32", tmp_path)
    assert "leave 'dynamic' out" in str(caught.value)


def test_a_recipe_asks_for_it_and_is_told_who_cannot(tmp_path: Path) -> None:
    (tmp_path / "batches.yaml").write_text(RECIPE, encoding="utf-8")
    said = command_line.run(tmp_path, "compress", "batches.yaml", "--out", "run")
    assert "android: its files have a fixed batch" in " ".join(said.split())
    record = read_record(tmp_path / "run")
    gates = {(one["artifact"], one["name"]): one for one in record["gates"]}
    for one in record["artifacts"]:
        if one["target"] == "pytorch":
            continue
        opened = one["target"] != "android"
        assert [spec["shape"][0] for spec in (*one["inputs"], *one["outputs"])] == [-1 if opened else 1] * 2
        assert one["status"] == "accepted"
        name = "batches/logits" if one["precision_requested"] == "fp32" else "batches/agreement"
        assert ((one["name"], name) in gates) == opened
        if opened:
            assert gates[one["name"], name]["passed"]
            assert one["details"]["in_batches"]["images"] == 40
    assert "nothing" in command_line.run(tmp_path, "check", "run")
