"""MedNeXt of Xue et al. 2026: a classifier of convolutions and MLPs in the shape of a transformer.

Xue et al., "MedNeXt for accurate medical image classification and segmentation: A lightweight transformer-style
convolutional neural network", PLoS One 21(1), 2026. Not the MedNeXt of Roy et al. 2023. No code is public.

    MED block:  x1 = x + LAFFN(LN(x));  x2 = x1 + SEM(LN(x1));  x2 + SDFFN(LN(x2))    (equations 1 to 3)
    LAFFN(x):   (softmax over channels (x M_q) * softmax over pixels (x M_k)) M_v (8 to 10)
    SEM(x):     (A * x W_k) W_v, f = x W_q, A = [Z0(f), Z1(f), Z2(f)] W_a           (11 to 14)
                Z0, Z1: depthwise 1xk then kx1, k = 3 and 7;
                Z2: [linear along each row, linear along each column] W_f
    SDFFN(x):   W_2 GELU(depthwise 3x3 (W_1 x)), no wider inside
    network:    stem of three 3x3 convolutions 32, 32, 64, the first of stride 2, and max-pooling;
                stages of 2, 2, 2, 2 MED blocks, 64, 128, 256, 512 wide, 3x3 convolutions of stride 2 between them;
                LayerNorm, mean over pixels, linear

The rows and columns of Z2 fix the size of the input. 10,727,542 parameters and 1.948 GMAC (3x224x224, 2 classes);
the paper prints 10.72 M and 1.90 G, and without Z2's row and column products, 0.060 G, it would be 1.889 G.

All of the sizes are interpretation. The paper's ablation table adds up, which gives the matrices of each module as
multiples of C^2 and, of 75,054 networks tried, this C and these depths alone. The text names three matrices of SEM
(W_k, W_q, W_v) where the table needs eight: here W_f takes two and W_a, on the three branches side by side, three.
Equation 12 writes their sum instead, which gives 9.35 M. The paper leaves open: biases (here on convolutions and
the last layer, not on matrices), SDFFN's activation, the normalization behind downsampling (here BatchNorm), the
last LayerNorm, and the order in the stem (here convolution, BatchNorm, ReLU, as in its MedUNeXt).

LAFFN's product of two softmaxes is about 1/(C H W), 5e-6 in the first stage: below what FP16 resolves well and INT8
scales by default, while the residual carries the signal. Compare an artifact in such precision with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_STEM = 32
_SIDE_STEP = 32


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of ``[N, C, H, W]``."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LinearAttentionFFN(nn.Module):
    """LAFFN: ``[N, C, H, W]`` -> the same shape, 3 C^2 weights."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, width, 1, bias=bias) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        over_channels = self.query(x).softmax(1)
        over_pixels = self.key(x).flatten(2).softmax(2).reshape(x.shape)
        out: Tensor = self.value(over_channels * over_pixels)
        return out


