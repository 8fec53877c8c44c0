from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edgekit.data.base import Preprocessing
from edgekit.data.prepared import Prepared
from edgekit.evaluate.calibration import ece
from edgekit.evaluate.figures import softmax
from edgekit.model import Model, create, logits
from edgekit.passes import Context, Distill, Finetune, PassError
from edgekit.recipe import ModelConfig

SPEC = Preprocessing(size=(32, 32))


def states(model: Model) -> list[torch.Tensor]:
    return list(model.network.state_dict().values())


def equal(one: Model, other: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(states(one), states(other), strict=True))


@pytest.fixture(scope="module")
def teacher(resnet: Model, prepared: Prepared) -> Model:
    """A trained ResNet."""
    config = Finetune(epochs=6, batch_size=8, learning_rate=3e-3)
    return config.apply(resnet, Context(prepared)).model


@pytest.fixture(scope="module")
def student() -> Model:
    """A tiny ViT that has learned nothing."""
    arguments: dict[str, bool | int | float | str] = {"img_size": 32, "patch_size": 8}
    return create(ModelConfig(architecture="test_vit", arguments=arguments), ("dark", "bright"), SPEC, None)[0]


def test_a_vit_learns_from_a_resnet(teacher: Model, student: Model, prepared: Prepared) -> None:
    before = [one.clone() for one in (*states(student), *states(teacher))]
    config = Distill(epochs=1, batch_size=16, temperature=2, features="auto", attention="auto")
    outcome = config.apply(student, Context(prepared, teacher=teacher))
    changes = outcome.changes
    given = logits(teacher, prepared.inputs("val")).astype(np.float64)
    labels = prepared.labels("val")
    probability = softmax(given)
    figures = changes["teacher"]
    assert figures["architecture"] == "test_resnet"
    assert (figures["split"], figures["images"]) == ("val", 16)
    assert figures["accuracy"] == (given.argmax(1) == labels).mean()
    assert figures["balanced_accuracy"] == figures["accuracy"], "both classes have as many images"
    assert figures["ece"] == pytest.approx(ece(probability.max(1), given.argmax(1) == labels))
    assert figures["nll"] == pytest.approx(-np.log(probability[np.arange(16), labels]).mean())
    assert changes["student_before"]["architecture"] == "test_vit"
    assert (
        len(changes["distillation"]["features"]["pairs"]) == len(changes["distillation"]["attention"]["pairs"]) > 2
    )
    assert changes["epochs_run"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, [*states(student), *states(teacher)], strict=True))
    assert not outcome.model.network.training
    again = config.apply(student, Context(prepared, teacher=teacher)).model
    assert equal(outcome.model, again)
    assert not equal(outcome.model, student)


def test_weight_zero_is_finetuning_bit_for_bit(teacher: Model, resnet: Model, prepared: Prepared) -> None:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 8, "augment": ("shift",), "seed": 3}
    plain = Finetune(**settings).apply(resnet, Context(prepared)).model
    context = Context(prepared, teacher=teacher)
    assert equal(plain, Distill(**settings, weight=0.0).apply(resnet, context).model)
    assert not equal(plain, Distill(**settings, weight=0.5).apply(resnet, context).model)


def test_a_teacher_that_knows_less_is_refused(teacher: Model, resnet: Model, prepared: Prepared) -> None:
    good, poor = teacher, resnet.copy()
    with torch.no_grad():
        poor.network.get_parameter("fc.bias")[1] = 1e4  # it calls everything bright
    with pytest.raises(
        PassError, match=r"teacher 'test_resnet' is worse than the student: .*0\.5000 against (0\.|1)"
    ):
        Distill(epochs=1).apply(good, Context(prepared, teacher=poor))


def test_reads_no_test_image(
    teacher: Model, resnet: Model, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    original = Prepared._array

    def spy(self: Prepared, name: str) -> Any:
        read.add(name.split("_")[0])
        return original(self, name)

    monkeypatch.setattr(Prepared, "_array", spy)
    Distill(epochs=1, batch_size=16).apply(resnet, Context(prepared, teacher=teacher))
    assert read == {"train", "val"}


def test_teachers_that_do_not_fit(resnet: Model, prepared: Prepared) -> None:
    with pytest.raises(PassError, match=r"there is no teacher .*give the recipe a 'teacher'"):
        Distill().apply(resnet, Context(prepared))
    for changed, expected in (
        (replace(resnet, num_classes=7), "the teacher 'test_resnet' has 7 classes, the student 2"),
        (replace(resnet, input_size=(3, 64, 64)), "takes an input of 3x64x64, the student of 3x32x32"),
    ):
        with pytest.raises(PassError, match=expected):
            Distill().apply(resnet, Context(prepared, teacher=changed))


def test_a_teacher_that_answers_nothing_is_named(resnet: Model, prepared: Prepared) -> None:
    broken = resnet.copy()
    with torch.no_grad():
        broken.network.get_parameter("fc.bias").fill_(float("nan"))
    with pytest.raises(PassError, match="the teacher: the logits of 16 of 16 images are not finite"):
        Distill().apply(resnet, Context(prepared, teacher=broken))


def test_layers_are_refused_before_training(teacher: Model, resnet: Model, prepared: Prepared) -> None:
    context = Context(prepared, teacher=teacher)
    with pytest.raises(PassError, match=r"no such layer: 'layer9' \(nearest: layer"):
        Distill(features=(("layer3", "layer9"),)).apply(resnet, context)
    with pytest.raises(PassError, match="ranking: the teacher 'test_resnet' has no self-attention"):
        Distill(ranking="auto").apply(resnet, context)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"freeze": "backbone", "attention": "auto"}, "'attention' teaches layers that 'freeze: backbone' holds"),
        ({"ranking_weight": 2}, "'ranking_weight' has no effect without 'ranking'"),
        ({"teacher": "resnet18"}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Distill.model_validate(values)
