"""Feature distillation: layers of the student learn to predict those of the teacher.

FitNets (Romero et al. 2015) compare one layer of the teacher, T, with a regressor r of one of the student's, S,
by |T - r(S)|^2 / 2. Here r is a convolution of one position for each pair, which trains along and is dropped, and
the squared error is divided by the teacher's own square, so that layers of any scale count alike:

    F = mean over pairs of sum (T - r(S))^2 / sum T^2

0 where the teacher's features are predicted exactly, 1 where zeros are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
            self.projections = nn.ModuleList(
                _projection(one.channels, other.channels, len(one.size)) for one, other in pairs
            )

    def forward(self, told: dict[str, Tensor], given: dict[str, Tensor], image: tuple[int, ...]) -> Tensor:
        """The loss, a scalar.

        Args:
            told: outputs of the teacher's layers by name.
            given: outputs of the student's.
            image: (H, W) or (D, H, W) of the input.
        """
        errors = []
        for (one, other), project in zip(self.names, self.projections, strict=True):
            target, known = alike(told[one], given[other], image)
            errors.append((target - project(known)).square().sum() / target.square().sum().clamp_min(1e-12))
        return torch.stack(errors).mean()


def _projection(told: int, given: int, axes: int) -> nn.Conv2d | nn.Conv3d:
    """From the student's channels to the teacher's; the identity where there are as many."""
    layer = (nn.Conv2d if axes == 2 else nn.Conv3d)(given, told, 1)
    if told == given and layer.bias is not None:
        # A student that was cut out of its teacher starts where the teacher is.
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer


def alike(told: Tensor, given: Tensor, image: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Both outputs as maps ``[n, C, *spatial]`` of the smaller size, to which the larger is average-pooled."""
    one, other = as_map(told, image), as_map(given, image)
    if one is None or other is None:
        shape = "x".join(map(str, image))
        raise ValueError(f"outputs {list(told.shape)}, {list(given.shape)} are no maps of {shape}")
    size = common(one.shape[2:], other.shape[2:])
    pool: Any = nn.functional.adaptive_avg_pool2d if len(size) == 2 else nn.functional.adaptive_avg_pool3d
    return pool(one, size), pool(other, size)


def common(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The size, (h, w) or (d, h, w), at which two maps are compared."""
    return tuple(map(min, one, other))
