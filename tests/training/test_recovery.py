from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekit.data.prepared import Prepared
from edgekit.model import Model
from edgekit.passes import Context
from edgekit.training.recovery import Recovery, recover
from tests.networks import small_model


def narrowed() -> Model:
    """``small_model`` as pruning would leave it: the same names with fewer channels."""
    model = small_model()
    torch.manual_seed(1)
    model.network.stem = nn.Conv2d(3, 8, 3, 2, 1)
    model.network.wide = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
    model.network.narrow = nn.Conv2d(8, 8, 1)
    model.network.gated = nn.Conv2d(8, 24, 1)
    return model


def weights(model: Model) -> list[torch.Tensor]:
    return list(model.network.state_dict().values())


def run(prepared: Prepared, **values: Any) -> tuple[Model, dict[str, Any]]:
    model = narrowed()
    settings = Recovery.model_validate({"epochs": 2, "batch_size": 10, **values})
    changes = recover(model, small_model(), settings, Context(prepared), where="prune.recovery")
    return model, changes


def test_plain(prepared: Prepared) -> None:
    model, changes = run(prepared)
    assert "distillation" not in changes
    assert changes["epochs_run"] == 2
    assert not all(torch.equal(a, b) for a, b in zip(weights(model), weights(narrowed()), strict=True))


def test_weight_zero_is_plain_training_bit_for_bit(prepared: Prepared) -> None:
    plain, _ = run(prepared)
    distilled, changes = run(prepared, distillation={"weight": 0.0})
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(distilled), strict=True))
    assert "note" in changes["distillation"]


def test_layers_are_matched_by_size_after_pruning(prepared: Prepared) -> None:
    settings = {"features": "auto", "attention": [["narrow", "narrow"]]}
    model, changes = run(prepared, distillation=settings)
    assert changes["distillation"]["features"]["pairs"] == [["gated", "gated"]]
    assert changes["distillation"]["attention"]["pairs"] == [["narrow", "narrow"]]
    assert set(model.network.state_dict()) == set(small_model().network.state_dict()), "projections are dropped"
    again, _ = run(prepared, distillation=settings)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(again), strict=True))
    other, _ = run(prepared)
    assert not all(torch.equal(a, b) for a, b in zip(weights(model), weights(other), strict=True))


def test_masks_stay_where_they_are_put(prepared: Prepared) -> None:
    model, steps = narrowed(), 0

    def hold(network: nn.Module) -> None:
        nonlocal steps
        steps += 1
        with torch.no_grad():
            network.get_parameter("narrow.weight")[0] = 0

    after: Callable[[nn.Module], None] = hold
    settings = Recovery.model_validate({"epochs": 1, "batch_size": 10, "distillation": {}})
    recover(model, small_model(), settings, Context(prepared), where="prune.recovery", after_step=after)
    assert steps == 2
    assert not model.network.get_parameter("narrow.weight")[0].any()


def test_frozen_layers_learn_from_no_layers() -> None:
    with pytest.raises(ValidationError, match="'features' teaches layers that 'freeze: backbone' holds"):
        Recovery.model_validate({"freeze": "backbone", "distillation": {"features": "auto"}})
    Recovery.model_validate({"freeze": "backbone", "distillation": {}})
