"""LightM-UNet as its paper describes it, where that differs from its code (``lightm_unet``).

Liao et al., "LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation", 2024, section 2. No
code or weights of this form are known.

    encoder:     x = DW3(image), 32 wide;  F_l = maxpool2(N_l RVM layers), the last of which doubles the width,
                 l = 1, 2, 3, N = 1, 2, 2
    bottleneck:  4 RVM layers of 256
    decoder:     p = H (x + F_l), H a 1x1 convolution that halves the width;
                 x = up2(ReLU(DW3(p) + s' p)), l = 3, 2, 1 (equation 4)
    head:        depthwise 1x1 and then 1x1 convolution to the logits

RVM layers and DW are those of ``lightm_unet``, but s and s' are vectors with one entry a channel, and there is no
group normalization. 2,457,705 parameters in 2-D and 2,461,755 in 3-D (1 channel, 2 classes), which is neither the
paper's 1.09 M and 1.87 M nor its code's 5.01 M. MACs (layers + scan; see ``counts.CONVENTION``): 20.83 + 7.30 G for
3x512x512 and 2 classes, 60.72 + 32.84 G for 1x128x128x128 and 3.

Interpretation: that the width is halved before DW (the text: "following each decoder block"; equation 4 has one
width throughout); the head's 1x1 kernel (the text: "a DWConv layer"); logits in place of the SoftMax, which the
losses and metrics here apply. Not followed: "another LayerNorm" in the RVM layer is the same one, and the VSS
module is Mamba in one direction without LayerNorm behind the scan, both as in the code: the text's module is one
for 2-D images, and its form for volumes is not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgekit.zoo import spatial
from edgekit.zoo.lightm_unet import ResidualVisionMamba, depthwise_separable
from edgekit.zoo.spatial import Dimensions


class Encoder(nn.Module):
    """RVM layers, the last of which doubles the width, then max-pooling by 2."""

    def __init__(self, dimensions: Dimensions, width: int, layers: int, d_state: int) -> None:
        super().__init__()
        widths = [width] * layers + [2 * width]
        self.layers = nn.Sequential(*(ResidualVisionMamba(one, two, d_state, one) for one, two in pairwise(widths)))
        self.halve = spatial.halve(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *spatial]`` -> ``[N, 2C, *spatial / 2]``."""
        out: Tensor = self.halve(self.layers(x))
        return out


class Decoder(nn.Module):
    """Two maps ``[N, C, *spatial]`` -> ``[N, C/2, *spatial * 2]``."""

    def __init__(self, dimensions: Dimensions, width: int) -> None:
        super().__init__()
        half = width // 2
        self.reduce = spatial.convolution(dimensions, width, half, 1)
        self.conv = depthwise_separable(dimensions, half, half, 3)
        self.skip_scale = nn.Parameter(torch.ones(half, *[1] * dimensions))
        self.upsample = spatial.double(dimensions)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Equation 4, then upsampling."""
        fused = self.reduce(x + skip)
        out: Tensor = self.upsample(torch.relu(self.conv(fused) + self.skip_scale * fused))
        return out


class LightMUNetPaper(nn.Module):
    """``[N, C_in, *spatial]`` -> logits ``[N, K, *spatial]``, every side a multiple of 2^(number of encoders)."""

    def __init__(
        self,
        dimensions: Dimensions,
        num_classes: int,
        in_channels: int,
        init_filters: int = 32,
        layers: Sequence[int] = (1, 2, 2),
        bottleneck: int = 4,
        d_state: int = 16,
    ) -> None:
        """
        Args:
            dimensions: 2 or 3.
            num_classes: K.
            in_channels: C_in.
            init_filters: width of the first level.
            layers: RVM layers of each encoder, N_l.
            bottleneck: RVM layers of the bottleneck.
            d_state: states of the scans.

        Raises:
            ValueError: a width below 1, no encoder, or an encoder without a layer.
        """
        super().__init__()
        if init_filters < 1:
            raise ValueError(f"init_filters is {init_filters}; it must be at least 1")
        if not layers or min(layers) < 1:
            raise ValueError(f"layers is {list(layers)}; every encoder needs a layer that doubles the width")
        self.dimensions, self.in_channels, self.side_step = dimensions, in_channels, 2 ** len(layers)
        widths = [init_filters * 2**level for level in range(len(layers) + 1)]
        self.stem = depthwise_separable(dimensions, in_channels, widths[0], 3)
        self.encoders = nn.ModuleList(
            Encoder(dimensions, width, count, d_state) for width, count in zip(widths, layers, strict=False)
        )
        deepest = (ResidualVisionMamba(widths[-1], widths[-1], d_state, widths[-1]) for _ in range(bottleneck))
        self.bottleneck = nn.Sequential(*deepest)
        self.decoders = nn.ModuleList(Decoder(dimensions, width) for width in widths[:0:-1])
        self.head = depthwise_separable(dimensions, widths[0], num_classes, 1)

    def get_classifier(self) -> nn.Module:
        """The layer that gives the logits."""
        return self.get_submodule("head.1.conv")

    def forward(self, image: Tensor) -> Tensor:
        """Logits.

        Raises:
            ValueError: wrong number of axes or channels, or a side that the levels cannot halve.
        """
        if not torch.compiler.is_exporting():
            spatial.check_input(image, self.dimensions, self.in_channels, self.side_step)
        x = self.stem(image)
        levels = []
        for encoder in self.encoders:
            x = encoder(x)
            levels.append(x)
        x = self.bottleneck(x)
        for decoder, skip in zip(self.decoders, levels[::-1], strict=True):
            x = decoder(x, skip)
        out: Tensor = self.head(x)
        return out


def lightm_unet_paper(
    num_classes: int,
    in_channels: int,
    init_filters: int = 32,
    layers: Sequence[int] = (1, 2, 2),
    bottleneck: int = 4,
    d_state: int = 16,
) -> nn.Module:
    """The paper's LightM-UNet for images ``[N, C, H, W]``."""
    return LightMUNetPaper(2, num_classes, in_channels, init_filters, layers, bottleneck, d_state)


def lightm_unet_paper_3d(
    num_classes: int,
    in_channels: int,
    init_filters: int = 32,
    layers: Sequence[int] = (1, 2, 2),
    bottleneck: int = 4,
    d_state: int = 16,
) -> nn.Module:
    """The paper's LightM-UNet for volumes ``[N, C, D, H, W]``."""
    return LightMUNetPaper(3, num_classes, in_channels, init_filters, layers, bottleneck, d_state)
