"""Several kernels a channel, as plain depthwise convolutions: the same result, and a kernel for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import runtimes
from edgekit import target as targets
from edgekit.model import Model
from edgekit.quantization import calibration, placement, program
from edgekit.quantization.placement import PORTABLE, Style
from edgekit.runtimes.forms import depthwise
from edgekit.target import Precision

PLAIN = Style("test", plain_depthwise=True)


class Embedding(nn.Module):
    """FastViT's: two kernels a channel, then a convolution over all of them, or several readers."""

    def __init__(self, times: int = 2, several_readers: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.large = nn.Conv2d(8, 8 * times, 5, 2, 2, groups=8, bias=bias)
        self.narrow = nn.Conv2d(8 * times, 6, 1)
        self.head = nn.Linear(6, 5)
        self.several_readers = several_readers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(self.large(self.stem(x)))
        if self.several_readers:
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        logits: torch.Tensor = self.head(self.narrow(x).mean((2, 3)))
        return logits


def _model(network: nn.Module) -> tuple[Model, torch.Tensor]:
    torch.manual_seed(0)
    model = Model("module", {}, 5, (3, 16, 16), None, (), network.eval())
    images = torch.randn(4, 3, 16, 16)
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in images], lambda *_: None)
    ranges = {name: list(span) for name, span in spans.items()}
    return replace(model, quantization={"ranges": ranges, "keep_float": []}), images


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("several_readers", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_same_comes_out(bias: bool, several_readers: bool, times: int, precision: Precision) -> None:
    model, images = _model(Embedding(times, several_readers, bias))
    before, after = (
        program.run(program.in_precision(model, precision, style), images.numpy()) for style in (PORTABLE, PLAIN)
    )
    assert np.abs(before - after).max() <= 2e-6 * np.abs(before).max()


def test_groups_channels_and_names() -> None:
    graph = program.float_graph(_model(Embedding())[0])
    names = [placement.layer_name(one) for one in placement.compute_nodes(graph)]
    assert depthwise.plain(graph) == 1
    layers = placement.compute_nodes(graph)
    assert [placement.layer_name(one) for one in layers] == names
    assert placement.weight_of(graph, layers[2]).shape == (16, 1, 5, 5)
    assert layers[2].args[6] == 16
    assert depthwise.plain(graph) == 0


@pytest.mark.parametrize("name", ["cpu", "intel-cpu"])
def test_runtimes_run_it_in_int8(name: str, tmp_path: Path) -> None:
    target = targets.load(name)
    runtime = runtimes.get(target.runtime)
    if runtime.cannot_export(target):
        pytest.skip(f"{target.runtime} is not installed")
    model, images = _model(Embedding())
    session = runtime.load(runtime.export(model, target, "int8", tmp_path).path, target, "int8")
    found = np.concatenate([session.run(one[None]).copy() for one in images.numpy()])
    with torch.no_grad():
        logits = model.network(images).numpy()
    assert np.abs(found - logits).max() <= 0.05 * np.abs(logits).max()
    # Of 16 channels at 8 x 8, 25 products each, which ORT could not run in INT8 as 8 groups.
    assert session.executed().macs["int8"] >= 16 * 64 * 25
