"""Which layers a person names, and which must stay."""

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
                f"'{name}' has no convolution or linear layer that could be pruned",
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


def takes_image(network: nn.Module, input_size: tuple[int, int, int]) -> frozenset[str]:
    """The first layers: those that read the image itself (several where the stem has branches)."""
    import torch

    image = torch.zeros(1, *input_size)
    found: set[str] = set()
    order: list[str] = []

    def watch(name: str) -> object:
        def before(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            order.append(name)
            if inputs[0].data_ptr() == image.data_ptr():
                found.add(name)

        return network.get_submodule(name).register_forward_pre_hook(before)

    handles = [watch(name) for name in weighted(network)]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    return frozenset(found or order[:1])
