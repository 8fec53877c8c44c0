"""Random weights must not let a converter leave anything out that trained ones need."""

from __future__ import annotations

import torch
from torch import nn

from edgekit import zoo
from edgekit.zoo.untrained import without_zeros


def test_nothing_is_left_that_a_converter_could_drop() -> None:
    network = without_zeros(zoo.build("resnet18", {}, 5, 3, None))
    for name, one in network.named_parameters():
        assert one.any(), name
        assert one.ndim > 1 or not (one == 1).all(), name


def test_values_that_the_network_drew_stay_and_a_seed_decides_the_others() -> None:
    drawn = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)).state_dict()

    def made(seed: int) -> dict[str, torch.Tensor]:
        network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
        network.load_state_dict(drawn)
        return without_zeros(network, seed).state_dict()

    first, second, third = made(1), made(1), made(2)
    for name in ("0.weight", "0.bias"):
        assert torch.equal(first[name], drawn[name])
    assert torch.equal(first["1.weight"], second["1.weight"])
    assert not torch.equal(first["1.weight"], third["1.weight"])
    assert first["1.weight"].min() >= 0.9
    assert first["1.weight"].max() <= 1.1
    assert first["1.bias"].abs().max() <= 0.05
