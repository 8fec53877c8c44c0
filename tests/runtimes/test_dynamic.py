"""Files whose batch or size is open: answered as one by one, as by the network; refused where it cannot be."""

from __future__ import annotations

import json
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
from edgekit.runtimes import open_axes
from edgekit.runtimes.open_axes import Sizes
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
input: {size: [64, 64]}
model: {architecture: test_resnet}
passes:
  - {kind: finetune, epochs: 1}
  - {kind: quantize, images: 16}
targets: [cpu, intel-cpu, android]
dynamic: [batch, size]
own_quantizers: false
evaluation: {bootstrap: 100}
benchmark: {warmup: 2, runs: 12, processes: 1, most_processes: 1, source: false}
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


def _timm(name: str, **arguments: int | bool) -> nn.Module:
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


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_other_sizes_are_answered_as_by_the_network(
    name: RuntimeName, precision: Precision, tmp_path: Path
) -> None:
    static = _ranges(small_model(), images())
    runtime, target = runtimes.get(name), cpu_target(name, precision)
    exported = runtime.export(replace(static, dynamic=("batch", "size")), target, precision, tmp_path)
    assert exported.inputs[0].shape == (-1, 3, -1, -1)
    assert exported.outputs[0].shape == (-1, 5)
    taken = Sizes(**exported.details["sizes"])
    assert (taken.step, taken.most) == (1, 128)
    assert taken.least < 32
    session = runtime.load(exported.path, target, precision)
    for size in ((48, 24), (32, 57), (32, 32)):
        inputs = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)
        with torch.no_grad():
            logits = static.network(inputs).numpy()
        found = session.run(inputs.numpy())
        assert np.abs(found - logits).max() <= (1e-5 * np.abs(logits).max() if precision == "fp32" else 0.3)
    (tmp_path / "static").mkdir()
    fixed = runtime.export(static, target, precision, tmp_path / "static")
    # The last run was of the recipe's own size.
    assert session.executed().macs == runtime.load(fixed.path, target, precision).executed().macs


