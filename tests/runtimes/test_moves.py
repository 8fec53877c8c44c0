"""Permutations one after another become one, with the same result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.model import Model
from edgekit.quantization import program
from edgekit.quantization.placement import Style, operator
from edgekit.runtimes.forms import moves

SHORT = Style("test", short_moves=True)


class Moved(nn.Module):
    """A convolution, some moves, and a layer that reads them."""

    def __init__(self, move: Callable[[torch.Tensor], torch.Tensor], reader: nn.Module) -> None:
        super().__init__()
        self.conv, self.move, self.reader = nn.Conv2d(3, 6, 1), move, reader

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.reader(self.move(self.conv(x)))
        return found


def _patches(x: torch.Tensor) -> torch.Tensor:
    """As MobileViT cuts its images: the pixels of one place of every 2 x 2 patch are a row of tokens."""
    x = x.reshape(x.shape[0] * 6 * 4, 2, 4, 2).transpose(1, 2)
    return x.reshape(x.shape[0] // 24, 6, 16, 4).transpose(1, 3).reshape(-1, 16, 6)


def _images(x: torch.Tensor) -> torch.Tensor:
    """The way back."""
    x = _patches(x).view(1, 4, 16, 6).transpose(1, 3)
    return x.reshape(6 * 4, 4, 2, 2).transpose(1, 2).reshape(1, 6, 8, 8)


def _model(network: nn.Module) -> Model:
    torch.manual_seed(0)
    return Model("module", {}, 6, (3, 8, 8), None, (), network.eval())


def _permutes(model: Model) -> list[tuple[int, ...]]:
    graph = program.float_graph(model)
    moves.shorten(graph)
    return [tuple(one.args[1]) for one in graph.graph.nodes if operator(one) == "permute"]


@pytest.mark.parametrize(
    ("move", "reader", "permutes"),
    [
        # Channels to the end first, where most runtimes have them; then whole rows of them move.
        (_patches, nn.Linear(6, 5), [(0, 2, 3, 1), (1, 3, 0, 2, 4)]),
        # There and back, nothing has moved but the channels, which the convolution's reader has in their place.
        (_images, nn.Conv2d(6, 5, 1), None),
        (lambda x: x.permute(0, 2, 3, 1).transpose(1, 2).flatten(1, 2), nn.Linear(6, 5), [(0, 2, 3, 1), (1, 0, 2)]),
        # Nothing between them that drops the axis of one image, as SwinV2-CR's norms of images of channels last.
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2).contiguous(), nn.Conv2d(6, 5, 1), None),
        # One permutation alone stays as it is.
        (lambda x: x.flatten(2).transpose(1, 2), nn.Linear(6, 5), []),
    ],
)
def test_the_same_comes_out(
    move: Callable[[torch.Tensor], torch.Tensor], reader: nn.Module, permutes: list[tuple[int, ...]] | None
) -> None:
    model = _model(Moved(move, reader))
    images = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    plain, short = (program.float_program(model, style) for style in (Style("test"), SHORT))
    assert np.array_equal(program.run(plain, images), program.run(short, images))
    if permutes is not None:
        assert _permutes(model) == permutes


class Attention(nn.Module):
    """Two heads over the pixels of an image, as in EfficientFormerV2."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.keys, self.values = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(3, 12, 1)
        self.after = nn.Conv2d(12, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, v = (one(x).flatten(2).reshape(1, 2, -1, 64).permute(0, 1, 3, 2) for one in (self.queries, self.values))
        maps = (q @ self.keys(x).reshape(1, 2, -1, 64)).softmax(-1)
        found: torch.Tensor = self.after((maps @ v).transpose(2, 3).reshape(1, 12, 8, 8))
        return found


def test_heads_are_cut_in_rows_where_channels_lie_last() -> None:
    model = _model(Attention())
    images = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    plain, rows = (program.float_program(model, replace(SHORT, channels_last=last)) for last in (False, True))
    # Products of matrices that lie in memory in another order differ in their last digits.
    np.testing.assert_allclose(program.run(rows, images), program.run(plain, images), rtol=1e-5, atol=1e-6)
    graph = program.float_graph(model)
    assert moves.shorten(graph) == 0
    # Queries, values and what comes out of both; the keys are not permuted.
    assert moves.shorten(graph, channels_last=True) == 3
    orders = [tuple(one.args[1]) for one in graph.graph.nodes if operator(one) == "permute"]
    assert orders == [(0, 2, 3, 1), (2, 0, 1, 3)] * 2 + [(1, 2, 0, 3), (0, 3, 1, 2)]


def test_any_run_of_moves() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        steps: list[tuple[str, list[int]]] = []
        axes = [[1], [2, 3], [2, 2, 2], [2, 2, 2]]
        for _ in range(int(generator.integers(2, 5))):
            order = generator.permutation(len(axes)).tolist()
            factors = [one for axis in order for one in axes[axis]]
            cuts = [0, *sorted({int(cut) for cut in generator.integers(1, len(factors), size=4)}), len(factors)]
            axes = [factors[start:end] for start, end in itertools.pairwise(cuts)]
            steps += [("permute", order), ("reshape", [math.prod(axis) for axis in axes])]

        def move(x: torch.Tensor, steps: list[tuple[str, list[int]]] = steps) -> torch.Tensor:
            for kind, values in steps:
                x = getattr(x, kind)(values)
            return x

        images = torch.randn(1, 3, 8, 8)
        for channels_last in (False, True):
            graph = program.float_graph(_model(Moved(move, nn.Identity())))
            with torch.no_grad():
                before = graph(images)
                assert moves.shorten(graph, channels_last) == 1
                assert torch.equal(before, graph(images))


def test_a_reshape_across_an_axis_stays() -> None:
    """6 channels as 4 times 96 values: no factor of the channels ends there."""
    move = Moved(lambda x: x.transpose(1, 3).reshape(1, 64, 6).transpose(1, 2).reshape(4, 96).T, nn.Identity())
    assert moves.shorten(program.float_graph(_model(move))) == 0


def test_what_someone_else_reads_stays() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = x.permute(0, 2, 3, 1)
            return first.transpose(1, 2).flatten(1) + first.flatten(1)

    model = _model(Twice())
    graph = program.float_graph(model)
    assert moves.shorten(graph) == 0


class Stacked(nn.Module):
    """Two convolutions' channels along a new axis, read by a view."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.first, self.second, self.axis = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1), axis
        self.after = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [one(x).permute(0, 2, 3, 1) for one in (self.first, self.second)]
        found: torch.Tensor = self.after(torch.stack(rows, self.axis).view(1, 8, 8, 12))
        return found


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (8, 8, 12)), (4, (8, 8, 12)), (-2, (8, 8, 12)), (2, (8, 16, 6)), (-4, (16, 8, 6))]
)
def test_stacks_become_concatenations(axis: int, shape: tuple[int, ...]) -> None:
    model = _model(Stacked(axis))
    graph = program.float_graph(model)
    stack = next(node.name for node in graph.graph.nodes if operator(node) == "stack")
    assert moves.join_stacks(graph) == 1
    joins = [node for node in graph.graph.nodes if operator(node) in ("stack", "cat")]
    assert [(tuple(one.meta["val"].shape), one.name) for one in joins] == [((1, *shape), stack)]
    images = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    plain, joined = (
        program.float_program(model, style) for style in (Style("test"), Style("test", joined_stacks=True))
    )
    assert np.array_equal(program.run(plain, images), program.run(joined, images))


def test_stacks_of_batches_of_any_size() -> None:
    class Batches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack((x, -x)).sum(0).flatten(1)

    model = replace(_model(Batches()), dynamic=("batch",))
    made = program.float_program(model, Style("test", joined_stacks=True))
    images = torch.ones(3, 3, 8, 8)
    assert made.module(check_guards=False)(images).shape == (3, 192)
