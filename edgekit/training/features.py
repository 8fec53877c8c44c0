"""Feature distillation: layers of the student learn to predict those of the teacher.

FitNets (Romero et al. 2015) compare one layer of the teacher, T, with a regressor r of one of the student's, S,
by |T - r(S)|^2 / 2. Here r is a 1x1 convolution for each pair, which trains along and is dropped, and the squared
error is divided by the teacher's own square, so that layers of any scale count alike:

    F = mean over pairs of sum (T - r(S))^2 / sum T^2

0 where the teacher's features are predicted exactly, 1 where zeros are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from edgekit.training.layers import as_map

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.training.layers import Layer


class Features(nn.Module):
    """F of the module's docstring.

    Args:
        pairs: the layers that are compared, the teacher's first.
        seed: of the projections' first weights.
    """

    def __init__(self, pairs: list[tuple[Layer, Layer]], seed: int) -> None:
        super().__init__()
        self.reads = self.names = [(one.name, other.name) for one, other in pairs]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projections = nn.ModuleList(_projection(one.channels, other.channels) for one, other in pairs)

    def forward(self, told: dict[str, Tensor], given: dict[str, Tensor], image: tuple[int, int]) -> Tensor:
        """The loss, a scalar.

        Args:
            told: outputs of the teacher's layers by name.
            given: outputs of the student's.
            image: (H, W) of the input.
        """
        errors = []
        for (one, other), project in zip(self.names, self.projections, strict=True):
            target, known = alike(told[one], given[other], image)
            errors.append((target - project(known)).square().sum() / target.square().sum().clamp_min(1e-12))
        return torch.stack(errors).mean()


def _projection(told: int, given: int) -> nn.Conv2d:
    """From the student's channels to the teacher's; the identity where there are as many."""
    layer = nn.Conv2d(given, told, 1)
    if told == given and layer.bias is not None:
        # A student that was cut out of its teacher starts where the teacher is.
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer


def alike(told: Tensor, given: Tensor, image: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Both outputs as maps ``[n, C, h, w]`` of one size: the smaller one, to which the larger is average-pooled."""
    one, other = as_map(told, image), as_map(given, image)
    if one is None or other is None:
        raise ValueError(f"outputs {list(told.shape)}, {list(given.shape)} are no maps of {image[0]}x{image[1]}")
    size = common(one.shape[2:], other.shape[2:])
    pool = nn.functional.adaptive_avg_pool2d
    return pool(one, size), pool(other, size)


def common(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int]:
    """The size (h, w) at which two maps are compared."""
    return min(one[0], other[0]), min(one[1], other[1])
