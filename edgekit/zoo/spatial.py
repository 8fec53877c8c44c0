"""Layers over 2 or 3 spatial axes, those over volumes in forms that every runtime takes.

LiteRT has no depthwise 3-D convolution and runs a dense one without XNNPACK; Core ML's converter has no trilinear
upsampling, and the six axes that a group normalization of volumes is taken apart to are one too many for it. All of
these are separable into, or the same as, operators over planes ``[N, C, H, W]``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Dimensions = Literal[2, 3]


class Conv3d(nn.Conv3d):
    """A convolution of stride 1 that keeps the size: ``[N, C, D, H, W]`` -> ``[N, C', D, H, W]``, odd cubic kernel.

    In an exported program it is a sum of 2-D convolutions, one for each of the kernel's planes k:

        y = sum_k conv2d(x shifted by k planes, w[:, :, k])

    with the planes laid under one another in one high image, rows of zeros between them, so that a shift by a plane
    is a cut of that image. Channels stay an axis of their own, and a depthwise convolution stays depthwise.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, D, H, W]`` -> ``[N, C', D, H, W]``."""
        if not torch.compiler.is_exporting():
            return super().forward(x)
        batch, channels, depth, height, width = x.shape
        edge = self.kernel_size[0] // 2
        framed = F.pad(x, (0, 0, edge, edge, edge, edge)) if edge else x
        rows = height + 2 * edge
        image = framed.reshape(batch, channels, -1, width)
        out = self._plane(image, 0, depth * rows, self.bias)
        for k in range(1, self.kernel_size[0]):
            out = out + self._plane(image, k, depth * rows, None, k * rows)
        out = out.reshape(batch, -1, depth, rows, width)
        return out[:, :, :, edge:-edge] if edge else out

    def _plane(self, image: Tensor, k: int, rows: int, bias: Tensor | None, first: int = 0) -> Tensor:
        cut = image[:, :, first : first + rows] if rows < image.shape[2] else image
        return F.conv2d(cut, self.weight[:, :, k], bias, padding=self.kernel_size[0] // 2, groups=self.groups)


class GroupNorm(nn.GroupNorm):
    """Group normalization of volumes ``[N, C, D, H, W]``, their three axes as one."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, D, H, W]`` -> the same shape."""
        return super().forward(x.flatten(2)).reshape(x.shape)


class HalveVolume(nn.Module):
    """Max-pooling by 2 of volumes, in the planes and then over depth; an odd last plane or row is dropped."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, D, H, W]`` -> ``[N, C, D // 2, H // 2, W // 2]``."""
        batch, channels, depth, height, width = x.shape
        halves = F.max_pool2d(x.reshape(batch, channels * depth, height, width), (2, 2), (2, 2))
        size = halves.shape[2:]
        out = F.max_pool2d(halves.reshape(batch, channels, depth, -1), (2, 1), (2, 1))
        return out.reshape(batch, channels, depth // 2, *size)


class DoubleVolume(nn.Module):
    """Trilinear upsampling by 2, corners not aligned: linear over depth and then bilinear in the planes."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, D, H, W]`` -> ``[N, C, 2D, 2H, 2W]``."""
        batch, channels, depth, height, width = x.shape
        x = F.interpolate(x.reshape(batch, channels, depth, -1), scale_factor=(2.0, 1.0), mode="bilinear")
        planes = x.reshape(batch, channels * 2 * depth, height, width)
        planes = F.interpolate(planes, scale_factor=(2.0, 2.0), mode="bilinear")
        return planes.reshape(batch, channels, 2 * depth, 2 * height, 2 * width)


def convolution(
    dimensions: Dimensions, in_channels: int, out_channels: int, kernel: int, groups: int = 1, bias: bool = False
) -> nn.Conv2d | nn.Conv3d:
    """A convolution of stride 1 that keeps the size of images or volumes."""
    if dimensions == 3:
        return Conv3d(in_channels, out_channels, kernel, groups, bias)
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias)


def group_norm(dimensions: Dimensions, groups: int, channels: int) -> nn.GroupNorm:
    """Group normalization of images or volumes.

    Raises:
        ValueError: the groups do not divide the channels.
    """
    return GroupNorm(groups, channels) if dimensions == 3 else nn.GroupNorm(groups, channels)


def halve(dimensions: Dimensions) -> nn.Module:
    """Max-pooling by 2."""
    return HalveVolume() if dimensions == 3 else nn.MaxPool2d(2, 2)


def double(dimensions: Dimensions) -> nn.Module:
    """Bilinear or trilinear upsampling by 2, corners not aligned."""
    return DoubleVolume() if dimensions == 3 else nn.Upsample(scale_factor=2, mode="bilinear")


def check_input(x: Tensor, dimensions: Dimensions, channels: int, step: int) -> None:
    """Refuse what a U-shaped network cannot halve and double back.

    Args:
        x: the network's input.
        dimensions: of the images that the network takes.
        channels: that it takes.
        step: what every side must be a multiple of.

    Raises:
        ValueError: 2-D data for a 3-D network or the reverse, other channels, a side that ``step`` does not divide.
    """
    wanted = "[N, C, D, H, W]" if dimensions == 3 else "[N, C, H, W]"
    if x.ndim != dimensions + 2:
        kind = {4: "2-D images", 5: "3-D volumes"}.get(x.ndim, f"{x.ndim} axes")
        raise ValueError(f"a {dimensions}-D network takes {wanted}, and this input {list(x.shape)} has {kind}")
    if x.shape[1] != channels:
        raise ValueError(
            f"the network was built for {channels} channels; this input {list(x.shape)} has {x.shape[1]}"
        )
    size = tuple(x.shape[2:])
    if any(side % step or side == 0 for side in size):
        fitting = "x".join(str(max(step, -(-side // step) * step)) for side in size)
        raise ValueError(
            f"the input is {'x'.join(map(str, size))}; every side must be a multiple of {step}, "
            f"the next such size is {fitting}"
        )
