"""LightM-UNet: a U-Net whose encoder is made of Mamba, for 2-D and 3-D segmentation.

Liao et al., "LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation", 2024, in the form that
the official code's trainer builds, with the names of its weights; ``lightm_unet_paper`` is what the text describes.

    RVM layer:  t = pixels in row-major order;  n = LN(t);  W LN(Mamba(n) + s t) + b;  s a number, both LN one layer
    DW:         depthwise kxk convolution, then 1x1, neither with bias
    RM block:   x + RVM(ReLU(GN(RVM(ReLU(GN(x))))))
    encoder:    e_0 = RM(DW3(image)), 32 wide;  e_i = 2, 2, 4 RM blocks (maxpool2(RVM(e_(i-1)))), twice as wide each
    decoder:    u = up2(1x1(x)) + e_i;  x = ReLU(GN(DW3(ReLU(GN(u))) + s' u)), i = 2, 1, 0, from x = e_3
    head:       ReLU(GN(x)), depthwise 1x1 and then 1x1 convolution, both with bias: logits

GN has 8 groups; up2 is linear, corners not aligned. No dropout. The weights start as torch's and Mamba's own do.

Parameters: 5,011,683 (2-D, 1 channel, 2 classes; 5,011,765 with 3 channels), 5,015,766 (3-D, 1 channel, 3 classes).
MACs (layers + scan; see ``counts.CONVENTION``): 47.75 + 18.85 G for 3x512x512, 154.54 + 91.23 G for 1x128x128x128.
The paper prints 1.09 M and 1.87 M parameters, 267.19 and 457.62 GFLOPs. These are thop's counts of the code's first
upload, whose decoder had full convolutions; thop does not see into the fused Mamba kernel, and the second pair is
of whole batches (12 images of 512x512, 2 volumes of 128^3).

Where the text differs otherwise, the code is followed: Mamba scans in one direction, with a convolution along the
sequence and no LayerNorm behind the scan (text: the module of VMamba); a level holds blocks of two RVM layers with
group normalization (text: 1, 2, 2 and 4 bare RVM layers); the width grows in an RVM layer of its own before the
pooling; s and s' are numbers (text: vectors); the decoder upsamples first (text: last); the output is logits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekit.zoo import spatial
from edgekit.zoo.mamba import Mamba
from edgekit.zoo.spatial import Dimensions

_GROUPS = 8


class ResidualVisionMamba(nn.Module):
    """The RVM layer: ``[N, C, *spatial]`` -> ``[N, C', *spatial]``."""

    def __init__(self, width: int, out_width: int, d_state: int = 16, scales: int = 1) -> None:
        """
        Args:
            width: C.
            out_width: C'.
            d_state: states of the scan.
            scales: entries of s: 1, or C for one a channel.
        """
        super().__init__()
        self.skip_scale = nn.Parameter(torch.ones(scales))
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width, d_state)
        self.proj = nn.Linear(width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *spatial]`` -> ``[N, C', *spatial]``."""
        tokens = x.flatten(2).transpose(1, 2)
        mixed = self.mamba(self.norm(tokens)) + self.skip_scale * tokens
        out: Tensor = self.proj(self.norm(mixed))
        return out.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])