class RowsAndColumns(nn.Module):
    """Z2, in which pixels see their row and column: ``[N, C, H, W]`` -> the same, 2 C^2 + H^2 + W^2 weights."""

    def __init__(self, width: int, size: tuple[int, int], bias: bool) -> None:
        super().__init__()
        self.row = nn.Linear(size[1], size[1], bias=bias)
        self.column = nn.Linear(size[0], size[0], bias=bias)
        self.fuse = nn.Conv2d(2 * width, width, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        columns = self.column(x.transpose(2, 3)).transpose(2, 3)
        out: Tensor = self.fuse(torch.cat((self.row(x), columns), 1))
        return out


class SpatialEncoding(nn.Module):
    """SEM: ``[N, C, H, W]`` -> the same shape, 8 C^2 + 20 C + H^2 + W^2 weights."""

    def __init__(self, width: int, size: tuple[int, int], bias: bool) -> None:
        super().__init__()
        self.key, self.query, self.value = (nn.Conv2d(width, width, 1, bias=bias) for _ in range(3))
        self.near, self.far = (
            nn.Sequential(
                nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), groups=width),
                nn.Conv2d(width, width, (kernel, 1), padding=(kernel // 2, 0), groups=width),
            )
            for kernel in (3, 7)
        )
        self.all = RowsAndColumns(width, size, bias)
        self.aggregate = nn.Conv2d(3 * width, width, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        query = self.query(x)
        attention = self.aggregate(torch.cat((self.near(query), self.far(query), self.all(query)), 1))
        out: Tensor = self.value(attention * self.key(x))
        return out


class SmoothFFN(nn.Sequential):
    """SDFFN: ``[N, C, H, W]`` -> the same shape, 2 C^2 + 9 C weights."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__(
            nn.Conv2d(width, width, 1, bias=bias),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.GELU(),
            nn.Conv2d(width, width, 1, bias=bias),
        )


class MedBlock(nn.Module):
    """The MED block: ``[N, C, H, W]`` -> the same shape."""

    def __init__(self, width: int, size: tuple[int, int], bias: bool = False) -> None:
        """
        Args:
            width: C.
            size: (H, W), which Z2 fixes.
            bias: of the matrices; those of the depthwise convolutions are always there.
        """
        super().__init__()
        self.enhance_norm, self.encode_norm, self.mix_norm = (ChannelNorm(width) for _ in range(3))
        self.enhance = LinearAttentionFFN(width, bias)
        self.encode = SpatialEncoding(width, size, bias)
        self.mix = SmoothFFN(width, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Equations 1 to 3."""
        x = x + self.enhance(self.enhance_norm(x))
        x = x + self.encode(self.encode_norm(x))
        out: Tensor = x + self.mix(self.mix_norm(x))
        return out


class MedNeXt(nn.Module):
    """``[N, C_in, H, W]`` of one size -> logits ``[N, K]``."""

    def __init__(
        self, num_classes: int, in_channels: int, img_size: int | Sequence[int], width: int, depths: Sequence[int]
    ) -> None:
        """
        Args:
            num_classes: K.
            in_channels: C_in.
            img_size: the side of square images, or (H, W).
            width: C of the first stage; it doubles at each.
            depths: MED blocks of the four stages.

        Raises:
            ValueError: a side that 32 does not divide, or other than four stages.
        """
        super().__init__()
        if len(depths) != 4:
            raise ValueError(f"depths is {list(depths)}; give the MED blocks of each of the four stages")
        self.in_channels, self.size = in_channels, image_size(img_size, _SIDE_STEP)
        widths = [width * 2**stage for stage in range(4)]
        self.stem = nn.Sequential(
            convolution_block(in_channels, _STEM, stride=2),
            convolution_block(_STEM, _STEM),
            convolution_block(_STEM, width),
            nn.MaxPool2d(2, 2),
        )
        self.stages = nn.ModuleList()
        for stage, (one, depth) in enumerate(zip(widths, depths, strict=True)):
            height, breadth = (side // 2 ** (stage + 2) for side in self.size)
            self.stages.append(nn.Sequential(*(MedBlock(one, (height, breadth)) for _ in range(depth))))
        self.downsample = nn.ModuleList(downsampling(one, two) for one, two in pairwise(widths))
        self.norm = ChannelNorm(widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)

    def get_classifier(self) -> nn.Linear:
        """The layer that gives the logits."""
        return self.head

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[N, K]``.

        Raises:
            ValueError: another size or number of channels than the network was built for.
        """
        if not torch.compiler.is_exporting():
            check_image(image, self.in_channels, self.size)
        x = self.stages[0](self.stem(image))
        for shrink, stage in zip(self.downsample, list(self.stages)[1:], strict=True):
            x = stage(shrink(x))
        logits: Tensor = self.head(self.norm(x).mean((2, 3)))
        return logits


def mednext_2026(
    num_classes: int,
    in_channels: int,
    img_size: int | Sequence[int] = 224,
    width: int = 64,
    depths: Sequence[int] = (2, 2, 2, 2),
) -> nn.Module:
    """MedNeXt for images ``[N, C, H, W]`` of ``img_size``."""
    return MedNeXt(num_classes, in_channels, img_size, width, depths)


def convolution_block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def downsampling(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution of stride 2, BatchNorm."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels))


def image_size(given: int | Sequence[int], step: int) -> tuple[int, int]:
    """(H, W) of an argument ``img_size``.

    Raises:
        ValueError: neither one side nor two, or a side that ``step`` does not divide.
    """
    sides = (given, given) if isinstance(given, int) else tuple(given)
    if len(sides) != 2 or any(side < 1 or side % step for side in sides):
        raise ValueError(f"img_size is {given}; give the side of the image, or [H, W], in multiples of {step}")
    return sides[0], sides[1]


def check_image(image: Tensor, channels: int, size: tuple[int, int]) -> None:
    """Refuse an image that the rows and columns of Z2 do not fit.

    Raises:
        ValueError: naming the shape and the argument to change.
    """
    wanted = (channels, *size)
    if tuple(image.shape[1:]) != wanted:
        raise ValueError(
            f"the input is {list(image.shape)}, and this network takes [N, {', '.join(map(str, wanted))}] only: it "
            "holds a weight for each pair of pixels in a row and in a column; build it with img_size: [H, W]"
        )
