"""UltraLight VM-UNet: 2-D segmentation with 49,457 parameters.

Wu et al., "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters for Skin Lesion
Segmentation", 2024, in the form of the official code, with the names of its weights. Widths 8, 16, 24, 32, 48, 64.

    PVM layer:  n = LN(x); of its four quarters q: q' = Mamba(q) + s q, one Mamba for all four; W LN(q'1 .. q'4) + b
    encoder:    t_i = GELU(maxpool2(GN(f_i(t_(i-1))))), i = 1..5, f = three 3x3 convolutions, two PVM layers;
                bottom = GELU(PVM(t_5))
    bridge:     a_i = sigmoid(conv7(mean and max of t_i over channels)), one convolution of dilation 3 for all;
                r_i = a_i t_i;  m_i = t_i + r_i;  c_i = sigmoid(W_i conv1d(means of m_1 .. m_5) + b_i);
                v_i = c_i m_i + r_i
    decoder:    GELU(up(GN(g_i(x)))) + v_i, i = 5..1, no up at i = 5; g = three PVM layers, two 3x3 convolutions
    head:       1x1 convolution 8 -> 1, up, sigmoid

LN is one LayerNorm used twice, GN has 4 groups, up is bilinear x2 with aligned corners. The skip of a PVM layer is
the normalized quarter (in LightM-UNet: the raw input). GMAC at 256: 0.066 for layers + 0.015 for the
scans = 0.081; the paper's 0.060 leaves out all that is inside Mamba.

One class: the official output, the probability sigmoid(z) ``[N, 1, H, W]``. Two classes: the same parameters, and
the logits [0, z], whose softmax is [1 - sigmoid(z), sigmoid(z)].

The official start of the weights, which is kept, overwrites Mamba's own: linear layers truncated-normal of
deviation 0.02 with biases 0, that of the step size too, so that dt starts at 0.69 and not between 0.001 and 0.1.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.zoo.mamba import Mamba
from edgekit.zoo.patches import initialize
from edgekit.zoo.spatial import check_input

#: Both sides of an image must divide by this: five halvings.
SIDE_STEP = 32
WIDTHS = (8, 16, 24, 32, 48, 64)
_PARTS = 4


class ParallelMamba(nn.Module):
    """The PVM layer: ``[N, C, H, W]`` -> ``[N, C', H, W]``, C a multiple of 4; tokens are read row by row."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width // _PARTS)
        self.proj = nn.Linear(width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, C', H, W]``."""
        batch, _, height, width = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        # The quarters share their Mamba, so they pass it as one batch, and one scan serves all.
        quarters = torch.cat(tokens.chunk(_PARTS, dim=-1), 0)
        quarters = self.mamba(quarters) + self.skip_scale * quarters
        mixed = self.proj(self.norm(torch.cat(quarters.chunk(_PARTS, dim=0), -1)))
        out: Tensor = mixed.transpose(1, 2).reshape(batch, -1, height, width)
        return out


class ChannelAttention(nn.Module):
    """Five maps ``[N, C_i, H_i, W_i]`` -> the weight of each channel ``[N, C_i, 1, 1]``, seen from all five."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.get_all_att = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        for index, width in enumerate(widths, start=1):
            self.add_module(f"att{index}", nn.Linear(sum(widths), width))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One weight a channel, each in 0 to 1."""
        means = torch.cat([one.mean((2, 3)) for one in maps], 1)
        seen = self.get_all_att(means[:, None])[:, 0]
        heads = [self.get_submodule(f"att{index}") for index in range(1, len(maps) + 1)]
        return [torch.sigmoid(head(seen))[:, :, None, None] for head in heads]


class SpatialAttention(nn.Module):
    """A map ``[N, C, H, W]`` of any C -> the weight of each pixel ``[N, 1, H, W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.shared_conv2d = nn.Sequential(nn.Conv2d(2, 1, 7, padding=9, dilation=3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """One weight a pixel, each in 0 to 1."""
        out: Tensor = self.shared_conv2d(torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1))
        return out


class AttentionBridge(nn.Module):
    """The skip connections: five maps to five of the same shapes."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.catt = ChannelAttention(widths)
        self.satt = SpatialAttention()

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Attention over pixels, then over channels, each with a residual."""
        weighted = [self.satt(one) * one for one in maps]
        mixed = [one + more for one, more in zip(maps, weighted, strict=True)]
        gains = self.catt(mixed)
        return [gain * one + more for gain, one, more in zip(gains, mixed, weighted, strict=True)]


class UltraLightVMUNet(nn.Module):
    """Image ``[N, C_in, H, W]`` -> ``[N, K, H, W]``; H and W divide by 32."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        """
        Args:
            num_classes: K; see the module for 1 and 2. More than 2: K logits from a head of K channels.
            in_channels: C_in.
        """
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        widths = (in_channels, *WIDTHS)
        steps = list(itertools.pairwise(widths))
        for index, (width, wider) in enumerate(steps, start=1):
            self.add_module(f"encoder{index}", _layer(width, wider, scan=index > 3))
        self.scab = AttentionBridge(WIDTHS[:-1])
        for index, (narrower, width) in enumerate(reversed(steps[1:]), start=1):
            self.add_module(f"decoder{index}", _layer(width, narrower, scan=index <= 3))
        for index, width in enumerate(WIDTHS[:-1], start=1):
            self.add_module(f"ebn{index}", nn.GroupNorm(4, width))
        for index, width in enumerate(reversed(WIDTHS[:-1]), start=1):
            self.add_module(f"dbn{index}", nn.GroupNorm(4, width))
        self.final = nn.Conv2d(WIDTHS[0], 1 if num_classes == 2 else num_classes, 1)
        self.apply(_initialize)

    def get_classifier(self) -> nn.Conv2d:
        """The layer that gives the logits."""
        return self.final

    def forward(self, image: Tensor) -> Tensor:
        """Logits, or for one class the probability.

        Raises:
            ValueError: no images, other channels, or a side that 32 does not divide.
        """
        check_input(image, 2, self.in_channels, SIDE_STEP)
        part = self.get_submodule
        x, maps = image, []
        for index in range(1, 6):
            x = F.gelu(F.max_pool2d(part(f"ebn{index}")(part(f"encoder{index}")(x)), 2))
            maps.append(x)
        bridged = self.scab(maps)
        x = F.gelu(part("encoder6")(x))
        for index in range(1, 6):
            x = part(f"dbn{index}")(part(f"decoder{index}")(x))
            x = F.gelu(x if index == 1 else _double(x)) + bridged[-index]
        z = _double(self.final(x))
        if self.num_classes == 1:
            return torch.sigmoid(z)
        return torch.cat((torch.zeros_like(z), z), 1) if self.num_classes == 2 else z


def ultralight_vm_unet(num_classes: int, in_channels: int) -> nn.Module:
    """UltraLight VM-UNet."""
    return UltraLightVMUNet(num_classes, in_channels)


def _layer(width: int, out_width: int, scan: bool) -> nn.Sequential:
    # A sequence of one, as the official names have it.
    return nn.Sequential(ParallelMamba(width, out_width) if scan else nn.Conv2d(width, out_width, 3, padding=1))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _initialize(module: nn.Module) -> None:
    initialize(module)
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        outputs = math.prod(module.kernel_size) * module.out_channels
        grouped = module.groups if isinstance(module, nn.Conv2d) else 1
        nn.init.normal_(module.weight, 0, math.sqrt(2 / (outputs // grouped)))
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
