"""Channels that must be removed together, found by Torch-Pruning's dependency graph.

DepGraph (Fang et al., 2023): a channel that one layer gives is taken by others, normalized, gated or added to
channels of more layers; removing it removes a slice of each of them. The graph is traced by autograd.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.passes.base import PassError
from edgekit.pruning.axes import Side, axes

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Member:
    """One side of one layer, or a parameter that belongs to no layer (layer scale, position embedding).

    Attributes:
        name: of the module, or of the parameter.
        side: none for a parameter.
        dim: the parameter's dimension that holds the channels; 0 for a layer.
        units: for each unit of the group, this member's channels that go with it.
    """

    name: str
    side: Side | None
    dim: int
    units: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Group:
    """Units that can be removed one by one; each takes slices of all members.

    Attributes:
        name: of the first layer that gives these channels.
        members: what is cut.
        width: channels of the first layer in one unit, such as the number of groups of a grouped convolution.
        attention: name of the attention module where the units are dimensions of its heads; see ``attention``.
    """

    name: str
    members: tuple[Member, ...]
    width: int = 1
    attention: str | None = None

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.members[0].units)

    @property
    def givers(self) -> tuple[str, ...]:
        """Names of the convolutions and linear layers whose outputs are cut."""
        return tuple(member.name for member in self.members if member.side == "out")


def find(
    network: nn.Module, input_size: tuple[int, ...], apart: frozenset[str] = frozenset()
) -> tuple[list[Group], dict[str, str]]:
    """The groups of ``network``, which stays as it is.

    Args:
        network: in eval mode.
        input_size: (C, *spatial).
        apart: layers whose outputs are left out here, such as the joint query, key and value of an attention.

    Returns:
        The groups that do not reach the logits, and the names of those that cannot be cut, with the reason.

    Raises:
        PassError: Torch-Pruning cannot trace the network.
    """
    traced = copy.deepcopy(network).requires_grad_(True)
    graph = _trace(traced, input_size)
    modules = {id(module): name for name, module in traced.named_modules()}
    parameters = {id(one): name for name, one in traced.named_parameters()}
    found: list[Group] = []
    left: dict[str, str] = {}
    ignored = [traced.get_submodule(name) for name in sorted(apart)]
    for coupled in graph.get_all_groups(ignored_layers=ignored):
        name = modules[id(coupled[0].dep.target.module)]
        group = _group(name, coupled, graph, traced, modules, parameters)
        if isinstance(group, str):
            left[name] = group
        elif group is not None:
            found.append(group)
    return found, left


def _trace(network: nn.Module, input_size: tuple[int, ...]) -> Any:
    import torch
    import torch_pruning

    try:
        with torch.enable_grad():
            graph: Any = torch_pruning.DependencyGraph()
            return graph.build_dependency(
                network,
                torch.zeros(2, *input_size),
                forward_fn=lambda traced, images: traced(images),
                verbose=False,
            )
    except Exception as error:  # whatever its tracer or the network raises
        frame = _deepest(error)
        raise PassError(
            f"Torch-Pruning cannot trace this network: {type(error).__name__}: {error} (at {frame})",
            where="prune",
            remedy="rewrite that operation with standard layers that autograd follows, or use 'factorize' instead",
        ) from error


def _deepest(error: BaseException) -> str:
    """The line that failed, such as ``model.py:12 in forward``."""
    import traceback
    from pathlib import Path

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno} in {last.name}"


def _group(
    name: str, coupled: Any, graph: Any, network: nn.Module, modules: dict[int, str], parameters: dict[int, str]
) -> Group | str | None:
    """One of Torch-Pruning's groups in our form; the reason where it cannot be cut; none if it is the logits."""
    import torch
    import torch_pruning

    kinds = torch_pruning.ops.OPTYPE
    passed_on = {
        kinds.CONCAT,
        kinds.SPLIT,
        kinds.ELEMENTWISE,
        kinds.RESHAPE,
        kinds.UNBIND,
        kinds.EXPAND,
        kinds.SLICE,
    }
    channels = len(coupled[0].idxs)
    slices: dict[tuple[str, Side | None, int], dict[int, list[int]]] = {}
    ties: list[tuple[dict[int, list[int]], int]] = []
    for item in coupled:
        target = item.dep.target
        if target.type == kinds.OUTPUT:
            return None
        if target.type in passed_on:
            continue
        by_root: dict[int, list[int]] = defaultdict(list)
        for index, root in zip(item.idxs, item.root_idxs, strict=True):
            by_root[root].append(index)
        if isinstance(target.module, torch.nn.Parameter):
            dim = range(target.module.ndim)[target.pruning_dim]
            if target.module.shape[dim] < max(item.idxs) + 1:
                return f"'{parameters[id(target.module)]}' does not run along these channels"
            slices[parameters[id(target.module)], None, dim] = by_root
            continue
        layer = modules[id(target.module)]
        side = _side(graph, item.dep.handler)
        along = axes(target.module, side)
        if isinstance(target.module, torch.nn.PReLU) and target.module.num_parameters == 1:
            continue
        if along is None:
            return f"how to cut '{layer}' ({type(target.module).__name__}) is not known"
        if max(item.idxs) >= along.size:
            return f"'{layer}' does not run along these channels"
        slices[layer, side, 0] = by_root
        if along.period < along.size:
            ties.append((by_root, along.period))
    units = _tied(channels, ties)
    if len({len(unit) for unit in units}) != 1:
        return "its layers split the channels in ways that do not fit together"
    members = tuple(
        Member(layer, side, dim, tuple(tuple(i for root in unit for i in by_root.get(root, ())) for unit in units))
        for (layer, side, dim), by_root in slices.items()
    )
    return Group(name, members, width=len(units[0]))


def _side(graph: Any, handler: Any) -> Side:
    gives, takes = graph.is_out_channel_pruning_fn(handler), graph.is_in_channel_pruning_fn(handler)
    return "both" if gives and takes else "out" if gives else "in"


def _tied(channels: int, ties: list[tuple[dict[int, list[int]], int]]) -> list[list[int]]:
    """Channels that must go together: those that meet modulo the period of a member, and what these tie."""
    head = list(range(channels))

    def top(one: int) -> int:
        while head[one] != one:
            one = head[one]
        return one

    for by_root, period in ties:
        first: dict[int, int] = {}
        for root, indices in by_root.items():
            for index in indices:
                a, b = top(root), top(first.setdefault(index % period, root))
                head[max(a, b)] = min(a, b)
    units: dict[int, list[int]] = defaultdict(list)
    for one in range(channels):
        units[top(one)].append(one)
    return list(units.values())
