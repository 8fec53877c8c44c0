"""Which layers of a network can be replaced by others that compute the same, and which it looks at more closely."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgekit.factorization.factors import put

if TYPE_CHECKING:
    from torch import Tensor, nn


def example(input_size: tuple[int, ...]) -> Tensor:
    """A seeded image ``float32[1, *input_size]`` of noise, which no part of a network maps to a special case."""
    import torch

    return torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))


def irreplaceable(network: nn.Module, names: list[str], input_size: tuple[int, ...]) -> dict[str, str]:
    """Those of the layers ``names`` that must stay, since the network looks at more than what they compute.

    Each is put into a container, which computes the same and has no ``weight`` or ``in_features``. That no layer
    objects is seen in one run; only where one does is each tried alone.

    Returns:
        The reason by name.
    """
    import torch
    from torch import nn

    copied = copy.deepcopy(network)
    image = example(input_size)

    def trouble(chosen: list[str]) -> str | None:
        called: set[str] = set()
        layers = {name: copied.get_submodule(name) for name in chosen}
        for name, layer in layers.items():
            container = nn.Sequential(layer)
            container.register_forward_hook(lambda module, inputs, output, name=name: called.add(name))
            put(copied, name, container)
        try:
            result = copied(image)
        except Exception as error:  # the network's own code may raise anything
            return f"the network looks at more than what it computes ({type(error).__name__}: {error})"
        finally:
            for name, layer in layers.items():
                put(copied, name, layer)
        if len(called) < len(chosen):
            return "the network reaches it under another name"
        return None if torch.allclose(result, expected) else "the network gives other logits without its attributes"

    with torch.no_grad():
        expected = copied(image)
        if trouble(names) is None:
            return {}
        alone = {name: trouble([name]) for name in names}
    return {name: reason for name, reason in alone.items() if reason is not None}
