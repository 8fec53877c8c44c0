"""MedMamba T, S and B: classification by convolutions on half of the channels and a selective scan on the others.

Yue and Li, "MedMamba: Vision Mamba for Medical Image Classification", 2024, in the form of the official code since
April 2024, with the names of its weights.

    block:    a, b = the halves of x;  a' = ReLU(conv1(ReLU(BN(conv3(ReLU(BN(conv3(BN(a)))))))));
              b' = DropPath(SS2D(LN(b)));  x + shuffle(a', b'), where channel 2i is a'_i and 2i + 1 is b'_i
    network:  4x4 patches, LN -> 4 stages of blocks, patch merging after the first three -> mean -> linear -> logits

|    | widths              | depths      | parameters, 6 / 1000 classes | GMAC at 224: layers + products + scan |
|----|---------------------|-------------|------------------------------|---------------------------------------|
| T  | 96, 192, 384, 768   | 2, 2, 4, 2  | 14,457,222 / 15,221,608      | 2.006 + 0.236 + 0.742 = 2.984         |
| S  | as T                | 2, 2, 8, 2  | 18,625,158 / 19,389,544      | 2.731 + 0.303 + 0.917 = 3.951         |
| B  | 128, 256, 512, 1024 | 2, 2, 12, 2 | 39,864,838 / 40,883,688      | 6.130 + 0.552 + 1.455 = 8.138         |
| S' | as T                | 2, 2, 12, 2 | 22,793,094 / 23,557,480      | 3.456 + 0.371 + 1.091 = 4.918         |
| B' | as B                | 2, 2, 16, 2 | 47,126,022 / 48,144,872      | 7.419 + 0.655 + 1.688 = 9.762         |

MACs by the convention of ``counts``.

Where the paper and its code differ, this is the code:
- The paper's Table 1 prints the depths of S and B, which the code has, beside counts (23.5 and 48.1 M, 3.5 and
  7.4 G) that only the deeper third stages of S' and B' give
  (``medmamba_s_paper_count``, ``medmamba_b_paper_count``).
- The paper's FLOPs are MACs of convolution and linear layers; W_x, W_dt and the scan are left out.
- The paper names no LayerNorm after the patches, three mergings only in its table,
  and a final softmax (here: logits).
- The paper discretizes B by zero-order hold, the code by Euler's rule; see ``mamba``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekit.zoo.patches import DropPath, PatchEmbedding, PatchMerging, drop_rates, initialize
from edgekit.zoo.spatial import check_input
from edgekit.zoo.ss2d import SS2D

#: The least side of an image: 4 for the patches, halved three times.
LEAST_SIDE = 32


class ConvolutionScanBlock(nn.Module):
    """SS-Conv-SSM, the block of MedMamba: ``[N, H, W, C]`` -> ``[N, H, W, C]``, C even."""

    def __init__(self, width: int, drop_path: float = 0.0) -> None:
        super().__init__()
        half = width // 2
        self.ln_1 = nn.LayerNorm(half)
        self.self_attention = SS2D(half)
        self.drop_path = DropPath(drop_path)
        self.conv33conv33conv11 = nn.Sequential(
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H, W, C]``."""
        first, second = x.chunk(2, dim=-1)
        scanned = self.drop_path(self.self_attention(self.ln_1(second)))
        convolved = self.conv33conv33conv11(first.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + interleave(convolved, scanned)


class Stage(nn.Module):
    """Blocks of one width ``[N, H, W, C]``, then patch merging except in the last stage."""

    def __init__(self, blocks: Sequence[nn.Module], width: int, merge: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = PatchMerging(width) if merge else None

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H // 2, W // 2, 2C]``, or the same shape in the last stage."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class StagedClassifier(nn.Module):
    """Patches of an image through stages, the mean of what comes out, and a linear layer; subclasses build them."""

    in_channels: int
    patch_embed: PatchEmbedding
    layers: nn.ModuleList
    head: nn.Linear

    def get_classifier(self) -> nn.Linear:
        """The layer that gives the logits."""
        return self.head

    def forward(self, image: Tensor) -> Tensor:
        """Logits.

        Raises:
            ValueError: no images, other channels, or a side below 32.
        """
        check_image(image, self.in_channels)
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x.mean((1, 2)))
        return logits


class MedMamba(StagedClassifier):
    """Image ``[N, C_in, H, W]`` -> logits ``[N, K]``; H and W at least 32, what 32 does not divide is cropped."""

    def __init__(
        self, num_classes: int, in_channels: int, width: int, depths: Sequence[int], drop_path: float
    ) -> None:
        """
        Args:
            num_classes: K.
            in_channels: C_in.
            width: of the first stage; each following stage doubles it.
            depths: blocks of each stage.
            drop_path: rate of the last block's; see ``patches.drop_rates``.
        """
        super().__init__()
        self.in_channels = in_channels
        self.patch_embed = PatchEmbedding(in_channels, width)
        rates = iter(drop_rates(drop_path, sum(depths)))
        self.layers = nn.ModuleList()
        for index, depth in enumerate(depths):
            wide = width * 2**index
            blocks = [ConvolutionScanBlock(wide, next(rates)) for _ in range(depth)]
            self.layers.append(Stage(blocks, wide, merge=index + 1 < len(depths)))
        self.head = nn.Linear(width * 2 ** (len(depths) - 1), num_classes)
        self.apply(_initialize)


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """``[..., C/2]`` twice -> ``[..., C]``, channel by channel in turn: a channel shuffle of two groups."""
    return torch.stack((first, second), -1).flatten(-2)


def check_image(image: Tensor, channels: int) -> None:
    """Refuse what is no ``[N, channels, H, W]``, and sides of which patch merging would leave nothing.

    Raises:
        ValueError: what is wrong.
    """
    check_input(image, 2, channels, 1)
    height, width = image.shape[2:]
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"the image is {height}x{width}; its sides must be at least {LEAST_SIDE} pixels")


def medmamba_t(num_classes: int, in_channels: int, drop_path: float = 0.1) -> nn.Module:
    """MedMamba-T."""
    return MedMamba(num_classes, in_channels, 96, (2, 2, 4, 2), drop_path)


def medmamba_s(num_classes: int, in_channels: int, drop_path: float = 0.1) -> nn.Module:
    """MedMamba-S with the depths of the code and of the paper's table."""
    return MedMamba(num_classes, in_channels, 96, (2, 2, 8, 2), drop_path)


def medmamba_b(num_classes: int, in_channels: int, drop_path: float = 0.1) -> nn.Module:
    """MedMamba-B with the depths of the code and of the paper's table."""
    return MedMamba(num_classes, in_channels, 128, (2, 2, 12, 2), drop_path)


def medmamba_s_paper_count(num_classes: int, in_channels: int, drop_path: float = 0.1) -> nn.Module:
    """S': MedMamba-S with the depths that give the paper's parameters and FLOPs."""
    return MedMamba(num_classes, in_channels, 96, (2, 2, 12, 2), drop_path)


def medmamba_b_paper_count(num_classes: int, in_channels: int, drop_path: float = 0.1) -> nn.Module:
    """B': MedMamba-B with the depths that give the paper's parameters and FLOPs."""
    return MedMamba(num_classes, in_channels, 128, (2, 2, 16, 2), drop_path)


def _initialize(module: nn.Module) -> None:
    initialize(module)
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
