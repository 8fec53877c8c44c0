"""The runtimes' own INT8 quantizers: their files load, answer as the model does, and are no float files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import runtimes
from edgekit.errors import UnsupportedError
from edgekit.model import Model
from edgekit.runtimes import own_int8, support
from edgekit.runtimes.base import Exported
from edgekit.target import RuntimeName
from tests.networks import SIZE, cpu_target, images, small_model


def _wide_model() -> Model:
    """With a layer whose weights are many enough for coremltools, which leaves small ones alone."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return Model(
        "module", {}, 5, SIZE, "none:none", (), nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 5)).eval()
    )


def _float_file(name: RuntimeName, model: Model, folder: Path) -> Exported:
    (folder / "float").mkdir()
    return runtimes.get(name).export(model, cpu_target(name, "int8"), "fp32", folder / "float")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "litert", "coreml"])
def test_a_file_of_the_runtimes_own_tool(name: RuntimeName, tmp_path: Path) -> None:
    tool = own_int8.get(name)
    assert tool is not None
    absent = support.missing(*tool.missing) or runtimes.get(name).cannot_export(cpu_target(name, "int8"))
    if absent:
        pytest.skip(absent)
    inputs, target = images().numpy(), cpu_target(name, "int8")
    model = _wide_model()
    made = tool.quantize(_float_file(name, model, tmp_path), inputs, target, tmp_path)
    session = runtimes.get(name).check(made.path, target, "int8")
    given = np.concatenate([session.run(one[None]).copy() for one in inputs])
    with torch.no_grad():
        logits = model.network(torch.from_numpy(inputs)).numpy()
    # The mean, as a tool's ranges may cut the largest values off.
    difference = np.abs(given - logits).mean() / np.abs(logits).mean()
    assert 1e-5 < difference < 0.1, "a float file would be closer, a wrong one further away"
    if name != "coreml":  # whose weights alone are INT8
        assert session.executed().layers.get("int8", 0) > 0


def test_what_a_tool_does_not_take_is_said_by_its_name(tmp_path: Path) -> None:
    tool = own_int8.get("onnxruntime")
    assert tool is not None
    if support.missing(*tool.missing):
        pytest.skip("onnxruntime is not installed")
    made = _float_file("onnxruntime", small_model(), tmp_path)
    with pytest.raises(UnsupportedError, match="ONNX Runtime's quantizer cannot take the network"):
        tool.quantize(made, images().numpy()[:, :, :16], cpu_target("onnxruntime", "int8"), tmp_path)


def test_nothing_quantized_is_no_int8_file(tmp_path: Path) -> None:
    tool = own_int8.get("coreml")
    assert tool is not None
    if support.missing(*tool.missing):
        pytest.skip("coremltools is not installed")
    made = _float_file("coreml", small_model(), tmp_path)
    with pytest.raises(UnsupportedError, match="left every weight in float"):
        tool.quantize(made, images().numpy(), cpu_target("coreml", "int8"), tmp_path)


def test_pytorch_brings_none() -> None:
    assert own_int8.get("torch_eager") is None