class Padded(nn.Module):
    """Pads sides that it cannot halve, and so computes something else for them."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 2, 2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % 2 or x.shape[-2] % 2:
            x = nn.functional.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=1.0)
        logits: torch.Tensor = self.head(self.conv(x).mean((2, 3)))
        return logits


class Attentive(nn.Module):
    """Attention of four heads over patches, whose number is open."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 8, 8)
        self.mix = nn.Linear(16, 48)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        query, key, value = self.mix(tokens).reshape(len(x), -1, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind()
        found = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        logits: torch.Tensor = self.head((tokens + found).mean(1))
        return logits


def _any_size(name: str) -> nn.Module:
    return _timm(name, img_size=32, depth=2, dynamic_img_size=True)


@pytest.mark.parametrize(
    ("name", "build", "side", "wanted"),
    [
        pytest.param("onnxruntime", Padded, 30, Sizes(2, 4, 120), id="onnxruntime-padded"),
        pytest.param("openvino", Padded, 30, Sizes(2, 4, 120), id="openvino-padded"),
        pytest.param("onnxruntime", Attentive, 32, Sizes(1, 16, 128), id="onnxruntime-attention"),
        pytest.param("openvino", Attentive, 32, Sizes(1, 16, 128), id="openvino-attention"),
        # MobileViT stretches what it cannot cut into windows.
        pytest.param(
            "onnxruntime",
            lambda: _timm("mobilevit_xxs"),
            128,
            Sizes(64, 128, 512),
            id="windows",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "onnxruntime", lambda: _any_size("vit_tiny_patch16_224"), 64, Sizes(16, 32, 256), id="positions"
        ),
    ],
)
def test_sizes_that_are_computed_alike_are_found(
    name: RuntimeName, build: Callable[[], nn.Module], side: int, wanted: Sizes, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = Model("module", {}, 5, (3, side, side), "tests:x", (), build().eval(), dynamic=("size",))
    runtime, target = runtimes.get(name), cpu_target(name, "fp32")
    exported = runtime.export(model, target, "fp32", tmp_path)
    assert Sizes(**exported.details["sizes"]) == wanted
    session = runtime.load(exported.path, target, "fp32")
    for size in (*open_axes.others(wanted, (side, side)), (wanted.least, wanted.most // 2)):
        assert all(one % wanted.step == 0 and wanted.least <= one <= wanted.most for one in size)
        inputs = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            logits = model.network(inputs).numpy()
        assert np.abs(session.run(inputs.numpy()) - logits).max() <= 1e-3 * np.abs(logits).max()


def test_what_openvino_has_no_rule_for_is_named(tmp_path: Path) -> None:
    network = _any_size("vit_tiny_patch16_224").eval()
    model = Model("module", {}, 5, (3, 64, 64), "tests:x", (), network, dynamic=("size",))
    with pytest.raises(UnsupportedError, match=r"it has no rule for aten\._upsample_bicubic2d_aa"):
        runtimes.get("openvino").export(model, cpu_target("openvino", "fp32"), "fp32", tmp_path)


@pytest.mark.parametrize(
    ("build", "side", "message"),
    [
        pytest.param(
            lambda: _timm("vit_tiny_patch16_224", img_size=32, depth=1), 32, "doesn't match model", id="vit"
        ),
        pytest.param(Padded, 31, "31x31 is computed otherwise", id="own size"),
        pytest.param(Scanned, 32, "a selective scan is written out for images of one size", id="scan"),
    ],
)
def test_a_network_that_fixes_its_size_is_refused(
    build: Callable[[], nn.Module], side: int, message: str, tmp_path: Path
) -> None:
    model = Model("module", {}, 5, (3, side, side), "tests:x", (), build().eval(), dynamic=("size",))
    with pytest.raises(UnsupportedError, match=message) as caught:
        runtimes.get("onnxruntime").export(model, cpu_target("onnxruntime", "fp32"), "fp32", tmp_path)
    assert "leave 'size' out" in str(caught.value)


class Threes(nn.Module):
    """Is written for three images at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)).reshape(3, 3)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_network_that_fixes_its_batch_is_refused(name: RuntimeName, tmp_path: Path) -> None:
    model = Model("module", {}, 3, (3, 32, 32), "tests:threes", (), Threes().eval(), dynamic=("batch",))
    with pytest.raises(UnsupportedError, match="fixes how many images it takes at once") as caught:
        runtimes.get(name).export(model, cpu_target(name, "fp32"), "fp32", tmp_path)
    assert "leave 'batch' out" in str(caught.value)


def test_a_recipe_asks_for_it_and_is_told_who_cannot(tmp_path: Path) -> None:
    (tmp_path / "batches.yaml").write_text(RECIPE, encoding="utf-8")
    said = command_line.run(tmp_path, "compress", "batches.yaml", "--out", "run")
    assert "android: its files have a fixed batch and size;" in " ".join(said.split())
    record = read_record(tmp_path / "run")
    gates = {(one["artifact"], one["name"]): one for one in record["gates"]}
    for one in record["artifacts"]:
        if one["target"] == "pytorch":
            continue
        opened = one["target"] != "android"
        assert [spec["shape"][0] for spec in (*one["inputs"], *one["outputs"])] == [-1 if opened else 1] * 2
        assert one["status"] == "accepted"
        judged = "logits" if one["precision_requested"] == "fp32" else "agreement"
        for name, seen in (("batches", 40), ("sizes", 80)):
            gate = (one["name"], f"{name}/{judged}")
            assert (gate in gates) == opened
            if opened:
                assert gates[gate]["passed"]
                assert one["details"][f"in_{name}"]["images"] == seen
        if opened:
            card = json.loads((tmp_path / "run" / "artifacts" / one["name"] / "model.json").read_text("utf-8"))
            assert card["sizes"] == one["details"]["sizes"]
            assert card["inputs"][0]["shape"] == [-1, 3, -1, -1]
    assert "nothing" in command_line.run(tmp_path, "check", "run")
