"""MedUNeXt of Xue et al. 2026: a U-Net of convolutions with MED blocks in its deep levels.

Xue et al., "MedNeXt for accurate medical image classification and segmentation: A lightweight transformer-style
convolutional neural network", PLoS One 21(1), 2026, section "MedUNeXt". No code is public. MED blocks are those of
``mednext_2026``.

    encoder:  three levels 64, 128, 256 wide, each two 3x3 convolutions with BatchNorm and ReLU; a level of 2 MED
              blocks, 512 wide; between levels 3x3 convolutions of stride 2 and BatchNorm, which double the width
    bottom:   1 MED block, 1024 wide
    decoder:  at each level a 2x2 transposed convolution of stride 2, which halves the width, the sum with the
              encoder's level, and the blocks of that level anew
    head:     1x1 convolution, logits

39,549,448 parameters and 39.30 GMAC for 3x224x224 and 4 classes, 39.20 without the row and column products. The
paper prints 39.85 M and 39.87 G.

This is the most ordinary network that fits the text, not the paper's: its ablation table does not add up (three of
its rows give three sizes for the same block), so its widths and depths cannot be known, and of 72,320 U-Nets tried
35 came within 2 % of both totals by chance. Interpretation: every width and depth above, the sum in the skip
connections (text: "fuse"), biases on all layers. Not followed: a max-pooling before the first level, with which 64
channels would need a fourth of the MACs that are printed.

As in ``mednext_2026``, the size of the input is fixed, and LAFFN's tiny values ask for care in FP16 and INT8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekit.zoo.mednext_2026 import MedBlock, check_image, convolution_block, downsampling, image_size

_SIDE_STEP = 16
_CONVOLUTION_LEVELS = 3
_LEVELS = 4


class MedUNeXt(nn.Module):
    """``[N, C_in, H, W]`` of one size -> logits ``[N, K, H, W]``."""

    def __init__(
        self, num_classes: int, in_channels: int, img_size: int | Sequence[int], width: int, depth: int
    ) -> None:
        """
        Args:
            num_classes: K.
            in_channels: C_in.
            img_size: the side of square images, or (H, W).
            width: of the first level; it doubles at each.
            depth: MED blocks of the fourth level.

        Raises:
            ValueError: a side that 16 does not divide.
        """
        super().__init__()
        self.in_channels, self.size = in_channels, image_size(img_size, _SIDE_STEP)
        widths = [width * 2**level for level in range(_LEVELS + 1)]
        self.encoders = nn.ModuleList(
            self._level(level, in_channels if level == 0 else one, one, depth)
            for level, one in enumerate(widths[:-1])
        )
        self.downsample = nn.ModuleList(downsampling(one, 2 * one) for one in widths[:-1])
        self.bottom = MedBlock(widths[-1], self._size(_LEVELS), bias=True)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * one, one, 2, 2) for one in widths[-2::-1])
        self.decoders = nn.ModuleList(
            self._level(level, widths[level], widths[level], depth) for level in reversed(range(_LEVELS))
        )
        self.head = nn.Conv2d(width, num_classes, 1)

    def _size(self, level: int) -> tuple[int, int]:
        return self.size[0] // 2**level, self.size[1] // 2**level

    def _level(self, level: int, in_channels: int, width: int, depth: int) -> nn.Sequential:
        if level < _CONVOLUTION_LEVELS:
            return nn.Sequential(convolution_block(in_channels, width), convolution_block(width, width))
        return nn.Sequential(*(MedBlock(width, self._size(level), bias=True) for _ in range(depth)))

    def get_classifier(self) -> nn.Conv2d:
        """The layer that gives the logits."""
        return self.head

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]``.

        Raises:
            ValueError: another size or number of channels than the network was built for.
        """
        if not torch.compiler.is_exporting():
            check_image(image, self.in_channels, self.size)
        x, levels = image, []
        for encoder, shrink in zip(self.encoders, self.downsample, strict=True):
            levels.append(encoder(x))
            x = shrink(levels[-1])
        x = self.bottom(x)
        for enlarge, decoder, skip in zip(self.upsample, self.decoders, reversed(levels), strict=True):
            x = decoder(enlarge(x) + skip)
        logits: Tensor = self.head(x)
        return logits


def medunext_2026(
    num_classes: int, in_channels: int, img_size: int | Sequence[int] = 224, width: int = 64, depth: int = 2
) -> nn.Module:
    """MedUNeXt for images ``[N, C, H, W]`` of ``img_size``."""
    return MedUNeXt(num_classes, in_channels, img_size, width, depth)
