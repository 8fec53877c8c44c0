"""Segmentation: the same loop on masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekit.data.base import IGNORE, SplitName
from edgekit.data.prepared import Prepared
from edgekit.model import Model, logits
from edgekit.passes.base import Context, PassError
from edgekit.training import validation
from edgekit.training.contents import contents
from edgekit.training.folds import Pool, divide
from edgekit.training.loop import fit
from edgekit.training.loss import SupervisedLoss
from edgekit.training.pixel_figures import PixelFigures
from edgekit.training.sampling import Batches, class_weights
from edgekit.training.settings import Training

Dense = tuple[Prepared, Model]


def train(dense: Dense, **values: Any) -> tuple[Model, dict[str, Any]]:
    data, model = dense
    trained = model.copy()
    settings = Training(**({"epochs": 6, "batch_size": 4, "learning_rate": 0.02} | values))
    return trained, fit(trained, settings, Context(data), where="finetune")


def test_it_learns_and_keeps_the_epoch_of_the_best_dice(dense: Dense) -> None:
    data, model = dense
    trained, changes = train(dense, augment=("horizontal_flip", "vertical_flip", "quarter_turn"))
    dices = [one["validation_mean_dice"] for one in changes["history"]]
    assert changes["best"]["validation_mean_dice"] == max(dices)
    assert (changes["loss"], changes["monitor"]) == ("cross_entropy_dice", "mean_dice")
    assert set(changes["class_weights"].values()) == {1.0}
    found = {}
    for of, one in (("before", model), ("after", trained)):
        figures = PixelFigures(3)
        figures.add(torch.from_numpy(logits(one, data.inputs("val"))), torch.from_numpy(data.targets("val")))
        found[of] = figures
    assert found["after"].mean_dice == changes["best"]["validation_mean_dice"]
    assert found["after"].figures(data.classes)["accuracy"] == changes["best"]["validation_accuracy"]
    assert found["after"].mean_dice > found["before"].mean_dice + 0.2


def test_the_same_seed_gives_the_same_weights(dense: Dense) -> None:
    runs = [train(dense, epochs=1, augment=("shift", "rotation", "intensity"))[0] for _ in range(2)]
    assert all(
        torch.equal(a, b) for a, b in zip(*(list(m.network.state_dict().values()) for m in runs), strict=True)
    )


def test_validation_in_parts_is_that_of_the_whole(dense: Dense) -> None:
    data, model = dense
    settings = Training(class_weighting="balanced").for_task("segmentation", "finetune")
    loss_of = SupervisedLoss(settings, class_weights(settings, contents(data, "train"), data.classes))
    found = [
        validation.figures(model.network, data, settings, loss_of, torch.device("cpu"), at_once)
        for at_once in (8, 3)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    with torch.no_grad():
        whole = loss_of(model.network(torch.from_numpy(data.inputs("val"))), torch.from_numpy(data.targets("val")))
    assert found[0]["validation_loss"] == pytest.approx(whole.item(), rel=1e-5)


def test_classes_are_counted_in_pixels(dense: Dense) -> None:
    data, _ = dense
    held = contents(data, "train")
    masks = data.targets("train")
    assert held.sum() == (masks != IGNORE).sum()
    assert list(held[5]) == [int((masks[5] == k).sum()) for k in range(3)]
    weights = class_weights(Training(class_weighting="balanced"), held, data.classes)
    assert np.array(weights) * held.sum(0) == pytest.approx(held.sum() / 3)
    with pytest.raises(PassError, match="no training image of: small"):
        class_weights(Training(), held * np.array([1, 1, 0]), data.classes)


def test_class_balanced_draws_windows_that_hold_the_class() -> None:
    held = np.zeros((50, 3), dtype=np.int64)
    held[:, 0] = 100
    held[:10, 1] = 5
    held[:2, 2] = 1
    batches = Batches(Training(sampling="class_balanced", class_weighting="none"), held, 1, "finetune")
    drawn = np.concatenate(
        [np.concatenate(list(batches.epoch(torch.Generator().manual_seed(seed)))) for seed in range(100)]
    )
    # A third of the draws each for the background, for class 1 and for class 2.
    assert (drawn < 2).mean() == pytest.approx((1 + 2 / 10 + 2 / 50) / 3, abs=0.03)
    assert (drawn >= 10).mean() == pytest.approx(40 / 50 / 3, abs=0.03)


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("segmentation", {"monitor": "auc"}, "'monitor: auc' is for classification; use mean_dice"),
        ("classification", {"monitor": "mean_dice"}, "'monitor: mean_dice' is for segmentation"),
        ("classification", {"loss": "cross_entropy_dice"}, "'loss: cross_entropy_dice' is for segmentation"),
    ],
)
def test_settings_of_the_other_task(dense: Dense, task: Any, values: dict[str, Any], message: str) -> None:
    data, model = dense
    with pytest.raises(PassError, match=message):
        fit(replace(model, task=task), Training(**values), Context(data), where="finetune")


def test_defaults_are_those_of_the_task() -> None:
    settings = Training(monitor="loss")
    for task, loss, weighting in (
        ("classification", "cross_entropy", "balanced"),
        ("segmentation", "cross_entropy_dice", "none"),
    ):
        found = settings.for_task(task, "finetune")  # type: ignore[arg-type]
        assert (found.loss, found.class_weighting, found.monitor) == (loss, weighting, "loss")


def test_dice_needs_foreground_in_validation(dense: Dense) -> None:
    data, model = dense

    class Lacking:
        classes, preprocessing, pixels, count = data.classes, data.preprocessing, data.pixels, data.count

        def targets(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[np.int64]:
            return data.targets(split, indices) * (split == "train")

    with pytest.raises(PassError, match=r"no validation mask has a pixel of large, small.*monitor loss"):
        fit(model.copy(), Training(), Context(data), where="finetune", images=Lacking())


def test_folds_keep_cases_whole_and_hold_every_class(dense: Dense) -> None:
    data, _ = dense
    pool = Pool(data)
    assert pool.targets(np.array([13, 0])).shape == (2, *data.preprocessing.size)
    assert np.array_equal(pool.targets(np.array([13]))[0], data.targets("val", [1])[0])
    folds = divide(pool, 3, 0, "finetune.cross_validation")
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(20))
    for fold in folds:
        for part in (fold.train, fold.val, fold.held_out):
            assert (pool.contents[part].sum(axis=0) > 0).all()
        assert np.array_equal(fold.targets("val", np.array([0])), pool.targets(fold.val[:1]))
        assert np.array_equal(fold.pixels("val", np.array([0])), pool.pixels(fold.val[:1]))
