"""The selective scan as a layer without parameters, which networks call."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.zoo.state_space.chunked import chunked_scan, one_way, summed
from edgekit.zoo.state_space.operator import EagerScan, native_scan, selective_scan

_kept: ContextVar[Literal["", "whole", "native"]] = ContextVar("kept", default="")


@contextmanager
def kept_whole(native: bool = False) -> Iterator[None]:
    """Within it, ``torch.export`` makes one node ``edgekit::selective_scan`` of each scan, for ``write_out``.

    So nothing inside a scan is quantized, its insides are not searched for ranges, and training a quantized network
    has its backward. Without it the exported program has standard operators, which any converter takes.

    Args:
        native: make it ``edgekit::native_scan`` instead, which does more, for a runtime that has it.
    """
    token = _kept.set("native" if native else "whole")
    try:
        yield
    finally:
        _kept.reset(token)


class SelectiveScan(nn.Module):
    """y = scan of u; see ``selective_scan_reference`` for the recurrence. float32 in all cases.

    ``y = scan(u, scan.steps(raw), A, B, C, skip)``.
    """

    @property
    def native(self) -> bool:
        """Whether it is being exported for a runtime with edgekit's native operator, which does more."""
        return torch.compiler.is_exporting() and _kept.get() == "native"

    def steps(self, raw: Tensor) -> Tensor:
        """dt of what a network computes for it: softplus, where the operator does not do that itself."""
        return raw if self.native else F.softplus(raw)

    def forward(
        self,
        u: Tensor,
        dt: Tensor,
        A: Tensor,  # noqa: N803  (the symbols of the papers)
        B: Tensor,  # noqa: N803
        C: Tensor,  # noqa: N803
        skip: Tensor,
    ) -> Tensor:
        """One way, or there and back.

        Args:
            u: ``[N, P, L, D]``.
            dt: ``[N, G, L, D]``, from ``steps``. G is P; or 2 P, and the last P groups read u from its end.
            A: ``[G, D, S]``.
            B, C: ``[N, G, L, S]``.
            skip: ``[G, D]``.

        Returns:
            y ``[N, P, L, D]`` in float32, the sum of both ways.
        """
        u, dt, A, B, C, skip = (one.float() for one in (u, dt, A, B, C, skip))  # noqa: N806
        if self.native:
            ways, back = u.shape[1], dt.shape[1] - u.shape[1]
            y: Tensor = native_scan(torch.cat((u, u), 1) if back else u, dt, A, B, C, skip, back, True)
            return y[:, :ways] + y[:, ways:] if back else y
        if torch.compiler.is_exporting():
            return (selective_scan if _kept.get() else chunked_scan)(u, dt, A, B, C, skip)
        # In half precision the error of a sum over thousands of steps would show.
        with torch.autocast(u.device.type, enabled=False):
            eager = (_fused() if u.is_cuda else None) or EagerScan.apply
            return eager(u, dt, A, B, C, skip)


@functools.cache
def _fused() -> Callable[..., Tensor] | None:
    """The scan by the CUDA kernel of the package mamba-ssm, where it is installed and can be loaded."""
    try:
        kernel = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except (ImportError, OSError, AttributeError):
        return None

    def scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:  # noqa: N803
        ways = u.shape[1]
        u, dt, B, C = one_way(u, dt, B, C)  # noqa: N806
        # The kernel has the steps innermost, and the channels of all groups on one axis.
        batch, groups, length, channels = u.shape
        rows = (batch, groups * channels, length)
        y: Tensor = kernel(
            u.transpose(2, 3).reshape(rows),
            dt.transpose(2, 3).reshape(rows),
            A.flatten(0, 1),
            B.transpose(2, 3).contiguous(),
            C.transpose(2, 3).contiguous(),
            skip.flatten(),
        )
        return summed(y.view(batch, groups, channels, length).transpose(2, 3), ways)

    return scan
