from __future__ import annotations

import torch
from torch import nn

from edgekit.training.optimizers import optimizer
from edgekit.training.settings import Training
from edgekit.zoo.mamba import Mamba
from edgekit.zoo.ss2d import SS2D


class Positioned(nn.Module):
    """Says itself what it spares, as timm's networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 6))
        self.layer = nn.Linear(6, 6)

    def no_weight_decay(self) -> set[str]:
        return {"position", "not there"}


def test_scans_and_positions_have_no_weight_decay() -> None:
    network = nn.ModuleDict({"mamba": Mamba(8), "ss2d": SS2D(8), "positioned": Positioned()})
    groups = optimizer(Training(weight_decay=0.1), network).param_groups
    names = {id(one): name for name, one in network.named_parameters()}
    decays = {names[id(one)]: group["weight_decay"] > 0 for group in groups for one in group["params"]}
    assert set(decays) == set(names.values())
    for name in ("mamba.A_log", "mamba.D", "ss2d.A_logs", "ss2d.Ds", "positioned.position", "mamba.conv1d.bias"):
        assert not decays[name], name
    for name in ("mamba.in_proj.weight", "mamba.conv1d.weight", "ss2d.x_proj_weight", "positioned.layer.weight"):
        assert decays[name], name
