from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.model import Model
from edgekit.pruning.groups import Group, Member, find
from edgekit.pruning.importance import Importance, Scorer
from tests.pruning import nets


def inner(model: Model) -> Group:
    groups, _ = find(model.network, nets.SIZE, frozenset({"head"}))
    return next(group for group in groups if group.name == "middle.one.0")


@pytest.mark.parametrize("kind", ["l1", "l2", "bn_scale"])
def test_small_channels_matter_least(kind: Importance) -> None:
    model = nets.model(nets.Residual())
    with torch.no_grad():
        for name in ("0.weight", "1.weight"):
            model.network.get_parameter(f"middle.one.{name}")[5] *= 0.01
    scores = Scorer(kind, model.network).units(inner(model))
    assert scores is not None
    assert scores.shape == (24,)
    assert int(scores.argmin()) == 5


def test_norms_by_hand() -> None:
    layer = nn.Conv2d(2, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0], [0.0, 1.0], [2.0, 2.0]])[..., None, None])
    network = nn.Sequential(layer)
    out, into = Member("0", "out", 0, ()), Member("0", "in", 0, ())
    assert Scorer("l1", network).channels(out).tolist() == [7.0, 1.0, 4.0]  # type: ignore[union-attr]
    assert Scorer("l2", network).channels(out).tolist() == pytest.approx([5.0, 1.0, 8**0.5])  # type: ignore[union-attr]
    assert Scorer("l1", network).channels(into).tolist() == [5.0, 7.0]  # type: ignore[union-attr]


def test_inputs_of_a_grouped_convolution() -> None:
    layer = nn.Conv2d(4, 4, 1, groups=2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0]])[..., None, None])
    scores = Scorer("l1", nn.Sequential(layer)).channels(Member("0", "in", 0, ()))
    assert scores is not None
    # Local input 0 of both groups goes together, so both hold the sum over the two.
    assert scores.tolist() == [8.0, 12.0, 8.0, 12.0]


def test_random_follows_its_seed() -> None:
    model = nets.model(nets.Residual())
    group = inner(model)
    one, two, other = (Scorer("random", model.network, seed=seed).units(group) for seed in (1, 1, 2))
    assert one is not None
    assert two is not None
    assert other is not None
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
