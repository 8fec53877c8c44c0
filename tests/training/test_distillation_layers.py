from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.data.base import Preprocessing
from edgekit.model import Model, create
from edgekit.passes import PassError
from edgekit.recipe import ModelConfig
from edgekit.training.attention_transfer import AttentionTransfer
from edgekit.training.distillation import Distillation, objective
from edgekit.training.features import Features
from edgekit.training.layers import Layer, as_map
from edgekit.training.pairing import evenly, pairs

CLASSES = ("a", "b", "c")


def timm_model(architecture: str, side: int = 32) -> Model:
    arguments: dict[str, bool | int | float | str] = (
        {"img_size": side, "patch_size": 8} if "vit" in architecture else {}
    )
    config = ModelConfig(architecture=architecture, arguments=arguments)
    return create(config, CLASSES, Preprocessing(size=(side, side)), None)[0]


def layer(name: str, size: tuple[int, int], channels: int) -> Layer:
    return Layer(name, nn.Conv2d, False, size, channels, 0.5)


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 24, 8, 8), (32, 32), (2, 24, 8, 8)),
        ((2, 8, 8, 24), (32, 32), (2, 24, 8, 8)),
        ((2, 8, 8, 8), (32, 32), (2, 8, 8, 8)),
        ((2, 24, 4, 7), (30, 50), (2, 24, 4, 7)),
        ((2, 4, 7, 24), (30, 50), (2, 24, 4, 7)),
        ((2, 16, 24), (32, 32), (2, 24, 4, 4)),
        ((2, 17, 24), (32, 32), (2, 24, 4, 4)),
        ((2, 18, 24), (32, 32), (2, 24, 4, 4)),
        ((2, 8, 24), (32, 64), (2, 24, 2, 4)),
        ((2, 24, 1, 1), (32, 32), (2, 24, 1, 1)),
        ((2, 21, 24), (32, 32), (2, 24, 4, 4)),
        ((2, 15, 24), (32, 32), None),
        ((2, 24), (32, 32), None),
        ((2, 24, 3, 8), (32, 32), None),
        ((2, 3, 64, 64), (32, 32), None),
    ],
)
def test_what_is_a_map(shape: tuple[int, ...], image: tuple[int, int], expected: tuple[int, ...] | None) -> None:
    found = as_map(torch.zeros(shape), image)
    assert (None if found is None else tuple(found.shape)) == expected


def test_tokens_become_the_grid_that_they_came_from() -> None:
    grid = torch.randn(2, 6, 4, 4)
    tokens = torch.cat([torch.randn(2, 1, 6), grid.flatten(2).transpose(1, 2)], 1)
    found = as_map(tokens, (32, 32))
    assert found is not None
    assert torch.equal(found, grid)


def test_stages_of_one_size_are_compared() -> None:
    found = pairs("auto", timm_model("test_resnet", 64), timm_model("test_byobnet", 64), "features")
    names = [(one.name, other.name) for one, other in found]
    assert names[-1] == ("layer4", "final_conv")
    assert all(one.size == other.size for one, other in found)
    assert [one.size[0] for one, _ in found] == sorted({one.size[0] for one, _ in found}, reverse=True)


def test_a_vit_and_a_cnn_are_compared_by_depth() -> None:
    vit, cnn = timm_model("test_vit"), timm_model("test_resnet")
    found = pairs("auto", vit, cnn, "features")
    assert len(found) == 4
    assert all(one.name.startswith("blocks.") for one, _ in found)
    assert all(other.name.startswith(("act", "layer")) for _, other in found)
    assert all(abs(one.depth - other.depth) < 0.15 for one, other in found)
    for side in (0, 1):
        depths = [pair[side].depth for pair in found]
        assert depths == sorted(depths)
    swapped = pairs("auto", cnn, vit, "features")
    assert [(other.name, one.name) for one, other in swapped] == [(one.name, other.name) for one, other in found]


def test_blocks_of_two_vits_are_spread_over_the_depth() -> None:
    found = pairs("auto", timm_model("test_vit4"), timm_model("test_vit"), "features")
    assert [other.name for _, other in found] == ["blocks.1", "blocks.2", "blocks.4", "blocks.5"]
    assert found[-1][0].name == "blocks.8"


