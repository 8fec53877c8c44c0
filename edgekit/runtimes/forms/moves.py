"""Permutations of axes that follow one another, as one; and stacks, as concatenations.

Networks that cut an image into patches reshape and permute it several times, each time moving every value in
memory. All of it is one permutation of the factors of the axes. Where channels come to stand last, or come from
there, it is written with the image's channels last, as most runtimes keep them anyway: whole rows of channels move.

Channels that are shuffled are stacked along a new last axis, value by value. OpenVINO and LiteRT take several times
as long for it as to put rows of channels together and to permute these. LiteRT's converter writes other stacks as a
concatenation too, but does not see then that the result is quantized, and gives it the scale of one of its inputs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.quantization.placement import operator

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

_SHAPES = ("view", "reshape", "flatten", "unflatten", "contiguous", "clone")
_PERMUTES = ("permute", "transpose")


class _UnevenError(Exception):
    """A reshape that cuts across an axis: no factors of axes stand for it."""


class _Factors:
    """A tensor's axes as products of the factors of the first tensor's axes.

    Attributes:
        sizes: of each factor.
        source: the factors of each axis of the first tensor.
        axes: those of each axis of the tensor now.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.sizes = dict(enumerate(shape))
        self.source = [[axis] for axis in self.sizes]
        self.axes = [[axis] for axis in self.sizes]

    def permute(self, order: Sequence[int]) -> None:
        self.axes = [self.axes[axis] for axis in order]

    def reshape(self, shape: Sequence[int]) -> None:
        left = self.large(list(itertools.chain(*self.axes)))
        axes: list[list[int]] = []
        for size in shape:
            axes.append([])
            missing = size
            while missing > 1:
                one = left.pop(0)
                if self.sizes[one] > missing:
                    first, second = self._split(one, missing)
                    left.insert(0, second)
                    # The axes that were made already hold no part of it.
                    one = first
                if missing % self.sizes[one]:
                    raise _UnevenError
                axes[-1].append(one)
                missing //= self.sizes[one]
        self.axes = axes

    def _split(self, one: int, size: int) -> tuple[int, int]:
        """Cut a factor in two, the first of them of ``size``."""
        if self.sizes[one] % size:
            raise _UnevenError
        first, second = (len(self.sizes) + more for more in range(2))
        self.sizes |= {first: size, second: self.sizes[one] // size}
        for axis in self.source:
            if one in axis:
                axis[axis.index(one) : axis.index(one) + 1] = [first, second]
        return first, second

    def large(self, factors: Sequence[int]) -> list[int]:
        """Those of them that are not 1."""
        return [one for one in factors if self.sizes[one] > 1]

    def shape(self, factors: Sequence[int]) -> int:
        return math.prod(self.sizes[one] for one in factors)


def shorten(graph: GraphModule, channels_last: bool = False) -> int:
    """Replace each run of permutations and reshapes that moves values twice or more, in place.

    Args:
        graph: with a value at every node that makes tensors.
        channels_last: the runtime keeps images with their channels last. Then heads of channels are cut from them,
            and put together to images, in rows of channels, also where the network moves values only once.

    Returns:
        How many there were.
    """
    runs = [_run(node) for node in graph.graph.nodes]
    count = sum(_replace(graph, run, channels_last) for run in runs)
    graph.graph.lint()
    graph.recompile()
    return count


def join_stacks(graph: GraphModule) -> int:
    """Write stacks as concatenations of what lies next to one another, and permute those along a new last axis.

    Args:
        graph: with a value at every node that makes tensors.

    Returns:
        How many there were.
    """
    import torch

    aten = torch.ops.aten
    found = [node for node in graph.graph.nodes if operator(node) == "stack" and node.meta["val"].ndim > 1]
    for node in found:
        readers, stacked = list(node.users), node.meta["val"]
        given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        last = given % stacked.ndim == stacked.ndim - 1
        axis = stacked.ndim - 2 if last else given % stacked.ndim
        values = [one.meta["val"] for one in node.args[0]]
        # The node keeps its name, by which the range of its values is known.
        node.target, node.args, node.kwargs = aten.cat.default, (node.args[0], axis), {}
        node.meta["val"] = aten.cat.default(values, axis)
        steps: list[tuple[Any, tuple[Any, ...]]] = [
            # The first axis is the batch, whose size may stay open.
            (aten.unflatten.int, (axis, [len(values), values[0].shape[axis] if axis else -1]))
        ]
        if last:
            # In memory as it was, for who reads it by a view.
            steps += [(aten.transpose.int, (-2, -1)), (aten.contiguous.default, ())]
        made = node
        for function, more in steps:
            with graph.graph.inserting_after(made):
                step = graph.graph.call_function(function, (made, *more))
            step.meta["val"] = function(made.meta["val"], *more)
            made = step
        for reader in readers:
            reader.replace_input_with(node, made)
    graph.graph.lint()
    graph.recompile()
    return len(found)


def _run(node: Node) -> list[Node]:
    """The nodes from ``node`` on that only move values, each the only reader of the one before."""
    if not _moves(node) or (_moves(node.args[0]) and len(node.args[0].users) == 1):  # type: ignore[union-attr]
        return []
    run = [node]
    while len(run[-1].users) == 1 and _moves(next(iter(run[-1].users))):
        run.append(next(iter(run[-1].users)))
    return run


def _moves(node: Any) -> bool:
    return operator(node) in (*_SHAPES, *_PERMUTES) and all(
        isinstance(size, int) for size in node.meta["val"].shape
    )


def _replace(graph: GraphModule, run: list[Node], channels_last: bool) -> bool:
    permutes = sum(operator(one) in _PERMUTES for one in run)
    if permutes < (1 if channels_last else 2):
        return False
    source: Any = run[0].args[0]
    first, last = list(source.meta["val"].shape), list(run[-1].meta["val"].shape)
    if not all(isinstance(size, int) for size in first):
        return False
    factors = _Factors(first)
    try:
        for node in run:
            if operator(node) in _PERMUTES:
                factors.permute(_order(node))
            else:
                factors.reshape(list(node.meta["val"].shape))
    except _UnevenError:
        return False
    aim = factors.axes
    result = factors.large(list(itertools.chain(*aim)))
    channels = factors.large(factors.source[1]) if len(first) > 3 else []
    # How many of their factors must stay together, innermost.
    rows = 1 if channels_last else len(channels)
    forth = bool(channels) and result[-rows:] == channels[-rows:]
    steps: list[tuple[str, list[int]]] = []
    origin = factors.source
    if forth:
        steps.append(("permute", _last(len(first))))
        origin = [factors.source[axis] for axis in _last(len(first))]
    innermost = factors.large(origin[-1])
    rows = 1 if channels_last else len(innermost)
    back = len(last) > 3 and len(aim[1]) > 0 and aim[1][-rows:] == innermost[-rows:]
    back = back and (channels_last or len(aim[1]) == rows)
    if permutes < 2 and not (forth and len(channels) > 1) and not (back and len(aim[1]) > 1):
        return False
    if back:
        aim = [aim[axis] for axis in _last(len(last))]
        result = factors.large(list(itertools.chain(*aim)))
    before = factors.large(list(itertools.chain(*origin)))
    steps += [
        ("reshape", [factors.sizes[one] for one in before]),
        ("permute", [before.index(one) for one in result]),
        ("reshape", [factors.shape(axis) for axis in aim]),
    ]
    if back:
        steps.append(("permute", [0, len(last) - 1, *range(1, len(last) - 1)]))
    _write(graph, run, steps)
    return True


def _last(axes: int) -> list[int]:
    """The order that puts the channels of an image last."""
    return [0, *range(2, axes), 1]


def _order(node: Node) -> list[int]:
    axes = node.meta["val"].dim()
    if operator(node) == "permute":
        return [int(axis) % axes for axis in node.args[1]]  # type: ignore[union-attr, arg-type]
    order = list(range(axes))
    one, other = (int(axis) % axes for axis in node.args[1:3])  # type: ignore[arg-type]
    order[one], order[other] = other, one
    return order


def _write(graph: GraphModule, run: list[Node], steps: list[tuple[str, list[int]]]) -> None:
    import torch

    functions = {"permute": torch.ops.aten.permute.default, "reshape": torch.ops.aten.reshape.default}
    made: Any = run[0].args[0]
    for kind, values in steps:
        with graph.graph.inserting_before(run[0]):
            step = graph.graph.call_function(functions[kind], (made, values))
        step.meta["val"] = functions[kind](made.meta["val"], values)
        made = step
    run[-1].replace_all_uses_with(made)
    for node in reversed(run):
        graph.graph.erase_node(node)
