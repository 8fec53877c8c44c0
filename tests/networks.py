"""A small network and a model around it, for tests that need one and not a real one."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.model import Model

SIZE = (3, 32, 32)


class Small(nn.Module):
    """Convolutions, a residual sum, SiLU, pooling and a linear layer: what placement must tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.wide = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.narrow = nn.Conv2d(16, 16, 1)
        self.gated = nn.Conv2d(16, 24, 1)
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.stem(x))
        x = x + self.narrow(nn.functional.relu(self.wide(x)))
        x = nn.functional.silu(self.gated(x))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def build(num_classes: int, in_channels: int) -> nn.Module:
    """What ``--module`` names."""
    assert (num_classes, in_channels) == (5, 3)
    return Small()


def small_model() -> Model:
    """Seeded, so that every test sees the same weights."""
    torch.manual_seed(0)
    return Model("module", {}, 5, SIZE, "tests.networks:build", (), Small().eval())


def images(count: int = 16) -> torch.Tensor:
    """Smooth seeded inputs ``float32[count, 3, 32, 32]``, as images are."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    return nn.functional.interpolate(coarse, size=SIZE[1:], mode="bilinear")
