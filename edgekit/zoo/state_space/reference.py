"""The selective scan as its equation says it, one step after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803  (the symbols of the papers)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    skip: Tensor,
) -> Tensor:
    """h_l = exp(dt_l A) h_(l-1) + dt_l u_l B_l from h_0 = 0, y_l = C_l . h_l + skip u_l; in any dtype.

    B is discretized by Euler's rule and A by the zero-order hold, as all published code does. (Mamba's equation 4
    and MedMamba's equation 2 write the zero-order hold for both.)

    Args:
        u, dt: ``[N, G, L, D]``: inputs and step sizes > 0 of N images, G groups (directions), L steps, D channels.
        A: ``[G, D, S]``, negative: the decay rate of each of S states of a channel.
        B, C: ``[N, G, L, S]``, shared by the channels of a group.
        skip: ``[G, D]``.

    Returns:
        y ``[N, G, L, D]``.
    """
    x = dt * u
    state = torch.zeros_like(A).expand(len(u), *A.shape)
    rows = []
    for step in range(u.shape[2]):
        state = torch.exp(dt[:, :, step, :, None] * A) * state + x[:, :, step, :, None] * B[:, :, step, None, :]
        rows.append((state * C[:, :, step, None, :]).sum(-1))
    return torch.stack(rows, 2) + skip[:, None, :] * u
