"""The states of selective scans: which matter, and a network without the others.

State n of a direction belongs to all channels of it: row n of the projections that give B and C, and column n of A.
y is the sum over the states of C_n h_n, so that a state without its share is a term less in that sum.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn


def layers(network: nn.Module) -> dict[str, int]:
    """The layers with a scan that states can be taken from, by name, and how many states each has."""
    from edgekit.zoo.mamba import Mamba
    from edgekit.zoo.ss2d import SS2D

    return {name: one.splits[1] for name, one in network.named_modules() if isinstance(one, (Mamba, SS2D))}


def energy(network: nn.Module, inputs: NDArray[np.float32], batch: int) -> dict[str, NDArray[np.float64]]:
    """How much each state adds to the output of its scan: the mean of (C_n h_n)^2 over images, steps and channels.

    Args:
        network: in eval mode.
        inputs: ``float32[n, C, *spatial]``.
        batch: how many are computed at a time.

    Returns:
        ``[directions, states]`` for each of ``layers``.
    """
    import torch

    from edgekit.zoo.state_space import one_way

    found: dict[str, Tensor] = {}

    def watch(name: str, scan: nn.Module, given: tuple[Tensor, ...]) -> None:
        u, dt, rates, b, c, skip = given
        u, dt, b, c = one_way(u, dt, b, c)
        rows = []
        for state in range(rates.shape[-1]):
            one = slice(state, state + 1)
            # ``forward`` itself: calling the module would come back here.
            part = scan.forward(u, dt, rates[..., one], b[..., one], c[..., one], torch.zeros_like(skip))
            rows.append(part.double().square().mean((0, 2, 3)) * len(u))
        found[name] = found.get(name, torch.zeros(())) + torch.stack(rows, 1)

    hooks = []
    for name in layers(network):
        scan = network.get_submodule(f"{name}.scan")
        hooks.append(scan.register_forward_pre_hook(lambda m, args, name=name: watch(name, m, args)))
    try:
        with torch.no_grad():
            for start in range(0, len(inputs), batch):
                network(torch.from_numpy(np.ascontiguousarray(inputs[start : start + batch])))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / len(inputs)).numpy() for name, total in found.items()}


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The ``count`` states of each direction with the highest scores ``[directions, states]``, in their order."""
    kept: NDArray[np.int64] = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :count], axis=1)
    return kept


def without(network: nn.Module, kept: Mapping[str, NDArray[np.int64]]) -> nn.Module:
    """A copy of ``network`` in which the scans of ``kept`` have only the states ``[directions, count]``."""
    made = copy.deepcopy(network)
    for name, states in kept.items():
        _keep(made.get_submodule(name), states)
    return made


def _keep(layer: Any, kept: NDArray[np.int64]) -> None:
    import torch
    from torch import nn

    from edgekit.zoo.mamba import Mamba

    rank, states, _ = layer.splits
    count = kept.shape[1]
    rows = [torch.from_numpy(np.r_[np.arange(rank), rank + one, rank + states + one]) for one in kept]
    columns = [torch.from_numpy(one) for one in kept]
    with torch.no_grad():
        if isinstance(layer, Mamba):
            layer.x_proj.weight = nn.Parameter(layer.x_proj.weight[rows[0]].clone())
            layer.x_proj.out_features = rank + 2 * count
            layer.A_log = nn.Parameter(layer.A_log[:, columns[0]].clone())
        else:
            projections = [layer.x_proj_weight[k, one] for k, one in enumerate(rows)]
            layer.x_proj_weight = nn.Parameter(torch.stack(projections))
            parts = layer.A_logs.view(len(rows), -1, states)
            layer.A_logs = nn.Parameter(torch.cat([parts[k][:, one] for k, one in enumerate(columns)]))
    layer.splits = (rank, count, count)
