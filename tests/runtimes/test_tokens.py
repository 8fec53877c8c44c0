"""Tokens of images in one row: the same result, with no linear layer or normalization of four axes left."""

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
from edgekit.quantization import calibration, program
from edgekit.quantization.placement import PORTABLE, Style, operator

ROWS = Style("test", rows=True)


class Gated(nn.Module):
    """A block of MambaOut's kind: normalization, a layer cut in three, a convolution, a gate and a sum."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.stem = conv(3, 8, 2, 2)
        self.norm = nn.LayerNorm(8)
        self.wide = nn.Linear(8, 24)
        self.mix = conv(8, 8, 3, padding=1, groups=8)
        self.narrow = nn.Linear(12, 8)
        self.head = nn.Linear(8, 5)
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).movedim(1, -1)
        gate, kept, mixed = torch.split(self.wide(self.norm(x)), [12, 4, 8], -1)
        mixed = self.mix(mixed.movedim(-1, 1)).movedim(1, -1)
        x = x + self.scale * self.narrow(nn.functional.gelu(gate) * torch.cat([kept, mixed], -1))
        logits: torch.Tensor = self.head(x.flatten(1, -2).mean(1))
        return logits


def _model(axes: int) -> tuple[Model, torch.Tensor]:
    torch.manual_seed(0)
    model = Model("module", {}, 5, (3, *[12, 8, 6][:axes]), None, (), Gated(axes).eval())
    images = torch.randn(4, *model.input_size)
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in images], lambda *_: None)
    ranges = {name: list(span) for name, span in spans.items()}
    return replace(model, quantization={"ranges": ranges, "keep_float": []}), images


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("axes", [2, 3])
def test_the_same_comes_out(axes: int, precision: str) -> None:
    model, images = _model(axes)
    made = {style.name: program.in_precision(model, precision, style) for style in (PORTABLE, ROWS)}  # type: ignore[arg-type]
    before, after = (program.run(one, images.numpy()) for one in made.values())
    assert np.abs(before - after).max() <= 2e-6 * np.abs(before).max()
    for node in made["test"].graph.nodes:
        if operator(node) in ("linear", "layer_norm", "gelu", "mul", "cat"):
            assert node.meta["val"].ndim <= 3
    assert any(node.meta["val"].ndim > 3 for node in made["portable"].graph.nodes if operator(node) == "layer_norm")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_agrees(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model, images = _model(2)
    runtime, target = runtimes.get("openvino"), targets.load("intel-cpu")
    session = runtime.load(runtime.export(model, target, precision, tmp_path).path, target, precision)  # type: ignore[arg-type]
    found = np.concatenate([session.run(one[None]).copy() for one in images.numpy()])
    with torch.no_grad():
        logits = model.network(images).numpy()
    assert np.abs(found - logits).max() <= (1e-5 if precision == "fp32" else 0.05) * np.abs(logits).max()


def test_images_stay_images() -> None:
    class Plain(nn.Module):
        """Works on the last axis of an image, which is no axis of tokens."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = nn.functional.gelu(self.conv(x)).chunk(2, -1)
            return torch.cat([left, right], -1).mean((2, 3))

    model = Model("module", {}, 5, (3, 8, 8), None, (), Plain().eval())
    made = program.float_program(model, ROWS)
    assert "flatten" not in {operator(node) for node in made.graph.nodes}
