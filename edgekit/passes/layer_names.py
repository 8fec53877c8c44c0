"""The layers that a person names in a recipe."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edgekit.passes.base import PassError

if TYPE_CHECKING:
    from torch import nn


def named(network: nn.Module, names: tuple[str, ...], where: str) -> frozenset[str]:
    """The layers with weights that ``names`` stand for: a layer itself, or all layers inside a block.

    Raises:
        PassError: a name that is none of the network's modules, or that holds no such layer.
    """
    every = [name for name, _ in network.named_modules() if name]
    layers = weighted(network)
    found: set[str] = set()
    for name in names:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=3)
            raise PassError(
                f"'{name}' is no layer of this network",
                where=where,
                remedy=f"nearest: {', '.join(near)}" if near else f"layers: {', '.join(layers[:3])}, ...",
            )
        inside = {layer for layer in layers if layer == name or layer.startswith(f"{name}.")}
        if not inside:
            raise PassError(
                f"'{name}' has no convolution or linear layer",
                where=where,
                remedy="leave it out",
            )
        found |= inside
    return frozenset(found)


def weighted(network: nn.Module) -> list[str]:
    """Names of the convolutions and linear layers, in the order of registration."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return [name for name, module in network.named_modules() if isinstance(module, (_ConvNd, nn.Linear))]
