from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.data.prepared import Prepared
from edgekit.model import Model, create, logits
from edgekit.passes import Context, PassError, Reparameterize
from edgekit.passes.reparameterize import merge
from edgekit.recipe import ModelConfig


class Branches(nn.Module):
    """A block that converts itself in place, as RepVGG's own code does."""

    def __init__(self) -> None:
        super().__init__()
        self.deploy = False
        self.wide, self.narrow = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide: torch.Tensor = self.wide(x)
        return wide if self.deploy else wide + self.narrow(x)

    def switch_to_deploy(self) -> None:
        if self.deploy:
            return
        self.wide.weight.data[:, :, 1:2, 1:2] += self.narrow.weight
        assert self.wide.bias is not None
        assert self.narrow.bias is not None
        self.wide.bias.data += self.narrow.bias
        del self.narrow
        self.deploy = True


class Normed(nn.Module):
    """A block that gives back what stands for it, as LeViT's code does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.bn(self.conv(x))
        return result

    def fuse(self) -> nn.Module:
        return nn.utils.fusion.fuse_conv_bn_eval(self.conv, self.bn)


def test_mobileone(prepared: Prepared, images: NDArray[np.float32], tmp_path: Path) -> None:
    model, _ = create(ModelConfig(architecture="mobileone_s0"), prepared.classes, prepared.preprocessing, None)
    parameters, before = model.parameter_count, logits(model, images)
    outcome = Reparameterize().apply(model, Context(prepared))
    after = logits(outcome.model, images)
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()
    assert outcome.changes["merged"] == len(outcome.changes["layers"]) == 43
    assert outcome.model.parameter_count < model.parameter_count == parameters
    assert np.array_equal(logits(model, images), before), "the argument was changed"
    outcome.model.save(tmp_path)
    assert np.array_equal(logits(Model.load(tmp_path), images), after)


def test_own_blocks_in_both_styles() -> None:
    network = nn.Sequential(Branches(), nn.Sequential(Normed())).eval()
    image = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = network(image)
        merged, names = merge(network)
        torch.testing.assert_close(merged(image), expected)
    assert names == ["0", "1.0"]
    assert type(merged.get_submodule("1.0")) is nn.Conv2d
    assert merge(merged)[1] == [], "merging twice must change nothing"


def test_outermost_network_with_a_method_of_its_own() -> None:
    merged, names = merge(Normed().eval())
    assert type(merged) is nn.Conv2d
    assert names == ["Normed"]


def test_nothing_to_merge(resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=r"'test_resnet' has no branches to merge.*leave the pass out"):
        Reparameterize().apply(resnet, Context(prepared))


def test_a_factorized_layer_is_no_branch() -> None:
    assert "reparameterize first" in Reparameterize.not_after["factorize"]
