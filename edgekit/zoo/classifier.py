"""Which layers of a network are its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def names(network: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Names of the layers that turn features into the logits of ``num_classes`` classes.

    What the network itself says (timm's ``get_classifier``; distilled networks have two), else the last linear
    or convolution layer, in the order of registration, with ``num_classes`` outputs; with two classes and no such
    layer the last one with a single output, whose logit z stands for the logits (0, z). Empty when there is none.
    """
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    by_identity = {id(module): name for name, module in network.named_modules() if name}
    say = getattr(network, "get_classifier", None)
    if callable(say):
        told = say()
        heads = told if isinstance(told, (tuple, list)) else (told,)
        found = tuple(by_identity[id(head)] for head in heads if id(head) in by_identity)
        if found:
            return found
    last: dict[int, str] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            last[module.out_features] = name
        elif isinstance(module, _ConvNd):
            last[module.out_channels] = name
    if num_classes not in last and num_classes == 2:
        num_classes = 1
    return (last[num_classes],) if num_classes in last else ()
