"""Proves that a pruned network computes what it should.

A network without some of its channels must give what the whole network gives when nothing reads them: when the
weights that take these channels are zero, and normalization over channels leaves them out. That is exact, so a
difference beyond rounding means that the channels were matched wrongly, or that something mixes channels in a
way that the dependency graph does not see (a softmax or a mean over channels, a shuffle).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.pruning.axes import axes
from edgekit.pruning.groups import Group
from edgekit.pruning.removal import remove, slices

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

#: Largest difference of logits to the largest logit: rounding, with room.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
_IMAGES = 2


def difference(
    network: nn.Module,
    pruned: nn.Module,
    groups: Sequence[Group],
    removed: Mapping[str, Sequence[int]],
    input_size: tuple[int, ...],
) -> tuple[float, float]:
    """How far ``pruned`` is from ``network`` with the removed units unread.

    Returns:
        The largest difference of logits, relative to the largest logit, and what rounding alone explains.

    Raises:
        Exception: whatever ``pruned`` raises when it runs.
    """
    import torch

    dtype = _dtype(network, input_size)
    images = torch.randn(_IMAGES, *input_size, generator=torch.Generator().manual_seed(0)).to(dtype)
    masked = copy.deepcopy(network).to(dtype)
    _unread(masked, groups, removed)
    with torch.no_grad():
        expected, given = masked(images), copy.deepcopy(pruned).to(dtype)(images)
    largest = float(expected.abs().max())
    tolerance = TOLERANCE[str(dtype).removeprefix("torch.")]
    if given.shape != expected.shape or not bool(torch.isfinite(given).all()):
        return float("inf"), tolerance
    return float((given - expected).abs().max()) / max(largest, 1e-30), tolerance


def unsafe(network: nn.Module, groups: Sequence[Group], input_size: tuple[int, ...]) -> dict[str, str]:
    """Names of the groups that cannot be pruned, each with the reason. ``network`` stays as it is.

    Half of the units of all groups are removed from a copy and the result compared; where it differs, the groups
    are halved until the ones at fault are found.
    """
    trial = _distinct(network).to(_dtype(network, input_size))

    def search(some: Sequence[Group]) -> dict[str, str]:
        reason = _fault(trial, some, input_size)
        if reason is None:
            return {}
        if len(some) == 1:
            return {some[0].name: reason}
        middle = len(some) // 2
        return {**search(some[:middle]), **search(some[middle:])}

    found = search(groups)
    rest = [group for group in groups if group.name not in found]
    reason = _fault(trial, rest, input_size) if found else None
    # Groups that are each safe alone and not together: none of them is trusted.
    return {**found, **({group.name: reason for group in rest} if reason is not None else {})}


def _fault(network: nn.Module, groups: Sequence[Group], input_size: tuple[int, ...]) -> str | None:
    if not groups:
        return None
    removed = {group.name: _half(group) for group in groups}
    try:
        pruned = copy.deepcopy(network)
        remove(pruned, groups, removed)
        found, tolerance = difference(network, pruned, groups, removed, input_size)
    except Exception as error:  # the network is the user's code
        return f"without some of its channels the network fails: {type(error).__name__}: {str(error)[:160]}"
    if found > tolerance:
        return "its channels are mixed in a way that the dependency graph does not see"
    return None


def _half(group: Group) -> list[int]:
    """Every second unit but one of the last, so that neither order nor evenness is a coincidence."""
    return [unit for unit in range(group.size) if unit % 2 == 0][: max(1, group.size // 2 - 1)]


def _distinct(network: nn.Module) -> nn.Module:
    """A copy whose channels all differ: tensors of one value, as before training, get random ones."""
    import torch

    copied = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, tensor in [*copied.named_parameters(), *copied.named_buffers()]:
            if tensor.numel() > 1 and tensor.is_floating_point() and bool((tensor == tensor.reshape(-1)[0]).all()):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return copied


def _dtype(network: nn.Module, input_size: tuple[int, ...]) -> torch.dtype:
    """Double precision where the network can run in it."""
    import torch

    if all(one.dtype == torch.float64 for one in network.parameters()):
        return torch.float64
    try:
        with torch.no_grad():
            copy.deepcopy(network).double()(torch.zeros(_IMAGES, *input_size, dtype=torch.float64))
    except Exception:  # networks that make float32 tensors while they run
        return torch.float32
    return torch.float64


def _unread(network: nn.Module, groups: Sequence[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Make ``network`` ignore the removed units, in place."""
    import torch
    from torch import nn

    with torch.no_grad():
        for (name, side, _), indices in slices(groups, removed).items():
            if side is None or side == "out":
                continue
            layer: Any = network.get_submodule(name)
            chosen = sorted(indices)
            if side == "in":
                along = axes(layer, side)
                assert along is not None
                dim = along.tensors[0][1]
                size = layer.weight.shape[dim]
                layer.weight.index_fill_(dim, torch.tensor(sorted({i % size for i in chosen})), 0.0)
            elif isinstance(layer, (nn.LayerNorm, nn.GroupNorm)):
                _normalize_kept(layer, chosen)
        for group in groups:
            if group.attention is not None and removed.get(group.name):
                module: Any = network.get_submodule(group.attention)
                queries = module.num_heads * module.head_dim
                cut = group.members[0].units
                rows = torch.tensor([i for unit in removed[group.name] for i in cut[unit] if i < queries])
                module.qkv.weight.index_fill_(0, rows, 0.0)
                if module.qkv.bias is not None:
                    module.qkv.bias.index_fill_(0, rows, 0.0)


def _normalize_kept(layer: Any, removed: list[int]) -> None:
    """Let a LayerNorm or GroupNorm see only the channels that stay; the others become 0."""
    import torch

    from edgekit.pruning.removal import narrow

    small = copy.deepcopy(layer)
    narrow(small, "both", set(removed))
    size = axes(layer, "both")
    assert size is not None
    kept = torch.tensor([index for index in range(size.size) if index not in set(removed)])
    # timm's norms for images normalize over dimension 1 of [N, C, H, W], torch's LayerNorm over the last.
    first = isinstance(layer, torch.nn.GroupNorm) or type(layer).__name__.endswith("2d")

    def forward(features: Tensor) -> Tensor:
        dim = 1 if first else features.ndim - 1
        result = torch.zeros_like(features)
        return result.index_copy(dim, kept, small(features.index_select(dim, kept)))

    layer.forward = forward