def test_evenly() -> None:
    assert evenly(range(12)) == [2, 5, 8, 11]
    assert evenly(range(3)) == [0, 1, 2]
    assert evenly(range(1)) == [0]


@pytest.mark.parametrize(("teacher", "student"), [("test_vit", "test_resnet"), ("test_resnet", "test_vit")])
def test_learns_across_architectures(teacher: str, student: str) -> None:
    told, given = timm_model(teacher), timm_model(student)
    loss, extra = objective(Distillation(features="auto", attention="auto"), told, given)
    assert extra is not None
    optimizer = torch.optim.Adam([*given.network.parameters(), *extra.parameters()], lr=1e-3)
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = []
    for _ in range(8):
        found = loss(given.network.train(), inputs, torch.tensor([0, 1, 2, 0]), nn.functional.cross_entropy)
        seen.append(found.item())
        optimizer.zero_grad()
        torch.autograd.backward(found)
        optimizer.step()
    assert seen[-1] < 0.8 * seen[0]


def test_feature_loss_is_the_relative_error() -> None:
    same = Features([(layer("t", (4, 4), 6), layer("s", (4, 4), 6))], seed=0)
    target = torch.randn(3, 6, 4, 4)
    assert same({"t": target}, {"s": target.clone()}, (32, 32)).item() == 0
    assert same({"t": target}, {"s": torch.zeros_like(target)}, (32, 32)).item() == pytest.approx(1)
    other = Features([(layer("t", (4, 4), 6), layer("s", (8, 8), 5))], seed=0)
    given = torch.randn(3, 5, 8, 8)
    pooled = given.reshape(3, 5, 4, 2, 4, 2).mean((3, 5))
    weight, bias = other.get_parameter("projections.0.weight"), other.get_parameter("projections.0.bias")
    predicted = torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], pooled) + bias[:, None, None]
    expected = ((target - predicted).square().sum() / target.square().sum()).item()
    assert other({"t": target}, {"s": given}, (32, 32)).item() == pytest.approx(expected, rel=1e-5)
    # The same relative error whatever the unit.
    scaled = same({"t": 50 * target}, {"s": 40 * target}, (32, 32))
    assert scaled.item() == pytest.approx(0.04, rel=1e-4)


def test_attention_transfer_is_the_closed_form() -> None:
    transfer = AttentionTransfer([(layer("t", (4, 4), 6), layer("s", (4, 4), 3))])
    told, given = torch.randn(3, 6, 4, 4), torch.randn(3, 3, 4, 4)
    one, other = ((x.numpy() ** 2).sum(1).reshape(3, -1).astype(np.float64) for x in (told, given))
    one, other = (x / np.sqrt((x**2).sum(1, keepdims=True)) for x in (one, other))
    expected = ((one - other) ** 2).sum(1).mean()
    assert transfer({"t": told}, {"s": given}, (32, 32)).item() == pytest.approx(expected, rel=1e-5)


def test_attention_transfer_compares_where_and_not_how_much() -> None:
    transfer = AttentionTransfer([(layer("t", (4, 4), 6), layer("s", (8, 8), 6))])
    told = torch.randn(3, 6, 4, 4)
    enlarged = told.repeat_interleave(2, 2).repeat_interleave(2, 3)
    turned = 7 * enlarged.flip(1)
    assert transfer({"t": told}, {"s": turned}, (32, 32)).item() == pytest.approx(0, abs=1e-10)
    assert transfer({"t": told}, {"s": turned.flip(2)}, (32, 32)).item() > 0.01


def test_one_position_has_no_attention() -> None:
    with pytest.raises(PassError, match=r"'t' \(4x4\) and 's' \(1x1\) have one position in common"):
        AttentionTransfer([(layer("t", (4, 4), 6), layer("s", (1, 1), 3))])


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((2, 5, 2, 4, 8), (5, 2, 4, 8)),
        ((2, 2, 4, 8, 5), (5, 2, 4, 8)),
        ((2, 1 + 1 * 2 * 4, 5), (5, 1, 2, 4)),
        ((2, 5, 4, 8), None),
        ((2, 7, 5), None),
    ],
)
def test_maps_of_volumes(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> None:
    found = as_map(torch.zeros(shape), (4, 8, 16))
    assert (None if found is None else tuple(found.shape[1:])) == wanted
