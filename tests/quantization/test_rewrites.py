"""Changes of a quantized graph that give the same result."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import runtimes
from edgekit import target as targets
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.quantization.placement import Style

FLOAT_TOKENS = Style("test", linear_output=False, bias_apart=True)


class Gated(nn.Module):
    """Tokens of a linear layer in three pieces, of which one gates another."""

    def __init__(self, bias: bool = True, axis: int = -1) -> None:
        super().__init__()
        self.fc1, self.fc2, self.axis = nn.Linear(8, 30, bias=bias), nn.Linear(10, 5), axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, first, second = torch.split(self.fc1(x), [10, 10, 10], self.axis)
        found: torch.Tensor = self.fc2(first * torch.sigmoid(gate) + second).mean(1)
        return found


class Tokens(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.conv, self.inner = nn.Conv2d(3, 8, 4, 4), inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner(self.conv(x).flatten(2).transpose(1, 2))
        return found


def _quantized(network: nn.Module, classes: int = 5) -> tuple[Model, torch.Tensor]:
    torch.manual_seed(0)
    model = Model("module", {}, classes, (3, 16, 16), None, (), network.eval())
    images = torch.randn(4, 3, 16, 16)
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in images], lambda *_: None)
    ranges = {name: list(span) for name, span in spans.items()}
    return replace(model, quantization={"ranges": ranges, "keep_float": []}), images


def _answers(model: Model, images: torch.Tensor, style: Style) -> np.ndarray:
    return program.run(program.quantized_program(model, style), images.numpy())


def _operators(model: Model, style: Style) -> Counter[str]:
    graph = program.quantized_program(model, style).graph
    return Counter(str(node.target).split(".")[1] for node in graph.nodes if str(node.target).startswith("aten."))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_that_is_cut_becomes_one_for_each_piece(bias: bool) -> None:
    model, images = _quantized(Tokens(Gated(bias)))
    found = _operators(model, FLOAT_TOKENS)
    assert found["linear"] == 4
    assert not {"split", "split_with_sizes"} & set(found)
    assert found["add"] == 1 + 3 * bias + 1
    whole = replace(model, quantization={**(model.quantization or {}), "keep_float": ["inner.fc1"]})
    assert _operators(whole, FLOAT_TOKENS)["linear"] == 2
    # The pieces have the scales of the whole: only where results are rounded differs.
    np.testing.assert_allclose(
        _answers(model, images, FLOAT_TOKENS), _answers(model, images, Style("test")), atol=0.02
    )


def test_a_linear_layer_cut_along_the_tokens_stays_whole() -> None:
    class Apart(Gated):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = torch.split(self.fc1(x), [8, 8], 1)
            found: torch.Tensor = self.fc2((first * second)[..., :10]).mean(1)
            return found

    model, _ = _quantized(Tokens(Apart()))
    assert _operators(model, FLOAT_TOKENS)["linear"] == 2


def test_the_bias_is_added_behind_the_product_where_the_result_stays_in_float() -> None:
    inner = nn.Sequential(nn.Linear(8, 10), nn.GELU(), nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 5), nn.Flatten())
    model, images = _quantized(Tokens(inner), 80)
    # The second is read by an INT8 layer, whose kernel takes the bias.
    assert _operators(model, FLOAT_TOKENS)["add"] == 2
    assert _operators(model, Style("test"))["add"] == 0
    np.testing.assert_allclose(
        _answers(model, images, FLOAT_TOKENS), _answers(model, images, Style("test")), atol=0.02
    )


def test_what_was_trained_with_its_rounding_keeps_it() -> None:
    model, images = _quantized(Tokens(Gated()))
    trained = replace(model, quantization={**(model.quantization or {}), "as_trained": True})
    whole = Style("test")
    for style in (whole, replace(whole, linear_output=False, lone_depthwise=False, least_products=10**9)):
        np.testing.assert_array_equal(_answers(trained, images, style), _answers(model, images, whole))


def test_onnx_runtime_runs_such_layers_in_int8_and_the_pooling_of_float_values_in_float(tmp_path: Path) -> None:
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 2, 2))
    model, images = _quantized(
        nn.Sequential(stem, nn.Flatten(2), nn.Linear(16, 30), Halves(), nn.Flatten()), 8 * 15
    )
    target, runtime = targets.load("cpu"), runtimes.get("onnxruntime")
    exported = runtime.export(model, target, "int8", tmp_path)
    session = runtime.load(exported.path, target, "int8")
    executed = session.executed()
    assert executed.layers == {"int8": 3, "fp32": 1}
    assert len(executed.fallbacks) == 1
    found = np.concatenate([session.run(one[None].numpy()) for one in images])
    style = runtimes.onnxruntime.STYLE
    np.testing.assert_allclose(found, _answers(model, images, style), atol=1e-5)


class Halves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return first * torch.sigmoid(second)


class Attention(nn.Module):
    """Queries, keys and values by one layer, as in most vision transformers."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(8, 24), nn.Linear(8, 5), heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cut = self.qkv(x).reshape(len(x), x.shape[1], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = cut.unbind(0)
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        logits: torch.Tensor = self.out(found.transpose(1, 2).flatten(2)).mean(1)
        return logits


def test_queries_keys_and_values_get_a_layer_each() -> None:
    model, images = _quantized(Tokens(Attention()))
    apart = _operators(model, FLOAT_TOKENS)
    assert apart["linear"] == 4
    assert apart["unbind"] == 0
    before, after = (_answers(model, images, style) for style in (Style("test"), FLOAT_TOKENS))
    with torch.no_grad():
        right = model.network(images).numpy()
    # Their result is not rounded now, so it is nearer to the float network's than to the other program's.
    assert np.abs(after - right).max() <= 1.5 * np.abs(before - right).max()
