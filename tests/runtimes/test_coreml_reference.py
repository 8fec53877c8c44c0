"""The reference for Core ML computes what the file says, and so finds what is wrong with a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit import runtimes
from edgekit.errors import DeviceError, UnsupportedError
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.runtimes import mil_operators
from edgekit.target import Precision, Target
from tests.networks import images, small_model

coremltools = pytest.importorskip("coremltools")
coreml_reference = pytest.importorskip("edgekit.runtimes.coreml_reference")


def _target(precision: Precision = "fp32") -> Target:
    return Target(
        schema_version=1,
        name="phone",
        description="test",
        runtime="coreml",
        device="ALL",
        precisions=(precision,),
    )


def _written(model: Model, folder: Path, precision: Precision = "fp32") -> Path:
    return runtimes.get("coreml").export(model, _target(precision), precision, folder).path


def _answers(path: Path) -> np.ndarray:
    session = coreml_reference.CoreMLReference(path)
    return np.concatenate([session.run(one[None]) for one in images().numpy()])


@pytest.fixture(scope="module")
def quantized() -> Model:
    model = small_model()
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in images()], lambda *_: None)
    return replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []})


@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_a_float_file_answers_as_the_model(precision: Precision, error: float, tmp_path: Path) -> None:
    path = _written(small_model(), tmp_path, precision)
    with torch.no_grad():
        wanted = small_model().network(images()).numpy()
    found = _answers(path)
    assert np.abs(found - wanted).max() <= error * np.abs(wanted).max()
    assert (np.abs(found - wanted).max() > 1e-6) == (precision == "fp16")
    said = coreml_reference.CoreMLReference(path).executed()
    assert said.precision == ("fp32" if precision == "fp32" else "unknown")
    assert "0 of its 5 layers" in said.how


def test_an_int8_file_answers_as_the_fake_quantized_model(quantized: Model, tmp_path: Path) -> None:
    from edgekit.runtimes.coreml import STYLE

    path = _written(quantized, tmp_path, "int8")
    network = program.in_precision(quantized, "int8", STYLE).module(check_guards=False)
    with torch.no_grad():
        wanted = torch.cat([network(one[None]) for one in images()]).numpy()
    assert np.abs(_answers(path) - wanted).max() <= 1e-4 * np.abs(wanted).max()
    session = coreml_reference.CoreMLReference(path)
    assert session.layers() == {"int8": 5}
    assert session.executed().precision == "unknown"


def test_the_runtime_checks_with_it_where_core_ml_does_not_run(tmp_path: Path) -> None:
    runtime, target = runtimes.get("coreml"), _target()
    assert runtime.cannot_check(target) is None
    if runtime.cannot_run(target) is not None:
        session = runtime.check(_written(small_model(), tmp_path), target, "fp32")
        assert isinstance(session, coreml_reference.CoreMLReference)


def _edited(path: Path, change: Callable[[Any], None]) -> Path:
    """The package with its program changed and its weights as they are."""
    model = coremltools.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    for block in spec.mlProgram.functions["main"].block_specializations.values():
        change(block.operations)
    changed = path.with_name("changed.mlpackage")
    coremltools.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True).save(str(changed))
    return changed


def _binding(operation: Any, argument: str) -> str:
    name: str = operation.inputs[argument].arguments[0].name
    return name


def test_swapped_weights_are_seen(tmp_path: Path) -> None:
    def swap(operations: Any) -> None:
        convolutions = [one for one in operations if one.type == "conv"]
        shapes = {one.outputs[0].name: one.outputs[0].type for one in operations if one.type == "const"}
        for first in convolutions:
            for second in convolutions:
                a, b = _binding(first, "weight"), _binding(second, "weight")
                if a != b and shapes[a] == shapes[b]:
                    first.inputs["weight"].arguments[0].name = b
                    second.inputs["weight"].arguments[0].name = a
                    return
        raise AssertionError("no two convolutions of one shape")

    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)))
            for one in self.layers.parameters():
                one.data = torch.randn(one.shape, generator=generator)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.layers[1](torch.relu(self.layers[0](x))).mean((2, 3))
            return found

    model = replace(small_model(), network=Twins().eval())
    path = _written(model, tmp_path)
    right = _answers(path)
    assert np.abs(_answers(_edited(path, swap)) - right).max() > 0.1 * np.abs(right).max()


def test_a_transpose_that_does_nothing_is_seen(tmp_path: Path) -> None:
    def undo(operations: Any) -> None:
        given = {_binding(one, "perm") for one in operations if one.type == "transpose"}
        for one in operations:
            if one.type == "const" and one.outputs[0].name in given:
                held = one.attributes["val"].immediateValue.tensor.ints.values
                held[:] = range(len(held))

    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.mT * torch.linspace(0, 1, 32)).sum(3).mean(1)[:, :5]

    path = _written(replace(small_model(), network=Turned()), tmp_path)
    right = _answers(path)
    assert np.abs(_answers(_edited(path, undo)) - right).max() > 0.1 * np.abs(right).max()


def test_a_wrong_scale_is_seen(quantized: Model, tmp_path: Path) -> None:
    def doubled(operations: Any) -> None:
        scale = _binding(next(one for one in operations if one.type == "dequantize"), "scale")
        held = next(one for one in operations if one.outputs[0].name == scale)
        values = held.attributes["val"].immediateValue.tensor.floats.values
        values[:] = [2 * value for value in values]

    path = _written(quantized, tmp_path, "int8")
    right = _answers(path)
    assert np.abs(_answers(_edited(path, doubled)) - right).max() > 0.1 * np.abs(right).max()


def test_an_operator_it_does_not_know_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(small_model(), tmp_path)
    monkeypatch.delitem(mil_operators.OPERATORS, "conv")
    with pytest.raises(UnsupportedError, match="does not know conv") as caught:
        coreml_reference.CoreMLReference(path)
    assert "Mac" in str(caught.value.remedy)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.mlpackage").mkdir()
    with pytest.raises(DeviceError, match="cannot load it"):
        coreml_reference.CoreMLReference(tmp_path / "model.mlpackage")


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for one in (*module.parameters(), *module.buffers()):
        if one.is_floating_point():
            one.data = torch.rand(one.shape, generator=generator) + 0.1
    return module.eval()


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Its result."""
        return self.function(x)


