from __future__ import annotations

import numpy as np
import torch

from edgekit.quantization import placement, program
from edgekit.quantization.biases import round_biases
from edgekit.quantization.scheme import Scheme
from tests.networks import small_model
from tests.quantization.test_training_program import quantized


def test_every_bias_is_a_whole_number_of_its_layer_s_units() -> None:
    model = quantized(small_model(), Scheme())
    assert model.quantization is not None
    ranges = program.stored_ranges(model.quantization)
    graph = program.float_graph(model)
    chosen = placement.tensors(graph, placement.PORTABLE)
    network, before = model.network, small_model().network
    for node in placement.compute_nodes(graph):
        scale, *_ = program.activation_parameters(ranges[chosen[str(node.args[0])]])
        unit = scale * program.weight_scales(placement.weight_of(graph, node))
        name = f"{placement.layer_name(node)}.bias"
        bias = network.get_parameter(name)
        steps = (bias / unit).detach()
        assert bool(((steps - steps.round()).abs() <= steps.abs() * 2.0**-22).all())
        assert bool(((bias - before.get_parameter(name)).abs() <= unit * 0.51).all())
    again = model.copy()
    round_biases(again)
    after = again.network.state_dict()
    assert all(torch.equal(after[name], one) for name, one in network.state_dict().items())


def test_a_dead_channel_gets_no_unit_that_its_bias_would_overflow() -> None:
    weight = torch.randn(4, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    weight[2] = 1e-9
    scales = program.weight_scales(weight)
    assert scales[2] == scales.max() / 4096
    np.testing.assert_allclose(scales[[0, 1, 3]], weight[[0, 1, 3]].abs().amax(dim=(1, 2, 3)) / 127)


def test_images_of_256_levels_do_not_fall_between_two_steps() -> None:
    pixels = np.arange(256) / 127.5 - 1.0
    scale, zero_point, _, _ = program.activation_parameters((-1.0, 1.0))
    steps = pixels / scale + zero_point
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 1e-3
    assert np.abs((np.round(steps) - zero_point) * scale - pixels).max() <= scale / 2
