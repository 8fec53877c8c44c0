"""The first layers of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.passes.layer_names import weighted

if TYPE_CHECKING:
    from torch import nn


def takes_image(network: nn.Module, input_size: tuple[int, ...]) -> frozenset[str]:
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
