"""Changes of a quantized graph that give the same result, and that some runtimes need to run INT8 fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.quantization import placement

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

#: Far below the least step of any range (2^-24), and no denormal number.
_NEXT_TO_NOTHING = 1e-30


def parts(graph: GraphModule, node: Node, chosen: Mapping[str, str]) -> list[Node]:
    """The linear layers that stand for ``node`` where its result is only cut into pieces; else ``node``.

    Each makes one piece, which then need not be copied out of the whole. The pieces are along the last axis, or
    queries, keys and values of attention.

    Args:
        graph: changed in place.
        node: a layer with a weight.
        chosen: names of the nodes whose results are quantized, which stay.
    """
    if placement.operator(node) != "linear" or len(node.users) != 1:
        return [node]
    cut = next(iter(node.users))
    if _cuts_last_axis(cut, node):
        pieces: list[Any] = list(cut.users)
        if {node.name, cut.name, *(piece.name for piece in pieces)} & set(chosen):
            return [node]
        made = _several(graph, node, [int(one.shape[-1]) for one in cut.meta["val"]])
        made = [made[int(piece.args[1])] for piece in pieces]
        for part, piece in zip(made, pieces, strict=True):
            part.meta["val"] = piece.meta["val"]
            piece.replace_all_uses_with(part)
        gone: list[Node] = [*pieces, cut]
    else:
        gone = _attention(node)
        if not gone or {node.name, *(one.name for one in gone)} & set(chosen):
            return [node]
        made = _heads(graph, node, gone)
    for one in (*gone, node):
        graph.graph.erase_node(one)
    # What nothing reads was no piece of the result.
    for part in [one for one in made if not one.users]:
        graph.graph.erase_node(part)
        made.remove(part)
    return made


def _several(graph: GraphModule, node: Node, sizes: list[int]) -> list[Node]:
    """Linear layers that make ``sizes`` channels each of those that ``node`` makes."""
    import torch

    weights, bias = torch.split(placement.weight_of(graph, node), sizes), _bias(graph, node)
    biases = torch.split(bias, sizes) if bias is not None else None
    made = []
    for index in range(len(sizes)):
        arguments = [node.args[0]]
        with graph.graph.inserting_before(node):
            for kind, values in (("weight", weights), ("bias", biases)):
                if values is not None:
                    name = f"_{node.name}_{index}_{kind}"
                    graph.register_buffer(name, values[index].clone())
                    one = graph.graph.get_attr(name)
                    one.meta["val"] = values[index]
                    arguments.append(one)
            made.append(graph.graph.call_function(torch.ops.aten.linear.default, tuple(arguments)))
    return made


def _attention(node: Node) -> list[Node]:
    """What cuts a linear layer's ``[N, L, 3 * H * D]`` into three ``[N, H, L, D]``, readers first; else nothing."""
    chain = [node]
    for kind in ("view", "permute", "unbind"):
        reader = next(iter(chain[-1].users), None)
        if (
            reader is None
            or len(chain[-1].users) != 1
            or placement.operator(reader).replace("reshape", "view") != kind
        ):
            return []
        chain.append(reader)
    _, view, permute, unbind = chain
    axes = list(permute.args[1])  # type: ignore[arg-type]
    if view.meta["val"].dim() != 5 or axes != [2, 0, 3, 1, 4] or (len(unbind.args) > 1 and unbind.args[1] != 0):
        return []
    pieces = list(unbind.users)
    return [*pieces, unbind, permute, view] if all("getitem" in str(one.target) for one in pieces) else []


def _heads(graph: GraphModule, node: Node, gone: list[Node]) -> list[Node]:
    import torch

    *pieces, _, _, view = gone
    whole = view.meta["val"]
    count, heads, size = (int(one) for one in whole.shape[2:])
    made = _several(graph, node, [heads * size] * count)
    for part in made:
        part.meta["val"] = whole[:, :, 0].flatten(2)
    for piece in pieces:
        part = made[int(piece.args[1])]  # type: ignore[arg-type]
        with graph.graph.inserting_before(piece):
            cut = graph.graph.call_function(torch.ops.aten.unflatten.int, (part, 2, [heads, size]))
            moved = graph.graph.call_function(torch.ops.aten.permute.default, (cut, [0, 2, 1, 3]))
        cut.meta["val"], moved.meta["val"] = whole[:, :, 0], piece.meta["val"]
        piece.replace_all_uses_with(moved)
    return made


