from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgekit.zoo.mamba import Mamba
from tests.zoo import golden


@pytest.mark.shared_data
def test_official_output() -> None:
    held = golden.arrays("mamba1d")
    with torch.no_grad():
        golden.assert_close(golden.loaded(Mamba(12), held)(held["x"]), held["y"])


def test_names_and_shapes_of_its_weights() -> None:
    shapes = {name: tuple(one.shape) for name, one in Mamba(40, d_state=8, d_conv=3).state_dict().items()}
    assert shapes == {
        "A_log": (80, 8),
        "D": (80,),
        "in_proj.weight": (160, 40),
        "conv1d.weight": (80, 1, 3),
        "conv1d.bias": (80,),
        "x_proj.weight": (3 + 16, 80),
        "dt_proj.weight": (80, 3),
        "dt_proj.bias": (80,),
        "out_proj.weight": (40, 80),
    }


def test_starts_with_the_published_rates_and_steps() -> None:
    torch.manual_seed(0)
    mamba = Mamba(64)
    torch.testing.assert_close(mamba.A_log.exp(), torch.arange(1.0, 17.0).expand(128, 16))
    assert bool((mamba.D == 1).all())
    steps = F.softplus(mamba.dt_proj.bias.detach())
    assert 0.001 * 0.999 <= float(steps.min()) < 0.01 < 0.05 < float(steps.max()) <= 0.1 * 1.001
    assert float(mamba.dt_proj.weight.detach().abs().max()) <= 4**-0.5
    assert mamba.no_weight_decay() <= {name for name, _ in mamba.named_parameters()}


def test_a_token_does_not_see_later_ones() -> None:
    torch.manual_seed(0)
    mamba, tokens = Mamba(8).eval(), torch.randn(1, 90, 8)
    changed = tokens.clone()
    changed[:, 70:] += 1
    with torch.no_grad():
        before, after = mamba(tokens), mamba(changed)
    torch.testing.assert_close(before[:, :70], after[:, :70])
    assert not torch.allclose(before[:, 70:], after[:, 70:])
