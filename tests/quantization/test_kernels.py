"""Which layers a runtime is better left to run in float."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.model import Model
from edgekit.quantization import kernels, placement, program
from edgekit.quantization.placement import Style

SPARING = Style("some", lone_depthwise=False, least_products=256)


def _better(network: nn.Module, style: Style = SPARING, keep_float: tuple[str, ...] = ()) -> tuple[str, ...]:
    model = Model("module", {}, 8, (3, 16, 16), None, (), network.eval())
    return kernels.better_in_float(program.float_graph(model), style, keep_float)


def _separable(activation: nn.Module) -> nn.Sequential:
    """1x1, depthwise, 1x1."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 16, padding=8),
        activation,
        nn.Conv2d(64, 64, 3, groups=64),
        activation,
        nn.Conv2d(64, 8, 1),
    )


def test_a_depthwise_convolution_runs_in_int8_only_behind_another_int8_layer() -> None:
    assert _better(_separable(nn.ReLU())) == ()
    assert _better(_separable(nn.ReLU()), keep_float=("0",)) == ("2",)
    assert _better(_separable(nn.GELU())) == ("2",)
    assert _better(_separable(nn.GELU()), placement.PORTABLE) == ()


class Summed(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 16), nn.Conv2d(3, 8, 16)
        self.depthwise, self.activation = nn.Conv2d(8, 8, 1, groups=8), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.depthwise(self.activation(self.first(x)) + self.second(x)).flatten(1)
        return found


def test_a_sum_of_int8_layers_counts_as_one() -> None:
    assert _better(Summed(nn.ReLU())) == ()
    assert _better(Summed(nn.Tanh())) == ("depthwise",)


def test_convolutions_of_an_image_need_enough_products() -> None:
    few, enough = nn.Conv2d(3, 8, 9), nn.Conv2d(3, 8, 10)  # 243 and 300 products
    behind = nn.Conv2d(8, 8, 1)
    assert _better(nn.Sequential(few, nn.ReLU(), behind, nn.Flatten())) == ("0",)
    assert _better(nn.Sequential(enough, nn.ReLU(), behind, nn.Flatten())) == ()
