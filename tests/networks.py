"""A small network and a model around it, for tests that need one and not a real one."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.model import Model
from edgekit.target import Precision, RuntimeName, Target

SIZE = (3, 32, 32)
#: One input of ``unet_model``: images, or volumes.
DENSE_SIZE = {2: (3, 16, 16), 3: (1, 8, 8, 8)}


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


def cpu_target(runtime: RuntimeName, *precisions: Precision) -> Target:
    """This machine through one runtime, on one thread."""
    return Target(
        schema_version=1,
        name="test",
        description="test",
        runtime=runtime,
        device="CPU",
        precisions=precisions,
        threads=1,
    )


def small_model() -> Model:
    """Seeded, so that every test sees the same weights."""
    torch.manual_seed(0)
    return Model("module", {}, 5, SIZE, "tests.networks:build", (), Small().eval())


def images(count: int = 16) -> torch.Tensor:
    """Smooth seeded inputs ``float32[count, 3, 32, 32]``, as images are."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    return nn.functional.interpolate(coarse, size=SIZE[1:], mode="bilinear")


class UNet(nn.Module):
    """Two levels for images or volumes: BatchNorm, a residual sum, a transposed convolution and a concatenation.

    With ``outputs=1`` it gives one logit z and returns (0, z), as the official binary networks do here.
    """

    def __init__(self, axes: int, outputs: int = 3, width: int = 8) -> None:
        super().__init__()
        conv, up, norm, pool = (
            (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d)
            if axes == 2
            else (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.MaxPool3d)
        )
        self.enter = nn.Sequential(conv(DENSE_SIZE[axes][0], width, 3, padding=1), norm(width), nn.ReLU())
        self.down = nn.Sequential(pool(2), conv(width, 2 * width, 3, padding=1), norm(2 * width), nn.ReLU())
        self.inner = nn.Sequential(conv(2 * width, 2 * width, 3, padding=1), norm(2 * width))
        self.up = nn.Sequential(up(2 * width, width, 2, 2), norm(width), nn.ReLU())
        self.join = nn.Sequential(conv(2 * width, width, 3, padding=1), norm(width), nn.ReLU())
        self.head = conv(width, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.enter(x)
        low = self.down(skip)
        low = nn.functional.relu(low + self.inner(low))
        logits: torch.Tensor = self.head(self.join(torch.cat([skip, self.up(low)], 1)))
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def unet(num_classes: int, in_channels: int) -> nn.Module:
    """What ``--module`` names: for images of three channels, or volumes of one."""
    return UNet(2 if in_channels == 3 else 3, num_classes)


def unet_model(axes: int, num_classes: int = 3, outputs: int | None = None, width: int = 8) -> Model:
    """Seeded, with statistics in its norms that are not those of the start."""
    torch.manual_seed(0)
    network = UNet(axes, outputs or num_classes, width)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(4, *DENSE_SIZE[axes]) * 2 + 0.5)
    size, built_by = DENSE_SIZE[axes], "tests.networks:unet"
    return Model("module", {}, num_classes, size, built_by, (), network.eval(), task="segmentation")
