"""Which layers stay in float: names from a recipe, and the words for the first and the last layer."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.passes.base import PassError
from edgekit.quantization import placement

if TYPE_CHECKING:
    from torch.fx import GraphModule

FIRST, LAST = "first", "last"


def resolve(graph: GraphModule, wanted: Sequence[str]) -> tuple[str, ...]:
    """The names of the layers that ``wanted`` means, each once, in the network's order.

    ``first`` and ``last`` are the first and the last convolution or linear layer that runs. A network that calls
    a layer so means that layer by it.

    Raises:
        PassError: a name is no layer of the network (with the nearest), or none is left to quantize.
    """
    names = list(dict.fromkeys(placement.layer_name(node) for node in placement.compute_nodes(graph)))
    if not names:
        raise PassError(
            "the network has no convolution or linear layer with constant weights, so nothing can be quantized",
            remedy="leave the pass out",
        )
    meant = {FIRST: names[0], LAST: names[-1]} | {name: name for name in names}
    for name in wanted:
        if name not in meant:
            near = difflib.get_close_matches(name, meant, n=3)
            raise PassError(
                f"keep_float names '{name}', which is no convolution or linear layer of this network",
                remedy=f"nearest: {', '.join(near) or names[0]}",
            )
    kept = {meant[name] for name in wanted}
    if len(kept) == len(names):
        raise PassError("no layer is left to quantize", remedy="name fewer layers in keep_float")
    return tuple(name for name in names if name in kept)
