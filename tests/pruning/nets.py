"""Small networks, each with one thing that pruning must get right."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgekit.model import Model

SIZE = (3, 16, 16)
CLASSES = 3


def block(given: int, width: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, width, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


class Net(nn.Module):
    """Stem, something in the middle that keeps 32 channels, pooling, classifier."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.stem, self.up, self.middle = block(3, 16), block(16, 32), middle
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.middle(self.up(self.stem(x))).mean((2, 3)))
        return logits


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = block(32, 24), block(24, 32)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.two(self.one(x))
        return total


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.deep, self.narrow = block(32, 48), block(48, 48, groups=48), nn.Conv2d(48, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.deep(self.wide(x)))  # type: ignore[no-any-return]


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.reduce, self.expand = block(32, 32), nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        gate = self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        gated: Tensor = x * gate
        return gated


class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.join = block(32, 16), block(32, 24), block(40, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.one(x), self.two(x)], 1))  # type: ignore[no-any-return]


class Split(nn.Module):
    """One half gates the other."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.join = nn.Conv2d(32, 64, 1), block(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, 1)
        return self.join(value * gate.sigmoid())  # type: ignore[no-any-return]


class Scaled(nn.Module):
    """Layer scale, a parameter of its own, and GroupNorm over all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.body = nn.GroupNorm(1, 32), nn.Conv2d(32, 32, 1)
        self.gamma = nn.Parameter(torch.ones(32, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.body(self.norm(x))  # type: ignore[no-any-return]


class ChannelSoftmax(nn.Module):
    """Mixes channels without weights: must be left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).softmax(1)  # type: ignore[no-any-return]


class FixedShape(nn.Module):
    """Its code holds the number of channels: must be left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = block(32, 32), block(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        return self.two(x.reshape(len(x), 32, *x.shape[2:]))  # type: ignore[no-any-return]


SAFE: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "depthwise": Depthwise,
    "grouped": lambda: nn.Sequential(block(32, 64), block(64, 64, groups=4), block(64, 32)),
    "squeeze_excite": SqueezeExcite,
    "concat": Concat,
    "scaled": Scaled,
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(32, 24, 2, stride=2), nn.BatchNorm2d(24), block(24, 32)),
}


def model(middle: nn.Module) -> Model:
    """Seeded, with the statistics of BatchNorm as after training."""
    generator = torch.Generator().manual_seed(0)
    network = Net(middle)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
                module.weight.normal_(0, 0.3, generator=generator)
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5, generator=generator)
    return Model("module", {}, CLASSES, SIZE, "tests.pruning.nets:build", (), network.eval())


def images(count: int = 2) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(1))
