"""Depthwise convolutions that give several channels for each one they take, as plain depthwise ones.

Of C channels, each convolved with m kernels, runtimes that have fast kernels for m = 1 only run C small
convolutions. The same comes out of a depthwise convolution of the channels m times over, m * C of them, in another
order: the convolution that reads them gets its weights in that order, or else they are put back into theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.quantization.placement import ACTIVATIONS, CLAMPS, compute_nodes, constant, operator

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

#: What may stand before the next layer: it treats every channel alike.
_ALIKE = (*CLAMPS, *ACTIVATIONS, "dropout", "dropout_")
#: Where a convolution has its groups, of its arguments.
_GROUPS = 6


def plain(graph: GraphModule) -> int:
    """Change every such convolution, in place; its name stays.

    Returns:
        How many there are.
    """
    import torch

    count = 0
    for node in compute_nodes(graph):
        times, reader = _times(node), _reader(node)
        if times < 2:
            continue
        source: Any = node.args[0]
        with graph.graph.inserting_before(node):
            often = (1, times, *[1] * (source.meta["val"].dim() - 2))
            again = graph.graph.call_function(torch.ops.aten.repeat.default, (source, often))
        again.meta["val"] = source.meta["val"].repeat(*often)
        node.update_arg(0, again)
        _reorder(graph, node, 1, times, 0)
        if len(node.args) > 2 and node.args[2] is not None:
            _reorder(graph, node, 2, times, 0)
        node.update_arg(_GROUPS, times * int(node.args[_GROUPS]))  # type: ignore[arg-type]
        if reader is not None:
            _reorder(graph, reader, 1, times, 1)
        else:
            _put_back(graph, node, times)
        count += 1
    graph.graph.lint()
    graph.recompile()
    return count


def _times(node: Node) -> int:
    """How many channels the convolution gives for each; 0 where it is not depthwise."""
    weight: Any = node.args[1]
    if not operator(node).startswith("conv") or len(node.args) <= _GROUPS or weight.op != "get_attr":
        return 0
    if weight.meta["val"].shape[1] != 1:
        return 0
    groups = int(node.args[_GROUPS])  # type: ignore[arg-type]
    return int(weight.meta["val"].shape[0]) // groups if groups > 1 else 0


def _reader(node: Node) -> Node | None:
    """The convolution that alone reads what ``node`` gives, every channel of it; none where there is none."""
    while len(node.users) == 1:
        reader = next(iter(node.users))
        if operator(reader) in _ALIKE:
            node = reader
            continue
        kernel: Any = reader.args[1] if operator(reader).startswith("conv") else None
        whole = kernel is not None and kernel.op == "get_attr" and kernel.meta["val"].shape[1] == _channels(node)
        return reader if whole and reader.args[0] is node else None
    return None


def _channels(node: Node) -> int:
    return int(node.meta["val"].shape[1])


def _reorder(graph: GraphModule, node: Node, argument: int, times: int, axis: int) -> None:
    """Give ``node`` another constant: along ``axis``, the first of each ``times`` values come first."""
    old: Any = node.args[argument]
    # In the layer that it belongs to, whose name must stay.
    place, _, name = str(old.target).rpartition(".")
    name = f"{name}_{axis}"
    graph.get_submodule(place).register_buffer(name, _first_of_each(constant(graph, old), times, axis))
    with graph.graph.inserting_before(node):
        new = graph.graph.get_attr(f"{place}.{name}" if place else name)
    new.meta["val"] = constant(graph, new)
    node.update_arg(argument, new)


def _put_back(graph: GraphModule, node: Node, times: int) -> None:
    """Give the readers of ``node`` its channels in their first order."""
    import torch

    readers, channels = list(node.users), _channels(node)
    place = f"_{node.name}_order"
    graph.register_buffer(place, torch.arange(channels).reshape(times, -1).T.flatten())
    with graph.graph.inserting_after(node):
        order = graph.graph.get_attr(place)
    with graph.graph.inserting_after(order):
        back = graph.graph.call_function(torch.ops.aten.index_select.default, (node, 1, order))
    order.meta["val"], back.meta["val"] = constant(graph, order), node.meta["val"]
    for reader in readers:
        reader.replace_input_with(node, back)


def _first_of_each(value: torch.Tensor, times: int, axis: int) -> torch.Tensor:
    cut = value.reshape(*value.shape[:axis], -1, times, *value.shape[axis + 1 :])
    return cut.transpose(axis, axis + 1).reshape(value.shape).contiguous()
