"""How much each unit matters: the least important ones are removed.

L1, L2: size of the weights that give and take a channel (Li et al., 2017). BatchNorm scale: |gamma| (Liu et al.,
2017). Taylor: (gradient times weight, summed over a channel) squared, the change of the loss to first order when
the channel goes (Molchanov et al., 2019, equation 8). Random: the baseline that every method must beat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from edgekit.passes.base import Context, PassError
from edgekit.pruning.axes import axes
from edgekit.pruning.groups import Group, Member

if TYPE_CHECKING:
    from torch import Tensor, nn

Importance = Literal["l1", "l2", "bn_scale", "taylor", "random"]

#: Gradients for Taylor come from so many batches of so many training images.
_BATCHES = 8
_BATCH = 32
_PIXELS = 2**23


class Scorer:
    """Scores the channels of one network by one kind of importance.

    Args:
        kind: see the file's head.
        network: as it is now; in eval mode.
        gradients: sums over batches of squared channel gradients, see ``taylor``; needed for that kind only.
        seed: of ``random``.
    """

    def __init__(
        self, kind: Importance, network: nn.Module, gradients: Mapping[str, Tensor] | None = None, seed: int = 0
    ) -> None:
        import torch

        self._kind, self._network, self._gradients = kind, network, gradients or {}
        self._generator = torch.Generator().manual_seed(seed)

    def channels(self, member: Member) -> Tensor | None:
        """Score of each channel of ``member``, ``float32[C]``; none where this kind says nothing about it."""
        import torch
        from torch.nn.modules.batchnorm import _BatchNorm

        if member.side is None:
            return None
        layer: Any = self._network.get_submodule(member.name)
        normalizes = isinstance(layer, _BatchNorm)
        if self._kind == "bn_scale":
            scale: Tensor | None = layer.weight if normalizes else None
            return None if scale is None else scale.detach().abs()
        along = axes(layer, member.side)
        weight = getattr(layer, "weight", None)
        if along is None or weight is None:
            return None
        if self._kind == "random":
            return torch.rand(along.size, generator=self._generator)
        if self._kind == "taylor":
            # What takes a channel would count the same change a second time.
            return self._gradients.get(member.name) if member.side != "in" else None
        dim = along.tensors[0][1]
        rows: Tensor = weight.detach().movedim(dim, 0).reshape(weight.shape[dim], -1)
        size = rows.abs().sum(1) if self._kind == "l1" else rows.square().sum(1).sqrt()
        # A grouped convolution holds the inputs of one group only.
        return size.repeat(along.size // len(size))

    def units(self, group: Group) -> Tensor | None:
        """Score of each unit of ``group``, ``float32[units]``; none where this kind cannot score it.

        Except for Taylor, whose scores are changes of the loss, each member's scores are divided by their mean:
        layers then compare by how uneven their channels are, not by the scale of their weights.
        """
        import torch

        found = []
        for member in group.members:
            scores = self.channels(member)
            if scores is None:
                continue
            counts = torch.tensor([len(unit) for unit in member.units])
            flat = torch.tensor([index for unit in member.units for index in unit], dtype=torch.long)
            owner = torch.repeat_interleave(torch.arange(group.size), counts)
            one = torch.zeros(group.size).index_add(0, owner, scores[flat])
            found.append(one if self._kind == "taylor" else one / one.mean().clamp_min(1e-30))
        if not found:
            return None
        return torch.stack(found).sum(0) if self._kind == "taylor" else torch.stack(found).mean(0)


def taylor(network: nn.Module, context: Context, seed: int) -> dict[str, Tensor]:
    """For every layer with weights, the squared sum of gradient times weight of each channel it gives.

    The gradients are those of the cross-entropy on training images (on the pixels of their masks, for
    segmentation), the mean over batches; deterministic.

    Returns:
        ``float32[C]`` by the name of the layer.

    Raises:
        PassError: a gradient is not finite.
    """
    import copy

    import numpy as np
    import torch

    from edgekit.training.loss import SupervisedLoss
    from edgekit.training.settings import Training

    data = context.data
    working = copy.deepcopy(network).requires_grad_(True).eval()
    cross_entropy = SupervisedLoss(Training(loss="cross_entropy"), [1.0] * len(data.classes))
    # As many pixels as 32 images of 512 x 512, which larger windows reach with fewer.
    size = max(1, min(_BATCH, _PIXELS // math.prod(data.preprocessing.size)))
    order = np.random.default_rng(seed).permutation(data.count("train"))[: _BATCHES * size]
    batches = np.array_split(order, -(-len(order) // size))
    total: dict[str, Tensor] = {}
    for chosen in batches:
        chosen = np.sort(chosen)
        working.zero_grad()
        with torch.enable_grad():
            logits = working(torch.from_numpy(data.inputs("train", chosen)))
            torch.autograd.backward(cross_entropy(logits, torch.from_numpy(data.targets("train", chosen))))
        for name, layer in working.named_modules():
            change = _change(layer)
            if change is None:
                continue
            if not bool(torch.isfinite(change).all()):
                raise PassError(
                    f"the gradient of '{name}' is not finite on training images",
                    where="prune.importance",
                    remedy="use importance 'l2'",
                )
            total[name] = total.get(name, torch.zeros_like(change)) + change.square() / len(batches)
    return total


def _change(layer: nn.Module) -> Tensor | None:
    """Sum of gradient times weight over each channel that ``layer`` gives."""
    along = axes(layer, "out") or axes(layer, "both")
    weight = getattr(layer, "weight", None)
    if along is None or weight is None or weight.grad is None:
        return None
    product = (weight.detach() * weight.grad).movedim(along.tensors[0][1], 0)
    change: Tensor = product.reshape(len(product), -1).sum(1)
    bias = getattr(layer, "bias", None)
    if bias is not None and bias.grad is not None:
        change = change + bias.detach() * bias.grad
    return change
