"""Tokens in one row: what a network computes on ``[N, H, W, C]`` along C alone, computed on ``[N, H * W, C]``.

The result is the same. OpenVINO has fused kernels for layer normalization and for a linear layer's bias over three
axes, and of four it takes the middle ones for those of an image: it moves them about in memory before a kernel that
wants them in their order, and back again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.quantization.placement import ADDS, JOINS, SPLITS, operator

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

#: Axes of a batch of rows of tokens.
_ROWS = 3
#: Operators that work on each value by itself.
_ELEMENTWISE = (
    *ADDS, "sub", "mul", "div", "neg", "exp", "tanh", "sigmoid", "gelu", "silu", "silu_", "relu", "relu_",
    "hardtanh", "hardtanh_", "hardswish", "hardswish_", "softplus", "dropout", "dropout_", "clone", "contiguous",
    "quantize_per_tensor", "dequantize_per_tensor",
)  # fmt: skip


def in_rows(graph: GraphModule) -> int:
    """Compute linear layers, layer normalization and what lies between them on rows of tokens, in place.

    Args:
        graph: with a value at every node that makes tensors.

    Returns:
        How many nodes work on rows now.
    """
    import torch

    found = _tokens(graph)
    for node in [one for one in graph.graph.nodes if one in found]:
        for source in [one for one in node.all_input_nodes if one not in found and _axes(one) > _ROWS]:
            with graph.graph.inserting_before(node):
                row = graph.graph.call_function(torch.ops.aten.flatten.using_ints, (source, 1, _axes(source) - 2))
            node.replace_input_with(source, row)
        # Axes that were counted from the front.
        if _kind(node) in SPLITS:
            node.args, node.kwargs = (*node.args[:2], -1), {}
        elif _kind(node) in JOINS:
            node.args, node.kwargs = (node.args[0], -1), {}
        others = [one for one in node.users if one not in found]
        if others:
            with graph.graph.inserting_after(node):
                sides = list(node.meta["val"].shape[1:-1])
                image = graph.graph.call_function(torch.ops.aten.unflatten.int, (node, 1, sides))
            for one in others:
                one.replace_input_with(node, image)
    graph.graph.lint()
    graph.recompile()
    return len(found)


def _tokens(graph: GraphModule) -> set[Node]:
    """The nodes to change: linear layers and normalizations of many axes, and all that is linked to them."""
    nodes = [one for one in graph.graph.nodes if one.op == "call_function"]
    found = {one for one in nodes if operator(one) in ("linear", "layer_norm") and _along_last(one)}
    while True:
        more = {
            one
            for one in nodes
            if one not in found and _along_last(one) and (found & {*one.all_input_nodes, *one.users})
        }
        # A cut gives several tensors, which its readers pick from; both change, or neither.
        more -= {one for one in more if "getitem" in _kind(one) and one.args[0] not in {*found, *more}}
        if not more:
            return found
        found |= more


def _kind(node: Node) -> str:
    name = operator(node)
    return name.split(".")[1] if name.startswith("quantized_decomposed.") else name


def _along_last(node: Node) -> bool:
    """Whether the node makes many axes, and of all but the last each place by itself."""
    kind: str = _kind(node)
    source: Any = node.args[0] if node.args else None
    if "getitem" in kind:
        return _kind(source) in SPLITS and _along_last(source)
    if kind in SPLITS:
        axes = _axes(source)
        return axes > _ROWS and _axis(node, 2) in (-1, axes - 1) and all("getitem" in _kind(u) for u in node.users)
    axes = _axes(node)
    if axes <= _ROWS:
        return False
    if kind == "linear":
        return True
    if kind == "layer_norm":
        return len(node.args[1]) == 1  # type: ignore[arg-type]
    if kind in JOINS and kind != "stack":
        return _axis(node, 1) in (-1, axes - 1)
    shape = node.meta["val"].shape[:-1]
    return kind in _ELEMENTWISE and all(
        _axes(one) <= 1 or one.meta["val"].shape[:-1] == shape for one in node.all_input_nodes
    )


def _axis(node: Node, place: int) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0)


def _axes(node: Any) -> int:
    """Of the tensor that a node makes; 0 for none, or several."""
    return getattr(node.meta.get("val"), "ndim", 0)
