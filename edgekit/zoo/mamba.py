"""Mamba: a gated block around one selective scan over a sequence.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023. As in the paper's code, B is
discretized by Euler's rule (dt B) and not by the zero-order hold that its equation 4 writes; A by zero-order hold.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.zoo.state_space import SelectiveScan


class Mamba(nn.Module):
    """Tokens ``[N, L, C]`` -> ``[N, L, C]``, with the names of the official weights.

    x, z = W_in u; x = SiLU(causal depthwise convolution of x); dt, B, C = W_x x; y = scan(x) * SiLU(z); W_out y.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        """
        Args:
            d_model: C.
            d_state: S, states of each channel of the scan.
            d_conv: taps of the convolution.
            expand: channels of the scan D, in units of C.
        """
        super().__init__()
        inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.splits = (rank, d_state, d_state)
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner)
        self.x_proj = nn.Linear(inner, sum(self.splits), bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(initial_rates(inner, d_state))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.scan = SelectiveScan()
        with torch.no_grad():
            self.dt_proj.weight.uniform_(-(rank**-0.5), rank**-0.5)
            self.dt_proj.bias.copy_(initial_steps(inner))

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters whose size means something: a decay rate and a skip gain."""
        return {"A_log", "D"}

    def forward(self, tokens: Tensor) -> Tensor:
        """``[N, L, C]`` -> ``[N, L, C]``."""
        x, z = self.in_proj(tokens).chunk(2, dim=-1)
        x = F.pad(x.transpose(1, 2), (self.conv1d.kernel_size[0] - 1, 0))
        x = F.silu(self.conv1d(x)).transpose(1, 2)
        low_rank, b, c = torch.split(self.x_proj(x), list(self.splits), dim=-1)
        dt = self.scan.steps(self.dt_proj(low_rank))
        a = -torch.exp(self.A_log)
        y = self.scan(x[:, None], dt[:, None], a[None], b[:, None], c[:, None], self.D[None])[:, 0]
        out: Tensor = self.out_proj(y * F.silu(z))
        return out


def initial_rates(rows: int, states: int) -> Tensor:
    """A_log ``[rows, states]``: A = -1, -2, ..., -S on every channel (S4D-Real; Gu et al. 2022)."""
    return torch.arange(1, states + 1, dtype=torch.float32).log().repeat(rows, 1)


def initial_steps(count: int) -> Tensor:
    """Biases ``[count]`` whose softplus is log-uniform in 0.001 to 0.1."""
    steps = torch.exp(torch.empty(count).uniform_(math.log(0.001), math.log(0.1))).clamp(min=1e-4)
    return steps + torch.log(-torch.expm1(-steps))
