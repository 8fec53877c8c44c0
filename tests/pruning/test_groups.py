from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.passes import Context, PassError, Prune
from edgekit.pruning.axes import axes
from edgekit.pruning.groups import find
from tests.pruning import nets


def test_residual_channels_go_together() -> None:
    model = nets.model(nets.Residual())
    groups, left = find(model.network, model.input_size, frozenset({"head"}))
    assert left == {}
    assert {frozenset(group.givers) for group in groups} == {
        frozenset({"stem.0"}),
        frozenset({"up.0", "middle.two.0"}),
        frozenset({"middle.one.0"}),
    }


def test_groups_of_a_convolution_stay_equal() -> None:
    model = nets.model(nets.SAFE["grouped"]())
    groups, _ = find(model.network, model.input_size, frozenset({"head"}))
    tied = {group.name: (group.size, group.width) for group in groups}
    assert tied == {
        "stem.0": (16, 1),
        "up.0": (32, 1),
        "middle.0.0": (16, 4),
        "middle.1.0": (16, 4),
        "middle.2.0": (32, 1),
    }


def test_logits_are_no_group() -> None:
    model = nets.model(nn.Identity())
    groups, _ = find(model.network, model.input_size, frozenset({"head"}))
    assert "head" not in {name for group in groups for name in group.givers}


def test_a_network_that_cannot_be_traced(prepared_none: Context) -> None:
    class Detached(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy(force=False))

    message = r"cannot trace this network: RuntimeError.*numpy.* in forward\).*rewrite that operation"
    with pytest.raises(PassError, match=message):
        Prune(ratio=0.5).apply(nets.model(Detached()), prepared_none)


@pytest.mark.parametrize(
    ("layer", "side", "size", "period"),
    [
        (nn.Conv2d(8, 12, 3, groups=4), "in", 8, 2),
        (nn.Conv2d(8, 12, 3, groups=4), "out", 12, 3),
        (nn.Conv2d(8, 8, 3, groups=8), "both", 8, 8),
        (nn.ConvTranspose2d(8, 12, 3), "out", 12, 12),
        (nn.GroupNorm(4, 8), "both", 8, 2),
        (nn.LayerNorm(8), "both", 8, 8),
    ],
)
def test_axes(layer: nn.Module, side: str, size: int, period: int) -> None:
    found = axes(layer, side)  # type: ignore[arg-type]
    assert found is not None
    assert (found.size, found.period) == (size, period)
    for name, dim in found.tensors:
        assert getattr(layer, name).shape[dim] in (size, period)


@pytest.mark.parametrize(
    "layer", [nn.LSTM(4, 4), nn.MultiheadAttention(4, 2), nn.Conv2d(8, 4, 1, groups=4), nn.LayerNorm((4, 4))]
)
def test_unknown_layers(layer: nn.Module) -> None:
    assert axes(layer, "both") is None
