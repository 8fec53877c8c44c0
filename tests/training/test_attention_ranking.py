from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from edgekit.data.base import Preprocessing
from edgekit.model import Model, create
from edgekit.passes import PassError
from edgekit.recipe import ModelConfig
from edgekit.training.attention_ranking import MARGIN, AttentionRanking, layers, ranking
from edgekit.training.distillation import Distillation, objective
from edgekit.training.layers import run

TOKENS = 7


def vit(architecture: str = "test_vit", **arguments: bool | int | float | str) -> Model:
    config = ModelConfig(architecture=architecture, arguments={"img_size": 32, "patch_size": 8, **arguments})
    return create(config, ("a", "b"), Preprocessing(size=(32, 32)), None)[0]


def rows(*orders: tuple[int, ...]) -> torch.Tensor:
    """One image with a row of attention for each order; the first token named gets most."""
    scores = torch.zeros(1, len(orders), TOKENS)
    for row, order in enumerate(orders):
        scores[0, row, list(order)] = torch.arange(TOKENS, 0, -1) * 0.5
    return scores.softmax(-1)


TOLD = rows(tuple(range(TOKENS)), (3, 1, 4, 0, 5, 2, 6))


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 3.0])
def test_zero_where_the_order_is_kept(sharpness: float) -> None:
    given = (TOLD.log() * sharpness).softmax(-1)
    assert float(ranking(TOLD, given, TOKENS)) == pytest.approx(0, abs=1e-6)
    assert float(ranking(TOLD, TOLD, 3)) == 0


def test_positive_for_every_other_order() -> None:
    told = rows(tuple(range(TOKENS)))
    for order in itertools.islice(itertools.permutations(range(TOKENS)), 1, 5040, 7):
        assert float(ranking(told, rows(order), TOKENS)) > 0


def test_uniform_attention_is_no_way_out() -> None:
    assert float(ranking(TOLD, torch.full_like(TOLD, 1 / TOKENS), TOKENS)) == pytest.approx(MARGIN)


def test_falls_as_the_order_is_restored() -> None:
    told = rows(tuple(range(TOKENS)))
    order = list(reversed(range(TOKENS)))
    seen = [float(ranking(told, rows(tuple(order)), TOKENS))]
    for _ in range(TOKENS):  # bubble sort
        for at in range(TOKENS - 1):
            if order[at] > order[at + 1]:
                order[at], order[at + 1] = order[at + 1], order[at]
                seen.append(float(ranking(told, rows(tuple(order)), TOKENS)))
    assert order == list(range(TOKENS))
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == TOKENS * (TOKENS - 1) // 2 + 1


def test_the_first_ranks_count_most() -> None:
    told = rows(tuple(range(TOKENS)))
    first, last = rows((1, 0, 2, 3, 4, 5, 6)), rows((0, 1, 2, 3, 4, 6, 5))
    assert float(ranking(told, first, TOKENS)) > float(ranking(told, last, TOKENS)) > 0
    assert float(ranking(told, last, 3)) == pytest.approx(0, abs=1e-6), "only the first three must keep their rank"
    assert float(ranking(told, rows((6, 0, 1, 2, 3, 4, 5)), 3)) > 0, "and stay above all others"


def test_names_of_tokens_do_not_matter() -> None:
    given = rows((2, 0, 1, 3, 6, 5, 4), (0, 1, 2, 3, 4, 5, 6))
    shuffled = torch.tensor([5, 3, 0, 6, 1, 2, 4])
    expected = float(ranking(TOLD, given, 4))
    assert float(ranking(TOLD[..., shuffled], given[..., shuffled], 4)) == pytest.approx(expected, rel=1e-5)


def test_ties_of_the_teacher_bind_nobody() -> None:
    told = torch.full((1, 1, TOKENS), 1 / TOKENS)
    assert float(ranking(told, rows((3, 1, 4, 0, 5, 2, 6)), TOKENS)) == 0


def test_the_matrix_is_what_the_network_attends_with() -> None:
    """timm's unfused path computes the matrix openly; its dropout sees it."""
    network = vit(qk_norm=True).network
    for block in network.get_submodule("blocks").children():
        block.get_submodule("attn").fused_attn = False  # type: ignore[assignment]
    with torch.no_grad():
        for name, one in network.named_parameters():
            if "norm" in name or "qkv" in name:
                one.add_(torch.randn_like(one) * 0.3)
    found = layers(network)
    assert list(found) == [f"blocks.{index}.attn" for index in range(6)]
    reads = [name for one in found.values() for name in one.reads]
    with torch.no_grad():
        _, outputs = run(network, torch.randn(3, 3, 32, 32), [*reads, *(f"{name}.attn_drop" for name in found)])
    for name, layer in found.items():
        torch.testing.assert_close(layer.matrix(outputs), outputs[f"{name}.attn_drop"].mean(1))


def test_a_student_learns_the_order() -> None:
    teacher, student = vit("test_vit4"), vit(num_heads=1)
    loss, extra = objective(Distillation(weight=0.0, ranking="auto", ranking_weight=10.0), teacher, student)
    assert extra is None
    assert loss.changes()["ranking"]["pairs"][-1] == ["blocks.8.attn", "blocks.5.attn"]
    assert len(loss.changes()["ranking"]["pairs"]) == 4
    optimizer = torch.optim.Adam(student.network.parameters(), lr=1e-3)
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = []
    for _ in range(8):
        found = loss(student.network, inputs, torch.tensor([0, 1, 0, 1]), lambda logits, labels: logits.sum() * 0)
        seen.append(found.item())
        optimizer.zero_grad()
        torch.autograd.backward(found)
        optimizer.step()
    assert seen[-1] < 0.9 * seen[0]


def test_attention_of_another_kind_is_refused() -> None:
    cnn = create(ModelConfig(architecture="test_resnet"), ("a", "b"), Preprocessing(size=(32, 32)), None)[0]
    with pytest.raises(PassError, match="the student 'test_resnet' has no self-attention"):
        AttentionRanking("auto", vit(), cnn, 4)
    with pytest.raises(PassError, match=r"the teacher 'test_resnet' has no self-attention.*'attention' works"):
        AttentionRanking("auto", cnn, vit(), 4)
    with pytest.raises(PassError, match=r"student's self-attention has no such layer: 'blocks.6.attn' \(nearest"):
        AttentionRanking((("blocks.0.attn", "blocks.6.attn"),), vit(), vit(), 4)
    with pytest.raises(PassError, match=r"attends to 17 tokens .* of the student to 5"):
        AttentionRanking("auto", vit(), vit(patch_size=16), 4)


def test_a_subclass_that_computes_otherwise_is_left_out() -> None:
    network = vit().network
    attention = network.get_submodule("blocks.0.attn")

    class Rotary(type(attention)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    attention.__class__ = Rotary
    assert "blocks.0.attn" not in layers(network)
    assert isinstance(network, nn.Module)
