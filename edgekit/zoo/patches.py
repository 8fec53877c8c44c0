"""Parts that MedMamba and VM-UNet share: patch embedding, patch merging and drop path.

Patches as in Swin (Liu et al. 2021), drop path after Huang et al., "Deep Networks with Stochastic Depth", 2016.
Images are channel-last, ``[N, H, W, C]``, between these parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Image ``[N, C_in, H, W]`` -> ``[N, H/4, W/4, C]``: a 4x4 convolution of stride 4, then LayerNorm."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, 4, 4)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """An image side that 4 does not divide loses its last rows or columns."""
        out: Tensor = self.norm(self.proj(image).permute(0, 2, 3, 1))
        return out


class PatchMerging(nn.Module):
    """``[N, H, W, C]`` -> ``[N, H/2, W/2, 2C]``: the four pixels of a square, LayerNorm, a linear layer.

    Their channels follow one another as (even row, even column), (odd, even), (even, odd), (odd, odd). An odd last
    row or column is dropped.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H // 2, W // 2, 2C]``."""
        batch, height, width, channels = x.shape[0], x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
        # One permutation, as four strided slices take several times as long in LiteRT; Core ML knows five axes.
        pairs = x[:, : 2 * height, : 2 * width].reshape(batch * height, 2, width, 2, channels)
        squares = pairs.permute(0, 2, 3, 1, 4).reshape(batch, height, width, 4 * channels)
        out: Tensor = self.reduction(self.norm(squares))
        return out


class DropPath(nn.Module):
    """In training, zeroes the branch of a sample with probability ``rate``, else scales it by 1/(1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"the rate of drop path is {rate}; it is a probability below 1")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """``[N, ...]`` -> ``[N, ...]``; the same in eval mode."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.empty(x.shape[0], *[1] * (x.ndim - 1), device=x.device, dtype=x.dtype)
        return x * kept.bernoulli_(1 - self.rate) / (1 - self.rate)


def drop_rates(greatest: float, blocks: int) -> list[float]:
    """The rate of each block, growing linearly from 0 at the first to ``greatest`` at the last."""
    return [greatest * block / max(1, blocks - 1) for block in range(blocks)]


def initialize(module: nn.Module) -> None:
    """Swin's start of one layer, for ``nn.Module.apply``: linear weights truncated-normal of 0.02, biases 0.

    The selective scan's own weights are no linear layers and keep theirs; LayerNorm starts at 1 and 0 anyway.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
