from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.data.prepared import Prepared
from edgekit.model import Model, create, logits
from edgekit.passes import Context, FoldBatchnorm, PassError
from edgekit.passes.batchnorm_pairs import find
from edgekit.recipe import ModelConfig


def settled(network: nn.Module) -> nn.Module:
    """``network`` in eval mode with statistics as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.5), (module.bias, -0.2)):
                if tensor is not None:
                    tensor.data.uniform_(low, low + 1, generator=generator)
    return network.eval()


class Odd(nn.Module):
    """Every BatchNorm here but 'good' must be left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.good = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.branched, self.after_branch = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.shared, self.one, self.two = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.after_relu = nn.BatchNorm2d(4)
        self.batch_only = nn.BatchNorm2d(4, track_running_stats=False)
        self.idle = nn.BatchNorm2d(4)
        self.twice_layer, self.twice = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.good(self.first(x))
        branch = self.branched(x)
        x = self.after_branch(branch) + branch
        x = self.one(self.shared(x)) + self.two(self.shared(x))
        x = self.batch_only(self.after_relu(x.relu()))
        x = self.twice(self.twice(self.twice_layer(x)))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def test_folds_only_what_is_safe() -> None:
    pairs, left = find(settled(Odd()), (3, 16, 16))
    assert pairs == [("first", "good")]
    assert set(left) == {"after_branch", "one", "two", "after_relu", "batch_only", "idle", "twice"}
    assert "used elsewhere" in left["after_branch"]
    assert "more than once" in left["one"]
    assert "more than once" in left["two"]
    assert "not come straight" in left["after_relu"]
    assert "batch at hand" in left["batch_only"]
    assert "did not run" in left["idle"]
    assert "more than once" in left["twice"]


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_byobnet"])
def test_keeps_the_logits(
    architecture: str, prepared: Prepared, images: NDArray[np.float32], tmp_path: Path
) -> None:
    model, _ = create(ModelConfig(architecture=architecture), prepared.classes, prepared.preprocessing, None)
    settled(model.network)
    before = logits(model, images)
    outcome = FoldBatchnorm().apply(model, Context(prepared))
    after = logits(outcome.model, images)
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()
    assert outcome.changes["folded"] > 0
    assert outcome.changes["left"] == {}
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in outcome.model.network.modules())
    assert np.array_equal(logits(model, images), before), "the argument was changed"
    outcome.model.save(tmp_path)
    assert np.array_equal(logits(Model.load(tmp_path), images), after)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
        nn.Conv2d(4, 6, (1, 3), bias=True),
        nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
    ],
)
def test_kinds_of_convolution(layer: nn.Module, resnet: Model, prepared: Prepared) -> None:
    network = settled(nn.Sequential(layer, nn.BatchNorm2d(6, affine=False), nn.ReLU()))
    model = replace(resnet, network=network, input_size=(4, 8, 8))
    image = torch.randn(2, 4, 8, 8)
    folded = FoldBatchnorm().apply(model, Context(prepared)).model.network
    with torch.no_grad():
        torch.testing.assert_close(folded(image), network(image))
    assert isinstance(folded[1], nn.Identity)  # type: ignore[index]


def test_linear_layer(resnet: Model, prepared: Prepared) -> None:
    network = settled(nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5)))
    folded = FoldBatchnorm().apply(replace(resnet, network=network, input_size=(3, 2, 2)), Context(prepared))
    image = torch.randn(2, 3, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(folded.model.network(image), network(image))


def test_no_batchnorm_is_noted(resnet: Model, prepared: Prepared) -> None:
    model = replace(resnet, network=nn.Conv2d(3, 2, 1), edits=({"kind": "reparameterize"},))
    outcome = FoldBatchnorm().apply(model, Context(prepared))
    assert outcome.model is model
    assert outcome.changes == {"folded": 0, "note": "no BatchNorm left: reparameterization merged them all"}


def test_none_can_fold(resnet: Model, prepared: Prepared) -> None:
    network = settled(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)))
    with pytest.raises(PassError, match="none of the 1 BatchNorm layers can be folded; '0': its input"):
        FoldBatchnorm().apply(replace(resnet, network=network), Context(prepared))
