from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from edgekit.model import Model
from edgekit.passes import PassError
from edgekit.training.distillation import Distillation, objective
from edgekit.training.distillation_loss import soft_loss
from tests.networks import images, small_model

LABELS = torch.arange(16) % 5
supervised = nn.functional.cross_entropy


def other_model() -> Model:
    """A teacher: the same layers as ``small_model`` with other weights."""
    model = small_model().copy()
    torch.manual_seed(7)
    for parameter in model.network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return found


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_loss_is_the_closed_form(temperature: float) -> None:
    teacher, student = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, q = softmax(teacher.numpy() / temperature), softmax(student.numpy() / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    assert float(soft_loss(teacher, student, temperature)) == pytest.approx(expected, rel=1e-12)
    assert float(soft_loss(teacher, teacher + 3, temperature)) == pytest.approx(0, abs=1e-12)


def test_soft_loss_of_pixels_is_the_mean_over_those_that_count() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 2, 3, 4, 5, generator=generator).double()
    counts = torch.rand(2, 4, 5, generator=generator) < 0.5
    told, given = (one.movedim(1, -1)[counts] for one in (teacher, student))
    assert float(soft_loss(teacher, student, 3.0, counts)) == pytest.approx(
        float(soft_loss(told, given, 3.0)), rel=1e-12
    )
    assert float(soft_loss(teacher, student, 3.0, counts & False)) == 0


def test_gradient_of_the_soft_loss_keeps_its_size() -> None:
    """What T^2 is for: at high temperature the gradient tends to that of logits, centred, over the classes."""
    teacher = torch.randn(1, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(soft_loss(teacher, student, 1e6))
    assert student.grad is not None
    torch.testing.assert_close(student.grad, -(teacher - teacher.mean()) / 5, rtol=1e-4, atol=1e-6)


def test_the_parts_add_up() -> None:
    teacher, student = other_model(), small_model()
    settings = Distillation(
        temperature=2.0, weight=0.3, features="auto", feature_weight=2.0, attention="auto", attention_weight=3.0
    )
    whole, _ = objective(settings, teacher, student)
    total = whole(student.network, images(), LABELS, supervised)

    def of(**values: Any) -> torch.Tensor:
        part, _ = objective(Distillation.model_validate(values), teacher, student)
        return part(student.network, images(), LABELS, supervised)

    hard, soft = of(weight=0.0), of(weight=1.0, temperature=2.0)
    features = of(weight=0.0, features="auto") - hard
    attention = of(weight=0.0, attention="auto") - hard
    assert min(hard, soft, features, attention) > 0
    torch.testing.assert_close(total, 0.7 * hard + 0.3 * soft + 2 * features + 3 * attention)


def test_weight_zero_is_the_supervised_loss() -> None:
    student = small_model()
    loss, extra = objective(Distillation(weight=0.0), other_model(), student)
    assert extra is None
    found = loss(student.network, images(), LABELS, supervised)
    assert torch.equal(found, supervised(student.network(images()), LABELS))
    assert loss.changes()["note"].startswith("with weight 0")


def test_no_gradient_reaches_the_teacher() -> None:
    teacher, student = other_model(), small_model()
    before = copy.deepcopy(teacher.network.state_dict())
    settings = Distillation(features="auto", attention="auto")
    loss, extra = objective(settings, teacher, student)
    assert extra is not None
    network = copy.deepcopy(student.network).train()
    torch.autograd.backward(loss(network, images(), LABELS, supervised))
    assert all(one.grad is not None for one in [*network.parameters(), *extra.parameters()])
    assert all(one.grad is None and one.requires_grad for one in teacher.network.parameters())
    assert all(torch.equal(before[name], one) for name, one in teacher.network.state_dict().items())
    inside = {id(one) for one in extra.parameters()} | {id(one) for one in network.parameters()}
    assert not inside & {id(one) for one in teacher.network.parameters()}


def test_a_network_keeps_no_hook() -> None:
    student = small_model()
    loss, _ = objective(Distillation(features="auto"), other_model(), student)
    network = copy.deepcopy(student.network)
    for _ in range(2):
        loss(network, images(), LABELS, supervised)
    hooked = [*network.modules(), *student.network.modules()]
    assert not any(one._forward_hooks for one in hooked)


class Traced(nn.Module):
    """As torch.export leaves a network: it computes the same, and modules of the old names may remain unused."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._program = [network]
        self.stem = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._program[0](x)
        return logits


def test_a_traced_network_learns_from_logits_only() -> None:
    student = small_model()
    traced = Traced(student.network)
    for settings in (Distillation(features="auto"), Distillation(attention="auto")):
        loss, _ = objective(settings, other_model(), student)
        with pytest.raises(PassError, match=r"runs no layer .* traced .*leave out 'features'"):
            loss(traced, images(), LABELS, supervised)
    loss, _ = objective(Distillation(), other_model(), student)
    expected = loss(student.network, images(), LABELS, supervised)
    torch.testing.assert_close(loss(traced, images(), LABELS, supervised), expected)


def test_same_seed_same_projections() -> None:
    teacher, student = other_model(), small_model()
    student.network.gated = nn.Conv2d(16, 20, 1)
    student.network.head = nn.Linear(20, 5)
    settings = Distillation(features=(("gated", "gated"),))
    state = torch.get_rng_state()
    weights = []
    for seed in (0, 0, 1):
        torch.rand(3)
        extra = objective(settings, teacher, student, seed=seed)[1]
        assert extra is not None
        weights.append(extra.get_parameter("projections.0.weight"))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    torch.set_rng_state(state)
    objective(settings, teacher, student, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"features": [["stem", "narow"]]}, r"the student 'module' has no such layer: 'narow' \(nearest: narrow"),
        ({"attention": [["widde", "wide"]]}, r"attention: the teacher 'module' has no such layer: 'widde'"),
        ({"features": [["head", "stem"]]}, "the teacher 'module' has no such layer: 'head'"),
        ({"ranking": "auto"}, "the teacher 'module' has no self-attention"),
    ],
)
def test_layers_that_do_not_fit(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(PassError, match=expected):
        objective(Distillation.model_validate(settings), other_model(), small_model())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"weight": 1.1}, "less than or equal to 1"),
        ({"temperature": 0}, "greater than 0"),
        ({"feature_weight": 2.0}, "'feature_weight' has no effect without 'features'"),
        ({"features": "auto", "attention_weight": 2.0}, "'attention_weight' has no effect without 'attention'"),
        ({"ranking_tokens": 3}, "'ranking_tokens' has no effect without 'ranking'"),
        ({"features": []}, "give 'auto', or pairs of layers"),
        ({"attention": [["a", "b"], ["a", "b"]]}, "name each pair of layers once"),
        ({"features": "all"}, "1 validation error(.|\n)*give 'auto', or pairs of layers"),
        ({"features": [["a"]]}, "1 validation error(.|\n)*give 'auto', or pairs of layers"),
        ({"ranking": [["a", 3]]}, "1 validation error(.|\n)*give 'auto', or pairs of layers"),
    ],
)
def test_impossible_settings(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Distillation.model_validate(values)


def test_settings_survive_their_own_dump() -> None:
    for settings in (
        Distillation(),
        Distillation(features="auto", feature_weight=3),
        Distillation(attention=(("a", "b"),)),
    ):
        assert Distillation.model_validate(settings.model_dump(mode="json")) == settings