class ResidualMambaBlock(nn.Module):
    """The RM block: ``[N, C, *spatial]`` -> the same shape."""

    def __init__(self, dimensions: Dimensions, width: int, d_state: int = 16) -> None:
        super().__init__()
        self.norm1 = spatial.group_norm(dimensions, _GROUPS, width)
        self.norm2 = spatial.group_norm(dimensions, _GROUPS, width)
        self.act = nn.ReLU()
        self.conv1 = ResidualVisionMamba(width, width, d_state)
        self.conv2 = ResidualVisionMamba(width, width, d_state)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *spatial]`` -> the same shape."""
        inner = self.conv1(self.act(self.norm1(x)))
        out: Tensor = self.conv2(self.act(self.norm2(inner))) + x
        return out


class ResidualUpBlock(nn.Module):
    """The decoder's block: ``[N, C, *spatial]`` -> the same shape."""

    def __init__(self, dimensions: Dimensions, width: int) -> None:
        super().__init__()
        self.norm1 = spatial.group_norm(dimensions, _GROUPS, width)
        self.norm2 = spatial.group_norm(dimensions, _GROUPS, width)
        self.act = nn.ReLU()
        self.conv = depthwise_separable(dimensions, width, width, 3)
        self.skip_scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *spatial]`` -> the same shape."""
        mixed = self.conv(self.act(self.norm1(x))) + self.skip_scale * x
        out: Tensor = self.act(self.norm2(mixed))
        return out


class LightMUNet(nn.Module):
    """``[N, C_in, *spatial]`` -> logits ``[N, K, *spatial]``, every side a multiple of 2^(levels - 1)."""

    def __init__(
        self,
        dimensions: Dimensions,
        num_classes: int,
        in_channels: int,
        init_filters: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        d_state: int = 16,
    ) -> None:
        """
        Args:
            dimensions: 2 or 3.
            num_classes: K.
            in_channels: C_in.
            init_filters: width of the first level.
            blocks_down: RM blocks of each level of the encoder.
            d_state: states of the scans.

        Raises:
            ValueError: the width is no multiple of 8, or there are fewer than two levels.
        """
        super().__init__()
        if init_filters < 1 or init_filters % _GROUPS:
            raise ValueError(f"init_filters is {init_filters}; it must be a multiple of {_GROUPS}")
        if len(blocks_down) < 2 or min(blocks_down) < 0:
            raise ValueError(f"blocks_down is {list(blocks_down)}; give the blocks of two levels or more")
        self.dimensions, self.in_channels = dimensions, in_channels
        self.side_step = 2 ** (len(blocks_down) - 1)
        widths = [init_filters * 2**level for level in range(len(blocks_down))]
        self.convInit = depthwise_separable(dimensions, in_channels, widths[0], 3)
        self.down_layers = nn.ModuleList()
        for level, (width, blocks) in enumerate(zip(widths, blocks_down, strict=True)):
            first: nn.Module = nn.Identity()
            if level:
                widen = ResidualVisionMamba(widths[level - 1], width, d_state)
                first = nn.Sequential(widen, spatial.halve(dimensions))
            inner = (ResidualMambaBlock(dimensions, width, d_state) for _ in range(blocks))
            self.down_layers.append(nn.Sequential(first, *inner))
        rising = widths[-2::-1]
        # Sequences of one, as the official names have it.
        self.up_layers = nn.ModuleList(nn.Sequential(ResidualUpBlock(dimensions, width)) for width in rising)
        self.up_samples = nn.ModuleList(
            nn.Sequential(_named(spatial.convolution(dimensions, 2 * width, width, 1)), spatial.double(dimensions))
            for width in rising
        )
        self.conv_final = nn.Sequential(
            spatial.group_norm(dimensions, _GROUPS, widths[0]),
            nn.ReLU(),
            depthwise_separable(dimensions, widths[0], num_classes, 1, bias=True),
        )

    def get_classifier(self) -> nn.Module:
        """The layer that gives the logits."""
        return self.get_submodule("conv_final.2.1.conv")

    def forward(self, image: Tensor) -> Tensor:
        """Logits.

        Raises:
            ValueError: wrong number of axes or channels, or a side that the levels cannot halve.
        """
        if not torch.compiler.is_exporting():
            spatial.check_input(image, self.dimensions, self.in_channels, self.side_step)
        x = self.convInit(image)
        levels = []
        for down in self.down_layers:
            x = down(x)
            levels.append(x)
        for up, layer, skip in zip(self.up_samples, self.up_layers, levels[-2::-1], strict=True):
            x = layer(up(x) + skip)
        out: Tensor = self.conv_final(x)
        return out


def lightm_unet(
    num_classes: int,
    in_channels: int,
    init_filters: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    d_state: int = 16,
) -> nn.Module:
    """LightM-UNet for images ``[N, C, H, W]``."""
    return LightMUNet(2, num_classes, in_channels, init_filters, blocks_down, d_state)


def lightm_unet_3d(
    num_classes: int,
    in_channels: int,
    init_filters: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    d_state: int = 16,
) -> nn.Module:
    """LightM-UNet for volumes ``[N, C, D, H, W]``."""
    return LightMUNet(3, num_classes, in_channels, init_filters, blocks_down, d_state)


def depthwise_separable(
    dimensions: Dimensions, in_channels: int, out_channels: int, kernel: int, bias: bool = False
) -> nn.Sequential:
    """A convolution within each channel, then a 1x1 convolution over channels."""
    return nn.Sequential(
        _named(spatial.convolution(dimensions, in_channels, in_channels, kernel, in_channels, bias)),
        _named(spatial.convolution(dimensions, in_channels, out_channels, 1, 1, bias)),
    )


def _named(convolution: nn.Module) -> nn.Sequential:
    # The official names put each convolution one level deeper, as MONAI does.
    return nn.Sequential(OrderedDict(conv=convolution))
