from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import counts


class Attention(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = image.flatten(2).transpose(1, 2).unsqueeze(1)  # [1, 1 head, tokens, channels]
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kc->nkhw", image, self.weight)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 8 * 3 * 9 * 16 * 16),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), 6 * 9 * 8 * 8),
        (nn.ConvTranspose2d(3, 8, 2, stride=2), 8 * 3 * 4 * 16 * 16),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10)), 3 * 16 * 16 * 10),
        (nn.Sequential(nn.Flatten(2), nn.Linear(256, 10, bias=False)), 3 * 256 * 10),
        (Einsum(), 5 * 3 * 16 * 16),
        (Attention(), 2 * 256 * 256 * 3),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), 0),
    ],
)
def test_macs_by_hand(network: nn.Module, expected: int) -> None:
    assert counts.macs(network, (3, 16, 16)) == expected


def test_leaves_mode_and_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    network[1].eval()
    before = network[0].running_var.clone()  # type: ignore[operator]
    counts.macs(network, (3, 8, 8))
    assert network.training
    assert not network[1].training
    assert torch.equal(network[0].running_var, before)  # type: ignore[arg-type]


def test_parameters_count_tied_weights_once() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    assert counts.parameters(network) == 16 + 4 + 4
