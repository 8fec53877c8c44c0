from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edgekit.data.prepared import Prepared
from edgekit.passes import Context, Finetune
from edgekit.training.cross_validation import CrossValidation, over_folds
from tests.networks import small_model


def test_interval_of_the_lung_ct_paper() -> None:
    # Five folds with the mean and standard deviation of its Table 2.
    values = 0.8962 + 0.0138 * np.array([-1.0, -1.0, 0.0, 1.0, 1.0])
    found = over_folds(list(values))
    assert (found["mean"], found["std"]) == pytest.approx((0.8962, 0.0138))
    assert found["interval"] == pytest.approx([0.8790, 0.9133], abs=1e-4)


def test_over_folds() -> None:
    found = over_folds([0.8, 0.9, 1.0])
    assert found["mean"] == pytest.approx(0.9)
    assert found["std"] == pytest.approx(0.1)
    assert found["interval"] == pytest.approx(
        [0.9 - 4.30265 * 0.1 / 3**0.5, 0.9 + 4.30265 * 0.1 / 3**0.5], abs=1e-5
    )
    assert found["n"] == 3


def test_seeds_are_averaged_within_a_fold(prepared: Prepared) -> None:
    model, told = small_model(), list[float]()
    plan = CrossValidation(folds=2, seeds=(0, 1))
    config = Finetune(epochs=2, batch_size=4, learning_rate=3e-3, cross_validation=plan)
    before = [one.clone() for one in model.network.state_dict().values()]
    outcome = config.apply(model, Context(prepared, lambda fraction, text: told.append(fraction)))
    plain = Finetune(epochs=2, batch_size=4, learning_rate=3e-3).apply(model, Context(prepared))
    found = outcome.changes["cross_validation"]
    assert json.loads(json.dumps(found)) == found
    assert [(run["fold"], run["seed"]) for run in found["runs"]] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert (found["images"], found["groups"]) == (40, 40)
    assert sum(run["images"]["held_out"] for run in found["runs"]) == 2 * 40
    of_folds = [np.mean([run["figures"]["nll"] for run in found["runs"] if run["fold"] == k]) for k in (1, 2)]
    assert found["figures"]["nll"] == over_folds([float(one) for one in of_folds])
    assert set(found["figures"]) == {
        *("accuracy", "balanced_accuracy", "auc", "nll", "ece"),
        *(f"sensitivity/{one}" for one in "abcde"),
    }
    assert found["runs"][0]["figures"] != found["runs"][1]["figures"], "the seeds trained the same model"
    assert told == sorted(told)
    assert told[-1] == 1.0
    pairs = zip(outcome.model.network.state_dict().values(), plain.model.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs), "the model that goes on is the one of the recipe's own split"
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "greater than or equal to 2"),
        ({"seeds": ()}, "at least 1"),
        ({"seeds": (1, 1)}, "each seed once"),
        ({"seeds": (-1,)}, "whole number from 0"),
    ],
)
def test_senseless_plans(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CrossValidation.model_validate(values)
