"""Training that gives the same weights again: for the same seed, the same threads and the same device."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def deterministic(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """Fixed random numbers, deterministic kernels and ``threads`` threads; all put back afterwards.

    An operator without a deterministic kernel still runs: on the CPU hardly any lacks one, on a GPU a few do.
    """
    import torch
    from torch.utils import deterministic as memory

    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = memory
    filled = settings.fill_uninitialized_memory
    cuda = [device] if device.type == "cuda" else []
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    with torch.random.fork_rng(devices=cuda), warnings.catch_warnings():
        torch.manual_seed(seed)
        torch.set_num_threads(max(threads, 1))
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = False
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1], warn_only=warned)
            settings.fill_uninitialized_memory = filled
