"""The exponential moving average of a network's weights: steadier than the weights of any one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim.swa_utils import AveragedModel

    Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` whose ``update_parameters(network)`` moves it towards ``network``.

    After step t the copy keeps ``min(decay, (1 + t) / (10 + t))`` of itself, so that the first weights do not stay
    in the average of a short training. Running statistics of BatchNorm are averaged like weights, since they belong
    to the weights with which they were taken; counters are copied.

    Args:
        network: stays as it is.
        decay: what the average keeps at each step, in the long run; 0 to 1.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel

    @torch.no_grad()
    def move(kept: Tensors, current: Tensors, updates: Tensor | int) -> None:
        t = int(updates)
        share = min(decay, (1 + t) / (10 + t))
        # The tensors of one call are of one type.
        if kept[0].is_floating_point():
            torch._foreach_lerp_(kept, current, 1 - share)
        else:
            torch._foreach_copy_(kept, current)

    return AveragedModel(network, multi_avg_fn=move, use_buffers=True)
