"""MedMamba-Lite: a small student of MedMamba for edge accelerators.

After Aalishah et al., "MedMambaLite: Hardware-Aware Mamba for Medical Image Classification", 2025, which thins out
MedMamba and distills it into a network of smaller widths. What follows is our own reading of that idea, not the
paper's network, and reproduces none of its figures. Against MedMamba-T it has two thirds of the widths, 4 states
instead of 16, 2 directions instead of 4 (row by row and column by column), scans of half as many channels for the
width, and depthwise convolutions that are over-parameterized in training as in MobileOne (Vasu et al. 2023):

    block:    a, b = the halves of x;  a' = ReLU(P2(ReLU(D2(ReLU(P1(ReLU(D1(a))))))));  b' = DropPath(SS2D(LN(b)));
              x + shuffle(a', b'), where channel 2i is a'_i and 2i + 1 is b'_i
    D, P:     sum over j of BN_j(W_j x), + BN(x), + in D BN(w x); W_j are depthwise 3x3 kernels in D and pointwise
              ones in P, w is depthwise 1x1

The pass ``reparameterize`` merges each D and P into the one convolution that it adds up to. All else is MedMamba's:
the stages are as deep and as large as those of MedMamba-T, so that features can be distilled stage by stage.

Widths 64, 128, 256, 512, depths 2, 2, 4, 2, for 6 classes: 2,329,030 parameters in training, 1,861,830 merged
(MedMamba-T: 14,457,222). GMAC at 224, merged: 0.259 for layers + 0.015 for products + 0.032 for scans = 0.305
(MedMamba-T: 2.984).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.zoo.medmamba import Stage, StagedClassifier, interleave
from edgekit.zoo.patches import DropPath, PatchEmbedding, drop_rates, initialize
from edgekit.zoo.ss2d import SS2D


class BranchedConvolution(nn.Module):
    """A convolution ``[N, C, H, W]`` -> ``[N, C, H, W]`` as a sum of branches, each with a BatchNorm of its own."""

    def __init__(self, channels: int, kernel: int, groups: int, branches: int) -> None:
        """
        Args:
            channels: C.
            kernel: side of the kernel, odd.
            groups: of the convolution: C is depthwise.
            branches: number of convolutions of that kernel; a 1x1 one (where the kernel is larger) and the bare
                BatchNorm of the input come on top.
        """
        super().__init__()
        self.channels, self.kernel, self.groups = channels, kernel, groups
        kernels = [kernel] * branches + ([1] if kernel > 1 else [])
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, side, padding=side // 2, groups=groups, bias=False),
                nn.BatchNorm2d(channels),
            )
            for side in kernels
        )
        self.skip = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the branches."""
        out: Tensor = self.skip(x)
        for branch in self.convolutions:
            out = out + branch(x)
        return out

    def fuse(self) -> nn.Conv2d:
        """The one convolution that gives what the branches give in eval mode.

        With s = gamma / sqrt(var + eps), BN(W x) = (s W) x + (beta - s mean); 1x1 kernels and the skip, whose
        kernel is the identity, are padded with zeros to the size of the others.
        """
        side, fan_in = self.kernel, self.channels // self.groups
        identity = torch.eye(fan_in, device=self.skip.weight.device).repeat(self.groups, 1)[:, :, None, None]
        pairs: list[tuple[Tensor, Any]] = [(identity, self.skip)]
        for branch in self.convolutions:
            convolution, norm = branch.children()
            pairs.append((convolution.get_parameter("weight"), norm))
        weights, biases = [], []
        for kernel, norm in pairs:
            scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            around = (side - kernel.shape[-1]) // 2
            weights.append(scale[:, None, None, None] * F.pad(kernel.double(), [around] * 4))
            biases.append(norm.bias.double() - scale * norm.running_mean.double())
        merged = nn.Conv2d(self.channels, self.channels, side, padding=side // 2, groups=self.groups)
        merged.weight = nn.Parameter(torch.stack(weights).sum(0).float())
        merged.bias = nn.Parameter(torch.stack(biases).sum(0).float())
        return merged


class LiteBlock(nn.Module):
    """``[N, H, W, C]`` -> ``[N, H, W, C]``, C even: convolutions on one half, a small SS2D on the other."""

    def __init__(
        self, width: int, states: int, directions: int, expand: int, branches: int, drop_path: float
    ) -> None:
        super().__init__()
        half = width // 2
        self.norm = nn.LayerNorm(half)
        self.scan = SS2D(half, d_state=states, expand=expand, directions=directions)
        self.drop_path = DropPath(drop_path)
        self.convolutions = nn.Sequential(
            BranchedConvolution(half, 3, half, branches),
            nn.ReLU(),
            BranchedConvolution(half, 1, 1, branches),
            nn.ReLU(),
            BranchedConvolution(half, 3, half, branches),
            nn.ReLU(),
            BranchedConvolution(half, 1, 1, branches),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H, W, C]``."""
        first, second = x.chunk(2, dim=-1)
        scanned = self.drop_path(self.scan(self.norm(second)))
        convolved = self.convolutions(first.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + interleave(convolved, scanned)


class MedMambaLite(StagedClassifier):
    """Image ``[N, C_in, H, W]`` -> logits ``[N, K]``; H and W at least 32, what 32 does not divide is cropped."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: int,
        depths: Sequence[int],
        states: int,
        directions: int,
        expand: int,
        branches: int,
        drop_path: float,
    ) -> None:
        """
        Args:
            num_classes: K.
            in_channels: C_in.
            width: of the first stage, even; each following stage doubles it.
            depths: blocks of each of the four stages.
            states: of each channel of a scan.
            directions: of each scan, 1, 2 or 4.
            expand: channels of a scan, in units of half the block's width.
            branches: convolutions of each branched convolution in training; see ``BranchedConvolution``.
            drop_path: rate of the last block's; see ``patches.drop_rates``. A small student needs none.

        Raises:
            ValueError: an argument is outside its range.
        """
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width is {width}; it must be even, since a block halves the channels")
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"depths is {list(depths)}; it needs four numbers of at least 1")
        for name, value in (("states", states), ("expand", expand), ("branches", branches)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        self.in_channels = in_channels
        self.patch_embed = PatchEmbedding(in_channels, width)
        rates = iter(drop_rates(drop_path, sum(depths)))
        self.layers = nn.ModuleList()
        for index, depth in enumerate(depths):
            wide = width * 2**index
            blocks = [LiteBlock(wide, states, directions, expand, branches, next(rates)) for _ in range(depth)]
            self.layers.append(Stage(blocks, wide, merge=index < 3))
        self.head = nn.Linear(8 * width, num_classes)
        self.apply(initialize)


def medmamba_lite(
    num_classes: int,
    in_channels: int,
    width: int = 64,
    depths: Sequence[int] = (2, 2, 4, 2),
    states: int = 4,
    directions: int = 2,
    expand: int = 1,
    branches: int = 2,
    drop_path: float = 0.0,
) -> nn.Module:
    """MedMamba-Lite; its arguments are explained at ``MedMambaLite``."""
    return MedMambaLite(num_classes, in_channels, width, depths, states, directions, expand, branches, drop_path)
