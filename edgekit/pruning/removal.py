"""Takes units out of a network: slices of the weights, and the sizes that layers and blocks keep of themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.pruning import attention
from edgekit.pruning.axes import Side, axes
from edgekit.pruning.groups import Group

if TYPE_CHECKING:
    from torch import nn

#: What blocks call the sizes of their layers, which some need to merge their branches.
_TAKES = ("in_chs", "in_channels", "in_features")
_GIVES = ("out_chs", "out_channels", "out_features")


def slices(
    groups: Sequence[Group], removed: Mapping[str, Sequence[int]]
) -> dict[tuple[str, Side | None, int], set[int]]:
    """The channels that go, by member ``(name, side, dim)``.

    Args:
        groups: of the network.
        removed: units by the name of their group.
    """
    gone: dict[tuple[str, Side | None, int], set[int]] = defaultdict(set)
    for group in groups:
        for member in group.members:
            for unit in removed.get(group.name, ()):
                gone[member.name, member.side, member.dim].update(member.units[unit])
    return {key: indices for key, indices in gone.items() if indices}


def remove(network: nn.Module, groups: Sequence[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Remove units from ``network``, in place.

    Args:
        network: the one that ``groups`` were found in.
        groups: see ``groups.find``.
        removed: units to remove, by the name of their group.
    """
    sizes = _sizes(network)
    for (name, side, dim), indices in slices(groups, removed).items():
        if side is None:
            owner, _, own = name.rpartition(".")
            _cut(network.get_submodule(owner), own, dim, indices)
        else:
            narrow(network.get_submodule(name), side, indices)
    for group in groups:
        if group.attention is not None and removed.get(group.name):
            module: Any = network.get_submodule(group.attention)
            attention.narrow(module, group.size - len(removed[group.name]))
    _update_blocks(network, sizes)


def narrow(layer: nn.Module, side: Side, indices: set[int]) -> None:
    """Remove the channels ``indices`` from one side of ``layer``, in place."""
    along = axes(layer, side)
    assert along is not None  # groups are made of such layers only
    for name, dim in along.tensors:
        tensor = getattr(layer, name, None)
        if tensor is None:
            continue
        # A grouped convolution holds the inputs of one group only; the channels of all go together.
        size = tensor.shape[dim]
        _cut(layer, name, dim, {index % size for index in indices})
    for name in along.counts:
        before = getattr(layer, name)
        after = before - len(indices) if isinstance(before, int) else (*before[:-1], before[-1] - len(indices))
        setattr(layer, name, after)


def _cut(owner: Any, name: str, dim: int, indices: set[int]) -> None:
    """Remove ``indices`` of ``dim`` from a parameter or a buffer."""
    import torch

    tensor = getattr(owner, name)
    kept = torch.tensor([index for index in range(tensor.shape[dim]) if index not in indices], dtype=torch.long)
    rest = tensor.detach().index_select(dim, kept)
    if isinstance(tensor, torch.nn.Parameter):
        rest = torch.nn.Parameter(rest, requires_grad=tensor.requires_grad)
    setattr(owner, name, rest)
    shape = getattr(owner, "normalized_shape", None)
    # Norms that Torch-Pruning does not know as such (RMSNorm) keep the size of their weight.
    if name == "weight" and axes(owner, "both") is None and shape == (tensor.shape[0],):
        owner.normalized_shape = (len(kept),)


def _sizes(network: nn.Module) -> dict[str, tuple[int, int, int]]:
    """(inputs, outputs, groups) of every convolution and linear layer."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    found = {}
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd):
            found[name] = (module.in_channels, module.out_channels, module.groups)
        elif isinstance(module, nn.Linear):
            found[name] = (module.in_features, module.out_features, 1)
    return found


def output_sizes(network: nn.Module) -> dict[str, int]:
    """Output channels of every convolution and linear layer."""
    return {name: gives for name, (_, gives, _) in _sizes(network).items()}


def _update_blocks(network: nn.Module, before: dict[str, tuple[int, int, int]]) -> None:
    """Blocks that note a size of the layers in them note the new one, where all of those layers agree on it."""
    after = _sizes(network)
    for name, block in network.named_modules():
        if name in before:
            continue
        prefix = f"{name}." if name else ""
        inside = [layer for layer in before if layer.startswith(prefix)]
        for position, names in enumerate((_TAKES, _GIVES, ("groups",))):
            for attribute in names:
                noted = vars(block).get(attribute)
                if not isinstance(noted, int) or isinstance(noted, bool):
                    continue
                new = {after[layer][position] for layer in inside if before[layer][position] == noted}
                if len(new) == 1:
                    setattr(block, attribute, new.pop())
