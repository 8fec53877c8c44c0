"""What TensorRT asks of explicit quantization is checked on real graphs, and each rule can be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import runtimes
from edgekit.errors import UnsupportedError
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.runtimes import tensorrt_rules
from edgekit.target import Target
from tests.networks import images, small_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
TARGET = Target(
    schema_version=1, name="gpu", description="test", runtime="tensorrt", device="GPU", precisions=("int8",)
)


def _written(model: Model, folder: Path) -> Any:
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in images()], lambda *_: None)
    ready = replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []})
    exported = runtimes.get("tensorrt").export(ready, TARGET, "int8", folder)
    return onnx.load(exported.path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _written(small_model(), tmp_path_factory.mktemp("tensorrt"))


class Tokens(nn.Module):
    """Linear layers on three axes, whose weights ONNX transposes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, 3, 32, 32]`` -> ``[N, 5]``."""
        logits: torch.Tensor = self.second(torch.relu(self.first(x.flatten(1, 2)))).mean(1)
        return logits


def test_what_edgekit_writes_keeps_the_rules(file: Any, tmp_path: Path) -> None:
    assert tensorrt_rules.broken(file) == []
    assert tensorrt_rules.quantized_layers(file) == (5, 5)
    tokens = _written(replace(small_model(), network=Tokens().eval()), tmp_path)
    assert tensorrt_rules.broken(tokens) == []
    assert tensorrt_rules.quantized_layers(tokens) == (2, 2)


def test_constants_may_be_plain_numbers(file: Any) -> None:
    model = onnx.ModelProto.FromString(file.SerializeToString())
    values: dict[str, Any] = {"value_ints": [1, 2], "value_float": 0.5, "value_int": 3}
    for name, value in values.items():
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [name], **{name: value}))
    assert tensorrt_rules.broken(model) == []


def test_a_float_file_has_no_layer_in_int8(tmp_path: Path) -> None:
    exported = runtimes.get("tensorrt").export(small_model(), TARGET, "fp16", tmp_path)
    assert tensorrt_rules.quantized_layers(onnx.load(exported.path)) == (0, 5)
    assert exported.details["layers_in_int8"] == "0 of 5"


def _first(model: Any, kind: str, channels: int | None = None) -> Any:
    """The first node of a kind, or the first with so many scales."""
    nodes = [node for node in model.graph.node if node.op_type == kind]
    return next(one for one in nodes if channels is None or _held(model, one.input[1]).size == channels)


def _held(model: Any, name: str) -> Any:
    found = [one for one in model.graph.initializer if one.name == name]
    found += [n.attribute[0].t for n in model.graph.node if n.op_type == "Constant" and n.output[0] == name]
    return onnx.numpy_helper.to_array(found[0]) if found else np.zeros(0)


def _give(model: Any, node: Any, index: int, values: Any) -> None:
    """A constant of its own for one input of one node."""
    name = f"given_{index}"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    node.input[index] = name


def _zero_point(model: Any) -> None:
    _give(model, _first(model, "QuantizeLinear"), 2, np.int8(3))


def _unsigned(model: Any) -> None:
    _give(model, _first(model, "QuantizeLinear"), 2, np.uint8(0))


def _negative(model: Any) -> None:
    _give(model, _first(model, "QuantizeLinear"), 1, np.float32(-0.1))


def _computed(model: Any) -> None:
    _first(model, "QuantizeLinear").input[1] = "somewhere"


def _of_channels(model: Any) -> None:
    _give(model, _first(model, "QuantizeLinear"), 1, np.full(3, 0.1, np.float32))


def _other_axis(model: Any) -> None:
    node = _first(model, "DequantizeLinear", 16)
    next(one for one in node.attribute if one.name == "axis").i = 1


def _scales(model: Any) -> None:
    _give(model, _first(model, "DequantizeLinear", 16), 1, np.full(7, 0.1, np.float32))


def _unknown(model: Any) -> None:
    _first(model, "Relu").op_type = "NonZero"


def _foreign(model: Any) -> None:
    _first(model, "Relu").domain = "com.microsoft"


def _opset(model: Any) -> None:
    model.opset_import[0].version = 24


def _input_left(model: Any) -> None:
    node = _first(model, "Conv")
    node.input[0] = model.graph.input[0].name


def _weights_left(model: Any) -> None:
    node = _first(model, "Conv")
    _give(model, node, 1, np.zeros((16, 3, 3, 3), np.float32))


BROKEN: dict[str, Callable[[Any], None]] = {
    "its zero point is not zero": _zero_point,
    "its data is uint8, not int8": _unsigned,
    "a scale is not above zero": _negative,
    "its scale is no constant": _computed,
    "an activation has a scale for each channel": _of_channels,
    "scales along axis 1, but output channels of Conv are axis 0": _other_axis,
    "7 scales for an axis of 16": _scales,
    "the operator NonZero is not in its support matrix": _unknown,
    "operators of the domain com.microsoft are unknown to it": _foreign,
    "opset 24; TensorRT 10 reads 9 to 20": _opset,
    "its weights are quantized and its input is not": _input_left,
    "its input is quantized and its weights are not": _weights_left,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(file: Any, rule: str) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(file)
    BROKEN[rule](changed)
    assert any(rule in problem for problem in tensorrt_rules.broken(changed))


def test_a_file_that_breaks_one_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_rules, "OPERATORS", tensorrt_rules.OPERATORS - {"Relu"})
    with pytest.raises(UnsupportedError, match=r"TensorRT would not take the ONNX file.*the operator Relu"):
        runtimes.get("tensorrt").export(small_model(), TARGET, "fp16", tmp_path)
