"""Every pass on networks that give logits for each pixel or voxel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.data.prepared import Prepared
from edgekit.model import Model, logits
from edgekit.passes import (
    Context,
    Distill,
    Factorize,
    Finetune,
    FoldBatchnorm,
    Outcome,
    PassConfig,
    PassError,
    Prune,
    Qat,
    Quantize,
)
from edgekit.quantization import placement, program
from edgekit.quantization.training_program import logits as fake_quantized
from edgekit.training.pixel_figures import PixelFigures
from tests.networks import unet_model

Dense = tuple[Prepared, Model]


def dice(model: Model, data: Prepared) -> float:
    found = PixelFigures(3)
    found.add(torch.from_numpy(logits(model, data.inputs("val"))), torch.from_numpy(data.targets("val")))
    return found.mean_dice


def saved_and_loaded(model: Model, folder: Path) -> Model:
    model.save(folder)
    return Model.load(folder, model.module_path)


def test_batchnorm_of_transposed_convolutions_folds_too(dense: Dense, tmp_path: Path) -> None:
    data, model = dense
    outcome = FoldBatchnorm().apply(model, Context(data))
    assert outcome.changes["layers"] == ["enter.1", "down.2", "inner.1", "up.1", "join.1"]
    before, after = (logits(one, data.inputs("val")) for one in (model, outcome.model))
    assert np.abs(before - after).max() < 1e-5 * np.abs(before).max()
    assert np.array_equal(logits(saved_and_loaded(outcome.model, tmp_path), data.inputs("val")), after)


@pytest.mark.parametrize("importance", ["l2", "taylor"])
def test_pruning_follows_concatenations_sums_and_transposed_convolutions(
    dense: Dense, importance: Any, tmp_path: Path
) -> None:
    data, model = dense
    config = Prune(ratio=0.5, round_to=1, keep_first=False, importance=importance)
    outcome = config.apply(model, Context(data))
    changes = outcome.changes
    assert set(changes["channels"]) == {"enter.0", "down.1", "inner.0", "up.0", "join.0"}
    assert changes["channels"]["down.1"] == changes["channels"]["inner.0"] == [16, 8]
    assert changes["left"] == {}
    assert changes["steps"][0]["largest_difference_to_masked"] < 1e-6
    after = logits(outcome.model, data.inputs("val"))
    assert after.shape == (8, 3, *data.preprocessing.size)
    assert np.array_equal(logits(saved_and_loaded(outcome.model, tmp_path), data.inputs("val")), after)


def test_recovery_learns_masks(dense: Dense) -> None:
    data, model = dense
    recovery = {"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "distillation": {"features": "auto"}}
    config = Prune.model_validate({"ratio": 0.5, "round_to": 1, "recovery": recovery})
    outcome = config.apply(model, Context(data))
    found = outcome.changes["steps"][0]["recovery"]
    assert found["monitor"] == "mean_dice"
    assert dice(outcome.model, data) == found["best"]["validation_mean_dice"]


def test_factorization_leaves_volumes_and_says_so(dense: Dense) -> None:
    data, model = dense
    config = Factorize(energy=0.3)
    if len(data.preprocessing.size) == 3:
        with pytest.raises(PassError, match="none of the 6 layers can be factorized"):
            config.apply(model, Context(data))
        return
    outcome = config.apply(model, Context(data))
    assert outcome.changes["factorized"] > 0
    assert outcome.changes["left"]["up.0"] == "it is a transposed convolution"
    assert outcome.changes["left"]["head"] == "it is the classifier"


def test_quantization(dense: Dense) -> None:
    data, model = dense
    folded = FoldBatchnorm().apply(model, Context(data)).model
    outcome = Quantize(images=8, sensitivity=True).apply(folded, Context(data))
    changes = outcome.changes
    assert changes["layers_never_quantized"] == ["up.0"], "what stays in float is told"
    assert changes["layers_quantized"] == 5
    inputs = data.inputs("val")
    fake = fake_quantized(outcome.model, inputs)
    exact = program.run(program.quantized_program(outcome.model, placement.PORTABLE), inputs)
    assert np.abs(fake - exact).max() < 0.02 * np.abs(exact).max()
    table = changes["sensitivity"]
    assert [row["layer"] for row in table["layers"]] == ["enter.0", "down.1", "inner.0", "join.0", "head"]
    assert table["all_float"]["mean_dice"] == pytest.approx(dice(model, data), abs=1e-3)
    assert (table["all_float"]["mask_dice"], table["all_float"]["agreement"]) == (1, 1)
    assert table["rarest_class"] == "small"
    figures = PixelFigures(3)
    figures.add(torch.from_numpy(fake), torch.from_numpy(logits(folded, inputs).argmax(1)))
    assert table["all_int8"]["mask_dice"] == pytest.approx(figures.mean_dice, abs=0.02)
    assert 0 < table["all_int8"]["kl"] < 0.05


def test_layers_go_back_to_float_until_the_masks_agree(dense: Dense) -> None:
    from edgekit.recipe import Gates

    data, model = dense
    gates = Gates(int8_min_mask_dice=1.0, max_dice_drop=0.0)
    found = (
        Quantize(images=8, keep_float="auto").apply(model, Context(data, gates=gates)).changes["mixed_precision"]
    )
    assert found["gates"] == {"int8_min_mask_dice": 1.0, "max_dice_drop": 0.0}
    for form in found["forms"].values():
        assert form["gates_hold"] == (form["mask_dice"] >= 1 and form["mean_dice"] >= dice(model, data) - 1e-9)


def test_qat_is_not_worse_than_its_start(dense: Dense) -> None:
    data, model = dense
    config = Qat.model_validate({"images": 8, "epochs": 2, "batch_size": 4, "distillation": {}})
    outcome = config.apply(model, Context(data))
    changes = outcome.changes
    kept = changes["validation"]["fake_quantized"]["mean_dice"]
    assert kept >= changes["start"]["validation_mean_dice"] - 0.02
    assert changes["validation"]["float"]["mean_dice"] == pytest.approx(dice(model, data), abs=1e-3)
    assert changes["monitor"] == "mean_dice"
    given = fake_quantized(outcome.model, data.inputs("val")).argmax(1)
    same = (given == logits(model, data.inputs("val")).argmax(1)).mean()
    assert changes["validation"]["argmax_agreement"] == pytest.approx(same, abs=5e-3)


def test_distillation_by_pixels_and_by_maps(dense: Dense) -> None:
    data, teacher = dense
    student = unet_model(len(data.preprocessing.size), width=4)
    context = Context(data, teacher=teacher)
    config = Distill(epochs=2, batch_size=4, learning_rate=0.02, features="auto", attention="auto")
    changes = config.apply(student, context).changes
    assert changes["teacher"]["mean_dice"] == pytest.approx(dice(teacher, data))
    assert changes["distillation"]["features"]["pairs"] == [["inner", "inner"], ["head", "head"]]
    with pytest.raises(PassError, match=r"worse than the student: mean Dice on validation 0\.\d+ against"):
        Distill(epochs=1).apply(teacher, replace(context, teacher=student))
    with pytest.raises(PassError, match="no self-attention"):
        Distill(epochs=1, ranking="auto").apply(student, context)
    with pytest.raises(PassError, match="is for classification, the student for segmentation"):
        Distill(epochs=1).apply(student, replace(context, teacher=replace(teacher, task="classification")))


def test_cross_validation_is_scored_by_dice(dense: Dense) -> None:
    data, model = dense
    config = Finetune.model_validate({"epochs": 1, "batch_size": 4, "cross_validation": {"folds": 2}})
    found = config.apply(model, Context(data)).changes["cross_validation"]
    assert {"mean_dice", "dice/small", "sensitivity/large", "ece"} <= set(found["figures"])
    assert found["figures"]["mean_dice"]["mean"] == pytest.approx(
        np.mean([run["figures"]["mean_dice"] for run in found["runs"]])
    )


def test_one_logit_for_two_classes(tmp_path: Path) -> None:
    """The head of the official binary networks: (0, z)."""
    model = unet_model(2, num_classes=2, outputs=1)
    context: Any = Context(None)  # type: ignore[arg-type]
    outcome: Outcome = Prune(ratio=0.5, round_to=1).apply(model, context)
    assert "head" not in outcome.changes["channels"]
    assert logits(outcome.model, np.zeros((1, 3, 16, 16), np.float32)).shape == (1, 2, 16, 16)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (Finetune(monitor="auc"), "segmentation"),
        (Qat(loss="cross_entropy_dice"), "classification"),
        (Prune.model_validate({"ratio": 0.5, "recovery": {"monitor": "mean_dice"}}), "classification"),
        (Factorize.model_validate({"energy": 0.5, "recovery": {"monitor": "auc"}}), "segmentation"),
    ],
)
def test_settings_tell_which_task_they_are_for(config: PassConfig, task: Any) -> None:
    problem = config.unfit(task)
    assert problem is not None
    assert "is for" in problem
    other: Any = "classification" if task == "segmentation" else "segmentation"
    assert config.unfit(other) is None
    assert Quantize().unfit(task) is None