def _cuts_last_axis(cut: Node, node: Node) -> bool:
    if placement.operator(cut) not in placement.SPLITS:
        return False
    axis = int(cut.args[2]) if len(cut.args) > 2 else int(cut.kwargs.get("dim", 0))  # type: ignore[arg-type]
    return axis in (-1, node.meta["val"].dim() - 1) and all("getitem" in str(one.target) for one in cut.users)


def _bias(graph: GraphModule, node: Node) -> torch.Tensor | None:
    found = node.args[2] if len(node.args) > 2 else None
    return placement.constant(graph, found) if found is not None else None


def _insert_behind(graph: GraphModule, node: Node, function: Any, name: str, value: torch.Tensor) -> Node:
    """Put ``function(node, value)`` between ``node`` and its readers; the graph keeps the value as ``name``."""
    graph.register_buffer(name, value)
    readers = list(node.users)
    with graph.graph.inserting_after(node):
        kept = graph.graph.get_attr(name)
    with graph.graph.inserting_after(kept):
        made = graph.graph.call_function(function, (node, kept))
    kept.meta["val"], made.meta["val"] = value, node.meta["val"]
    for reader in readers:
        reader.replace_input_with(node, made)
    return made


def between_int8(node: Node) -> bool:
    """Whether a layer reads a dequantized tensor and its result is quantized again."""
    if "dequantize" not in str(getattr(node.args[0], "target", "")):
        return False
    behind = list(node.users)
    while behind:
        one = behind.pop()
        if "quantize_per_tensor" in str(one.target):
            return True
        if placement.operator(one) in placement.CLAMPS + placement.MOVES:
            behind += one.users
    return False


def fence_layer(graph: GraphModule, node: Node, index: int) -> None:
    """Let a float layer read next to nothing less its input, with its weight negated: the same result.

    ONNX Runtime and LiteRT's converter take a layer between a dequantize and a quantize node for an INT8 layer
    whose weight was forgotten, and quantize it. Something must stand between that they neither drop, nor merge into
    the layer, nor quantize: LiteRT merges factors and quantizes a maximum, ONNX Runtime drops the addition of next
    to nothing, and both leave this subtraction. Only a zero notices it, and nothing that 8 bits can hold is less.
    """
    import torch

    name = f"_negated_{index}"
    graph.register_buffer(name, -placement.weight_of(graph, node))
    source: Any = node.args[0]
    with graph.graph.inserting_before(node):
        fenced = graph.graph.call_function(torch.ops.aten.rsub.Scalar, (source, _NEXT_TO_NOTHING))
        weight = graph.graph.get_attr(name)
    node.args = (fenced, weight, *node.args[2:])


def fence_pool(graph: GraphModule, node: Node) -> Node:
    """Keep a pooling of float values in float: the greater of its result and the least number, which is the result.

    ONNX Runtime would move the quantize node before the pooling, where its INT8 kernel takes 25 times as long.
    """
    import torch

    least = torch.tensor(torch.finfo(torch.float32).min)
    return _insert_behind(graph, node, torch.ops.aten.maximum.default, "_least_number", least)


def bias_apart(graph: GraphModule, node: Node, index: int) -> None:
    """Add the bias of a linear layer of tokens behind it, with as many axes as the tokens have.

    ONNX Runtime makes one operator of a product and a bias with one axis, for which it has no INT8 kernel that
    gives float. The product alone has one.
    """
    import torch

    bias, axes = _bias(graph, node), node.meta["val"].dim()
    if placement.operator(node) == "linear" and bias is not None and axes > 2:
        node.args = node.args[:2]
        wide = bias.reshape(*[1] * (axes - 1), -1).clone()
        _insert_behind(graph, node, torch.ops.aten.add.Tensor, f"_bias_{index}", wide)
