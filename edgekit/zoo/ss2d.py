"""SS2D: the selective scan over an image along four directions.

Liu et al., "VMamba: Visual State Space Model", 2024, the first form of its code, which MedMamba (Yue and Li 2024)
and VM-UNet (Ruan and Xiang 2024) use.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.zoo.mamba import initial_rates, initial_steps
from edgekit.zoo.state_space import SelectiveScan


class SS2D(nn.Module):
    """Image ``[N, H, W, C]`` -> ``[N, H, W, C]``, with the names of the official weights.

    x, z = W_in u; x = SiLU(depthwise convolution of x); y = LayerNorm(sum over directions of scan(x)) * SiLU(z);
    W_out y. Direction 0 reads row by row, 1 column by column, 2 and 3 are 0 and 1 backwards; each has weights of
    its own.
    """

    def __init__(
        self, d_model: int, d_state: int = 16, d_conv: int = 3, expand: int = 2, directions: int = 4
    ) -> None:
        """
        Args:
            d_model: C.
            d_state: S, states of each channel of the scan.
            d_conv: side of the convolution's kernel, odd.
            expand: channels of the scan D, in units of C.
            directions: K of 1, 2 or 4: the first K.
        """
        super().__init__()
        if directions not in (1, 2, 4):
            raise ValueError(f"directions is {directions}; an image is read along 1, 2 or 4")
        inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.directions, self.splits = directions, (rank, d_state, d_state)
        self.x_proj_weight = nn.Parameter(torch.empty(directions, sum(self.splits), inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(directions, inner, rank))
        self.dt_projs_bias = nn.Parameter(initial_steps(directions * inner).view(directions, inner))
        self.A_logs = nn.Parameter(initial_rates(directions * inner, d_state))
        self.Ds = nn.Parameter(torch.ones(directions * inner))
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, d_conv, padding=d_conv // 2, groups=inner)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.scan = SelectiveScan()
        nn.init.uniform_(self.x_proj_weight, -(inner**-0.5), inner**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters whose size means something: decay rates, skip gains and step sizes."""
        return {"A_logs", "Ds", "dt_projs_bias"}

    def forward(self, image: Tensor) -> Tensor:
        """``[N, H, W, C]`` -> ``[N, H, W, C]``."""
        height, width = image.shape[1:3]
        x, z = self.in_proj(image).chunk(2, dim=-1)
        x = F.silu(self.conv2d(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        # One layer for all directions, before the image is put in order for each: it works on pixels alone, and as
        # a linear layer with a weight of its own it is quantized like the others.
        projected = F.linear(x, self.x_proj_weight.flatten(0, 1)).chunk(self.directions, dim=-1)
        # Directions 2 and 3 go back over what 0 and 1 read, so their pixels are in the same order.
        paths = min(self.directions, 2)
        u = torch.stack([self._path(x, k) for k in range(paths)], 1)
        ordered = torch.stack([self._path(one, k) for k, one in enumerate(projected)], 1)
        low_rank, b, c = torch.split(ordered, list(self.splits), dim=-1)
        raw = low_rank @ self.dt_projs_weight.transpose(1, 2) + self.dt_projs_bias[:, None]
        inner, states = x.shape[-1], self.A_logs.shape[1]
        a = -torch.exp(self.A_logs).view(self.directions, inner, states)
        y = self.scan(u, self.scan.steps(raw), a, b, c, self.Ds.view(self.directions, inner))
        total = self._image(y[:, 0], 0, height, width)
        for k in range(1, paths):
            total = total + self._image(y[:, k], k, height, width)
        out: Tensor = self.out_proj(self.out_norm(total) * F.silu(z))
        return out

    @staticmethod
    def _path(image: Tensor, k: int) -> Tensor:
        """The pixels of ``[N, H, W, C]`` in the order of direction k, there or back: ``[N, H W, C]``."""
        return (image.transpose(1, 2) if k % 2 else image).flatten(1, 2)

    @staticmethod
    def _image(path: Tensor, k: int, height: int, width: int) -> Tensor:
        """The inverse of ``_path``."""
        if k % 2:
            return path.reshape(path.shape[0], width, height, path.shape[2]).transpose(1, 2)
        return path.reshape(path.shape[0], height, width, path.shape[2])
