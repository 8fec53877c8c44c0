"""Attention transfer (Zagoruyko & Komodakis 2017): the student looks where the teacher looks.

A layer's spatial attention is Q = sum over channels of A^2, one number a position, as a vector of unit length:

    A = mean over pairs and images of |Q_T / |Q_T| - Q_S / |Q_S||^2

0 where both look alike, at most 2. Nothing is learned for it, so it compares layers of any number of channels;
maps of different size are average-pooled to the smaller. (The paper's equation 2 has the norm and its authors'
code its square, as here.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from edgekit.passes.base import PassError
from edgekit.training.features import alike, common
from edgekit.training.layers import as_map

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.training.layers import Layer


class AttentionTransfer:
    """A of the module's docstring.

    Args:
        pairs: the layers that are compared, the teacher's first.

    Raises:
        PassError: a pair shares no more than one position, on which all attention is alike.
    """

    def __init__(self, pairs: list[tuple[Layer, Layer]]) -> None:
        self.reads = self.names = [(one.name, other.name) for one, other in pairs]
        for one, other in pairs:
            if max(common(one.size, other.size)) == 1:
                raise PassError(
                    f"'{one.name}' ({_text(one)}) and '{other.name}' ({_text(other)}) have one position in common, "
                    "where there is nothing to attend to",
                    where="attention",
                    remedy="name layers with larger maps",
                )

    def __call__(self, told: dict[str, Tensor], given: dict[str, Tensor], image: tuple[int, ...]) -> Tensor:
        """The loss, a scalar; arguments as of ``Features``."""
        distances = []
        for one, other in self.names:
            target, known = alike(_energy(told[one], image), _energy(given[other], image), image)
            distances.append((_unit(target) - _unit(known)).square().sum(1).mean())
        return torch.stack(distances).mean()


def _energy(output: Tensor, image: tuple[int, ...]) -> Tensor:
    """Q ``[n, 1, *spatial]``."""
    mapped = as_map(output, image)
    if mapped is None:
        raise ValueError(f"the output {list(output.shape)} is no map of {'x'.join(map(str, image))}")
    return mapped.square().sum(1, keepdim=True)


def _unit(energy: Tensor) -> Tensor:
    return functional.normalize(energy.flatten(1), dim=1)


def _text(layer: Layer) -> str:
    return "x".join(map(str, layer.size))
