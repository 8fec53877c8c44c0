"""Which layers of a network are its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def names(network: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Names of the layers that turn features into the logits of ``num_classes`` classes.

    What the network itself says (timm's ``get_classifier``; distilled networks have two), else the last linear
    or convolution layer, in the order of registration, with ``num_classes`` outputs. Empty when there is none.
    """
    from torch import nn

    by_identity = {id(module): name for name, module in network.named_modules() if name}
    say = getattr(network, "get_classifier", None)
    if callable(say):
        told = say()
        heads = told if isinstance(told, (tuple, list)) else (told,)
        found = tuple(by_identity[id(head)] for head in heads if id(head) in by_identity)
        if found:
            return found
    last: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and module.out_features == num_classes:
            last = (name,)
        if isinstance(module, (nn.Conv1d, nn.Conv2d)) and module.out_channels == num_classes:
            last = (name,)
    return last
