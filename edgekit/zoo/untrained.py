"""Random weights that cost what trained ones cost."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def without_zeros(network: nn.Module, seed: int = 0) -> nn.Module:
    """``network`` with values in place of the zeros, and of the scales of one, that it starts with.

    Many networks start with the last scale of each residual branch at zero (Goyal et al. 2017). Converters see that
    such a branch adds nothing and remove it: LiteRT ran an untrained ResNet-18 seven times too fast. They remove
    biases of zero as well, and scales of one; that took 4 % off MobileOne's time in OpenVINO.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, one in network.named_parameters():
        values = torch.rand(one.shape, generator=generator, dtype=one.dtype)
        if not one.any():
            one.copy_(0.1 * (values - 0.5) if name.endswith("bias") else 0.5 + values)
        elif one.ndim == 1 and bool((one == 1).all()):
            one.copy_(0.9 + 0.2 * values)
    return network
