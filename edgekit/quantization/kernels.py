"""Which layers a runtime computes faster in float than in INT8, or has no INT8 kernel for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgekit.quantization.placement import ACTIVATIONS, ADDS, CLAMPS, MOVES, compute_nodes, layer_name, operator

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgekit.quantization.placement import Style

#: Input channels that are few: kernels take them by fours or eights, and fill up with zeros.
_FEW_CHANNELS = 8


def better_in_float(graph: GraphModule, style: Style, keep_float: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The layers, by name, that the runtime is better left to run in float, beside those of ``keep_float``."""
    quantized: set[Node] = set()
    found = []
    for node in compute_nodes(graph, keep_float):  # in the order of the graph: what feeds a layer comes before it
        if _fits(node, style) and (
            style.lone_depthwise or not _is_depthwise(node) or _is_int8(node.args[0], quantized, style)
        ):
            quantized.add(node)
        else:
            found.append(layer_name(node))
    return tuple(found)


def _groups(node: Node) -> int:
    found: Any = node.args[6] if operator(node).startswith("conv") and len(node.args) > 6 else 1
    return int(found)


def _shape(node: Node) -> tuple[int, ...]:
    """Of the weight: (output channels, input channels of a group, *kernel)."""
    weight: Any = node.args[1]
    return tuple(weight.meta["val"].shape)


def _is_depthwise(node: Node) -> bool:
    return _groups(node) > 1 and _shape(node)[1] == 1


def _fits(node: Node, style: Style) -> bool:
    """Whether the runtime has a kernel for the layer that is worth its while."""
    if not operator(node).startswith("conv"):
        return True
    shape, groups = _shape(node), _groups(node)
    if groups == 1:
        return shape[1] >= _FEW_CHANNELS or math.prod(shape[1:]) >= style.least_products
    limits = [one for one in (style.most_taps, style.worthwhile_taps) if one is not None]
    if shape[1] == 1 and math.prod(shape[2:]) > min(limits, default=math.inf):
        return False
    return style.grouped or shape[:2] == (groups, 1)


def _is_int8(node: Any, quantized: set[Node], style: Style) -> bool:
    """Whether ``node`` comes out of an INT8 layer, or is a sum of such."""
    # Where nothing is quantized between a layer and its activation, the layer computes it.
    within = () if style.every_output else ACTIVATIONS
    while operator(node) in (*MOVES, *CLAMPS, *within):
        node = node.args[0]
    if operator(node) in ADDS and len(node.all_input_nodes) == 2:
        return all(_is_int8(one, quantized, style) for one in node.all_input_nodes)
    return node in quantized
