from __future__ import annotations

import torch
from torch import nn

from edgekit.training.averaging import averaged


def test_average_follows_its_definition() -> None:
    """min(decay, (1 + t) / (10 + t)) of the average is kept at step t; statistics too, counters are copied."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = averaged(network, 0.3)
    expected: dict[str, torch.Tensor] = {}
    for t in range(8):
        network(torch.randn(16, 3) + t)
        with torch.no_grad():
            network.get_parameter("0.weight").add_(1.0)
        average.update_parameters(network)
        keep = 0.0 if t == 0 else min(0.3, (1 + t) / (10 + t))
        for name, now in network.state_dict().items():
            if now.is_floating_point():
                before = expected.get(name, torch.zeros_like(now))
                expected[name] = keep * before + (1 - keep) * now.clone()
            else:
                expected[name] = now.clone()
    for name, one in average.module.state_dict().items():
        torch.testing.assert_close(one, expected[name])
    assert not torch.equal(average.module.state_dict()["1.running_mean"], network.state_dict()["1.running_mean"])
