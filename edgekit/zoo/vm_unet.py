"""VM-UNet: a U-Net of visual state-space blocks, for 2-D segmentation.

Ruan and Xiang, "VM-UNet: Vision Mamba UNet for Medical Image Segmentation", 2024, in the form that the official
code's configuration builds, with the names of its weights.

    block:    x + DropPath(SS2D(LN(x))) at full width, channel-last
    encoder:  4x4 patches, LN -> 4 stages of depths 2, 2, 2, 2 and widths 96 to 768, patch merging after 1, 2 and 3
    decoder:  4 stages of depths 2, 2, 2, 1 and widths 768 to 96; before the 2nd, 3rd and 4th, the input of the
              encoder's 4th, 3rd and 2nd is added, then patch expanding: LN(shuffle_2(W x)), W of C -> 2C
    head:     LN(shuffle_4(W x)), W of 96 -> 384, then a 1x1 convolution 24 -> K
    shuffle_p: ``[N, H, W, p p c]`` -> ``[N, p H, p W, c]``, the channels read as (row, column, c)

27,427,561 parameters with one output channel; GMAC at 256: 4.068 + 1.221 + 2.965 = 8.253 for layers, products and
scans (papers count the layers alone). The depths
2, 2, 9, 2 / 2, 9, 2, 2 that the official class has by default give 44,273,833.

One class: the output is the logit z ``[N, 1, H, W]``, as of the official class whose weights are named here. The
repository wraps that class in another, which takes the sigmoid of z and has ``vmunet.`` before these names. Two
classes: the same parameters, and the logits [0, z], whose softmax is [1 - sigmoid(z), sigmoid(z)]. An image of one
channel is repeated to the three that the weights have, as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from edgekit.zoo.medmamba import Stage
from edgekit.zoo.patches import DropPath, PatchEmbedding, drop_rates, initialize
from edgekit.zoo.spatial import check_input
from edgekit.zoo.ss2d import SS2D

#: Both sides of an image must divide by this: 4 for the patches, halved three times.
SIDE_STEP = 32
_STAGES = 4


class ScanBlock(nn.Module):
    """The visual state-space block: ``[N, H, W, C]`` -> ``[N, H, W, C]``."""

    def __init__(self, width: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.self_attention = SS2D(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H, W, C]``."""
        out: Tensor = x + self.drop_path(self.self_attention(self.ln_1(x)))
        return out


class PatchExpanding(nn.Module):
    """``[N, H, W, C]`` -> ``[N, p H, p W, C/p]``: a linear layer C -> pC, its channels to pixels, LayerNorm."""

    def __init__(self, width: int, scale: int) -> None:
        """
        Args:
            width: C.
            scale: p.
        """
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(width, scale * width, bias=False)
        self.norm = nn.LayerNorm(width // scale)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, p H, p W, C/p]``."""
        batch, height, width, channels = x.shape
        scale = self.scale
        # One transposition of four axes: a pixel row of each patch row, in which columns and channels lie together.
        rows = self.expand(x).reshape(batch * height, width, scale, channels).transpose(1, 2)
        out: Tensor = self.norm(rows.reshape(batch, scale * height, scale * width, channels // scale))
        return out


class DecoderStage(nn.Module):
    """Patch expanding except in the first stage, then blocks of one width."""

    def __init__(self, blocks: Sequence[nn.Module], width: int, expand: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.upsample = PatchExpanding(2 * width, 2) if expand else None

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, 2C]`` -> ``[N, 2H, 2W, C]``, or ``[N, H, W, C]`` as it is in the first stage."""
        if self.upsample is not None:
            x = self.upsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class VMUNet(nn.Module):
    """Image ``[N, C_in, H, W]`` -> logits ``[N, K, H, W]``; H and W divide by 32."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        depths: Sequence[int],
        decoder_depths: Sequence[int],
        drop_path: float,
    ) -> None:
        """
        Args:
            num_classes: K.
            in_channels: C_in; the weights of 1 are those of 3.
            depths: blocks of the encoder's four stages, fine to coarse.
            decoder_depths: blocks of the decoder's four stages, coarse to fine.
            drop_path: greatest rate, of the coarsest blocks; see ``patches.drop_rates``.
        """
        super().__init__()
        for given, name in ((depths, "depths"), (decoder_depths, "decoder_depths")):
            if len(given) != _STAGES or min(given) < 1:
                raise ValueError(f"{name} is {list(given)}; it needs four numbers of at least 1")
        self.num_classes = num_classes
        self.image_channels = 3 if in_channels == 1 else in_channels
        widths = [96 * 2**index for index in range(_STAGES)]
        self.patch_embed = PatchEmbedding(self.image_channels, widths[0])
        rates: Iterator[float] = iter(drop_rates(drop_path, sum(depths)))
        self.layers = nn.ModuleList()
        for width, depth in zip(widths, depths, strict=True):
            blocks = [ScanBlock(width, next(rates)) for _ in range(depth)]
            self.layers.append(Stage(blocks, width, merge=width != widths[-1]))
        rates = reversed(drop_rates(drop_path, sum(decoder_depths)))
        self.layers_up = nn.ModuleList()
        for width, depth in zip(reversed(widths), decoder_depths, strict=True):
            blocks = [ScanBlock(width, next(rates)) for _ in range(depth)]
            self.layers_up.append(DecoderStage(blocks, width, expand=width != widths[-1]))
        self.final_up = PatchExpanding(widths[0], 4)
        self.final_conv = nn.Conv2d(widths[0] // 4, 1 if num_classes == 2 else num_classes, 1)
        self.apply(initialize)

    def get_classifier(self) -> nn.Conv2d:
        """The layer that gives the logits."""
        return self.final_conv

    def forward(self, image: Tensor) -> Tensor:
        """Logits.

        Raises:
            ValueError: no images, other channels, or a side that 32 does not divide.
        """
        if image.shape[1] == 1 and self.image_channels == 3:
            image = torch.cat((image, image, image), 1)
        check_input(image, 2, self.image_channels, SIDE_STEP)
        x = self.patch_embed(image)
        skips = []
        for layer in self.layers:
            skips.append(x)
            x = layer(x)
        x = self.layers_up[0](x)
        for layer, skip in zip(self.layers_up[1:], reversed(skips[1:]), strict=True):
            x = layer(x + skip)
        z: Tensor = self.final_conv(self.final_up(x).permute(0, 3, 1, 2))
        return torch.cat((torch.zeros_like(z), z), 1) if self.num_classes == 2 else z


def vm_unet(
    num_classes: int,
    in_channels: int,
    depths: Sequence[int] = (2, 2, 2, 2),
    decoder_depths: Sequence[int] = (2, 2, 2, 1),
    drop_path: float = 0.2,
) -> nn.Module:
    """VM-UNet with the depths of the official configuration."""
    return VMUNet(num_classes, in_channels, depths, decoder_depths, drop_path)