#: What coremltools makes of these is computed by its own rules; the result must be PyTorch's.
CASES: dict[str, nn.Module | Callable[[Tensor], Tensor]] = {
    "conv with stride, dilation and groups": nn.Conv2d(3, 6, 3, stride=2, padding=2, dilation=2, groups=3),
    "conv that keeps the size": nn.Conv2d(3, 4, 4, padding="same"),
    "conv1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 2, 5, padding=1)),
    "conv3d": nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 3, padding=1)),
    "transposed convolution": nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1),
    "batch normalization": nn.BatchNorm2d(3),
    "group normalization": nn.GroupNorm(3, 3),
    "instance normalization": nn.InstanceNorm2d(3, affine=True),
    "layer normalization": nn.LayerNorm([32, 32]),
    "max pooling": nn.MaxPool2d(3, 2, padding=1),
    "average pooling": nn.AvgPool2d(3, 2, padding=1),
    "average pooling without its padding": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "average pooling of all rows": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    "max pooling of all rows": nn.MaxPool2d(3, 2, ceil_mode=True),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False),
    "bilinear, corners aligned": lambda x: F.interpolate(x, (48, 40), mode="bilinear", align_corners=True),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    "linear": nn.Linear(32, 7),
    "PReLU": nn.PReLU(3),
    "GELU": nn.GELU(),
    "GELU by tanh": nn.GELU("tanh"),
    "hard swish": nn.Hardswish(),
    "hard sigmoid": nn.Hardsigmoid(),
    "SiLU": nn.SiLU(),
    "ELU": nn.ELU(),
    "leaky ReLU": nn.LeakyReLU(0.1),
    "ReLU6": nn.ReLU6(),
    "softplus": nn.Softplus(),
    "softmax": nn.Softmax(1),
    "log and square root": lambda x: torch.log(x.abs() + 0.5) * torch.rsqrt(x.square() + 1),
    "powers and trigonometry": lambda x: torch.pow(x.abs(), 1.5) + torch.sin(x) * torch.exp(-x.abs()) + x.erf(),
    "comparison": lambda x: torch.where(x > 0.2, x, -2 * x).clamp(-1.5, 1.5),
    "extremes": lambda x: torch.maximum(x, x.flip(3)) - torch.minimum(x, x.amax(2, keepdim=True)),
    "sums": lambda x: x.sum(1, keepdim=True) + x.mean((2, 3), keepdim=True) + torch.logsumexp(x, 3, keepdim=True),
    "running sum": lambda x: x.cumsum(3),
    "slices": lambda x: x[:, :, 1:-3:2, -5:],
    "split and joined": lambda x: (
        torch.cat(torch.split(x, [5, 20, 7], 3)[::-1], 3) + torch.stack(x.unbind(1)[::-1], 1)
    ),
    "turned": lambda x: (x.permute(0, 2, 3, 1).unsqueeze(2).flatten(3) @ torch.ones(96, 4)).squeeze(2),
    "product of matrices": lambda x: x @ x.mT,
    "einsum": lambda x: torch.einsum("nchw,nkhw->nckh", x, x),
    "padding": lambda x: F.pad(x, (1, 2, 3, 0), value=0.5) + F.pad(x, (1, 2, 3, 0), mode="replicate"),
    "reflection": lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect"),
    "repeated": lambda x: x.repeat(1, 2, 1, 3),
    "rows by index": lambda x: x.index_select(2, torch.tensor([3, 0, 3])),
    "pixel shuffle of reshape": lambda x: x.reshape(-1, 3, 16, 2, 32).transpose(3, 4).reshape(-1, 3, 16, 64),
}


#: coremltools writes the gain as a batch_norm of variance 1 with an epsilon: the file itself is a little wrong.
INEXACT = {"group normalization": 6e-6}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_pytorch_does(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    network = _seeded(case) if isinstance(case, nn.Module) else Lambda(case)
    one = images()[:1] - 0.3
    path = _written(replace(small_model(), network=network), tmp_path)
    with torch.no_grad():
        wanted = network(one).numpy()
    found = coreml_reference.CoreMLReference(path).run(one.numpy())
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= INEXACT.get(name, 2e-6) * max(1, np.abs(wanted).max())
