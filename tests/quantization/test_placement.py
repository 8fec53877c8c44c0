from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgekit.model import Model
from edgekit.quantization import kernels, placement, program
from edgekit.quantization.placement import Style
from edgekit.quantization.post_training import never_quantized
from edgekit.quantization.scheme import Scheme
from tests.networks import small_model


def test_layers_are_named_as_in_the_state_dict() -> None:
    graph = program.float_graph(small_model())
    names = [placement.layer_name(node) for node in placement.compute_nodes(graph)]
    assert names == ["stem", "wide", "narrow", "gated", "head"]
    kept = placement.compute_nodes(graph, ("stem", "head"))
    assert [placement.layer_name(node) for node in kept] == ["wide", "narrow", "gated"]


class Biased(nn.Module):
    """With a layer that makes a bias of constant positions."""

    positions: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positions", torch.linspace(-1, 1, 32)[:, None])
        self.mlp, self.head = nn.Linear(1, 32), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head((x + torch.relu(self.mlp(self.positions))).mean((1, 2)))
        return logits


def test_what_the_image_does_not_reach_is_no_layer_to_quantize() -> None:
    model = replace(small_model(), network=Biased().eval())
    graph = program.float_graph(model)
    assert [placement.layer_name(node) for node in placement.compute_nodes(graph)] == ["head"]
    assert never_quantized(model, graph) == ["mlp"]


def test_a_fused_relu_is_quantized_behind_the_relu_and_not_before() -> None:
    graph = program.float_graph(small_model())
    chosen = placement.tensors(graph, placement.PORTABLE)
    nodes = {node.name: node for node in graph.graph.nodes}
    stem = next(n for n in placement.compute_nodes(graph) if placement.layer_name(n) == "stem")
    relu = next(iter(stem.users))
    assert placement.operator(relu) == "relu"
    assert relu.name in chosen
    assert stem.name not in chosen
    assert all(nodes[name].op in ("call_function", "placeholder") for name in chosen)


def test_silu_input_is_quantized_only_where_kernels_need_it() -> None:
    graph = program.float_graph(small_model())
    gated = next(n for n in placement.compute_nodes(graph) if placement.layer_name(n) == "gated")
    assert gated.name in placement.tensors(graph, Style("every"))
    assert gated.name not in placement.tensors(graph, Style("fused", every_output=False))


def test_the_logits_stay_float_unless_the_style_says_otherwise() -> None:
    graph = program.float_graph(small_model())
    head = next(n for n in placement.compute_nodes(graph) if placement.layer_name(n) == "head")
    assert head.name not in placement.tensors(graph, placement.PORTABLE)
    assert head.name in placement.tensors(graph, placement.EVERYTHING)


def test_residual_sum_is_quantized_on_both_sides() -> None:
    graph = program.float_graph(small_model())
    chosen = placement.tensors(graph, placement.PORTABLE)
    add = next(n for n in graph.graph.nodes if placement.operator(n) == "add")
    assert add.name in chosen
    assert all(source.name in chosen for source in add.all_input_nodes)


def test_what_moves_values_keeps_its_root_s_range() -> None:
    import torch

    from edgekit.model import Model

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 30 * 30, 5)
    ).eval()
    graph = program.float_graph(Model("module", {}, 5, (3, 32, 32), "x:y", (), network))
    chosen = placement.tensors(graph, placement.PORTABLE)
    flat = next(n for n in graph.graph.nodes if placement.operator(n) in ("flatten", "view", "reshape"))
    assert chosen[flat.name] == flat.args[0].name


class Slices(nn.Module):
    """A 3-D convolution as two 2-D ones, as the zoo's networks for volumes are exported."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv3d(3, 4, (2, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = (nn.functional.conv2d(x, self.deep.weight[:, :, index]) for index in range(2))
        return one + two


def test_a_slice_of_a_weight_is_a_weight() -> None:
    graph = program.float_graph(Model("module", {}, 4, (3, 8, 8), "tests", (), Slices().eval()))
    layers = placement.compute_nodes(graph)
    assert [placement.layer_name(node) for node in layers] == ["deep", "deep"]
    assert [tuple(placement.weight_of(graph, node).shape) for node in layers] == [(4, 3, 3, 3)] * 2


class Joined(torch.nn.Module):
    """Two layers' results, channel by channel in turn, that no layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack((self.first(x), self.second(x)), -1).flatten(1)


def test_what_gets_one_more_axis_and_what_is_joined() -> None:
    graph = program.float_graph(replace(small_model(), network=Joined().eval()))
    sparing = placement.tensors(graph, placement.Style("test", every_output=False))
    assert {"conv2d", "conv2d_1"} <= set(sparing)
    assert "stack" not in sparing
    assert "stack" in placement.tensors(graph, placement.Style("test", joins=True))


def test_grouped_convolutions_stay_float_where_a_runtime_has_no_kernel_for_them() -> None:
    depthwise, grouped = nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 6, 3, groups=3)
    network = nn.Sequential(depthwise, nn.ReLU(), grouped, nn.ReLU(), nn.Conv2d(6, 5, 1), nn.AvgPool2d(28)).eval()
    graph = program.float_graph(Model("module", {}, 5, (3, 32, 32), "none:none", (), network))
    assert kernels.better_in_float(graph, placement.PORTABLE) == ()
    assert kernels.better_in_float(graph, Style("some", grouped=False)) == ("2",)
    assert kernels.better_in_float(graph, Style("some", most_taps=9)) == ()
    assert kernels.better_in_float(graph, Style("some", most_taps=8)) == ("0", "2")
    worthwhile = Style("some", most_taps=25, worthwhile_taps=8)
    assert kernels.better_in_float(graph, worthwhile) == ("0", "2")
    assert kernels.better_in_float(graph, worthwhile.as_trained()) == ()


def test_symmetric_or_unsigned_needs_no_zero_point_but_keeps_all_levels_of_what_is_never_negative() -> None:
    scheme = Scheme(activations="symmetric_or_unsigned")
    for span in ((-1.0, 3.0), (-2.0, 0.5)):
        scale, zero_point, *_ = program.activation_parameters(span, symmetric=scheme.symmetric(span))
        assert zero_point == 0
        assert scale == pytest.approx(max(-span[0], span[1]) / 127)
    span = (0.0, 3.0)
    scale, zero_point, *_ = program.activation_parameters(span, unsigned=True, symmetric=scheme.symmetric(span))
    assert zero_point == 0
    assert scale == pytest.approx(3.0 / 255)
