from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.model import Model
from edgekit.passes.reparameterize import merge
from edgekit.zoo import classifier
from edgekit.zoo.medmamba_lite import BranchedConvolution

TINY = {"width": 8, "depths": [1, 1, 2, 1]}


def _with_statistics(network: nn.Module) -> nn.Module:
    """``network`` in eval mode, its BatchNorms as training might leave them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight, 0.5, 0.3)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()


def test_counts() -> None:
    with torch.device("meta"):
        network = zoo.build("medmamba_lite", {}, 6, 3, None)
    assert counts.parameters(network) == 2_329_030
    merged, names = merge(network)
    assert len(names) == 40
    assert counts.parameters(merged) == 1_861_830
    assert counts.macs(merged, (3, 224, 224)) == 258_785_792 + 14_852_096 + 31_560_704


@pytest.mark.parametrize(("kernel", "groups", "branches"), [(3, 6, 2), (1, 1, 3), (3, 2, 1)])
def test_branches_add_up_to_one_convolution(kernel: int, groups: int, branches: int) -> None:
    torch.manual_seed(0)
    layer = _with_statistics(BranchedConvolution(6, kernel, groups, branches))
    assert isinstance(layer, BranchedConvolution)
    image = torch.randn(2, 6, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(layer.fuse()(image), layer(image), rtol=1e-5, atol=1e-5)


def test_reparameterize_keeps_the_logits_and_is_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = _with_statistics(zoo.build("medmamba_lite", TINY, 3, 3, None))
    model = Model("medmamba_lite", TINY, 3, (3, 32, 48), None, (), network)
    image = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        wanted = network(image)
        copied = model.copy()
        merged, names = merge(copied.network)
        torch.testing.assert_close(merged(image), wanted, rtol=1e-4, atol=1e-5)
    assert len(names) == 4 * 5
    assert not [module for module in merged.modules() if isinstance(module, nn.BatchNorm2d)]
    replace(copied, network=merged, edits=({"kind": "reparameterize"},)).save(tmp_path)
    with torch.no_grad():
        assert torch.equal(Model.load(tmp_path).network(image), merged(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 7}, "width is 7; it must be even"),
        ({"depths": [1, 1, 1]}, r"depths is \[1, 1, 1\]; it needs four numbers"),
        ({"states": 0}, "states is 0; it must be at least 1"),
        ({"directions": 3}, "directions is 3"),
        ({"drop_path": 1.0}, "rate of drop path is 1.0"),
        ({"widths": 8}, "unexpected keyword argument 'widths'"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build("medmamba_lite", {**TINY, **arguments}, 2, 3, None)


def test_states_directions_and_gradients() -> None:
    torch.manual_seed(0)
    network = zoo.build("medmamba_lite", {**TINY, "states": 2, "directions": 1, "expand": 2}, 2, 1, None)
    assert classifier.names(network, 2) == ("head",)
    assert network.state_dict()["layers.0.blocks.0.scan.A_logs"].shape == (8, 2)
    logits = network(torch.randn(2, 1, 32, 32))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
    with pytest.raises(ValueError, match="at least 32 pixels"):
        network(torch.zeros(1, 1, 32, 16))
