from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.errors import InputError
from edgekit.quantization import calibration, placement, program
from tests.networks import images, small_model


def _spans() -> dict[str, tuple[float, float]]:
    graph = program.float_graph(small_model())
    return calibration.ranges(graph, [one[None] for one in images()], lambda fraction, text: None)


@pytest.mark.parametrize("span", [(0.0, 6.0), (-3.0, 5.0), (-2.0, -1.0), (1.0, 4.0), (0.0, 0.0)])
@pytest.mark.parametrize("unsigned", [False, True])
def test_zero_is_exact_and_the_range_is_covered(span: tuple[float, float], unsigned: bool) -> None:
    scale, zero_point, least, greatest = program.activation_parameters(span, unsigned)
    assert (least, greatest) == ((0, 255) if unsigned else (-128, 127))
    assert least <= zero_point <= greatest
    assert (least - zero_point) * scale <= min(span[0], 0) + scale
    assert (greatest - zero_point) * scale >= max(span[1], 0) - scale


def test_a_range_below_zero_has_a_zero_point_that_fits() -> None:
    # The division of the range by its 255 steps may give a little more than 255, as for the first of these.
    for low in (0.014264371246099472, *np.random.default_rng(0).lognormal(0, 2, 2000).tolist()):
        _, zero_point, _, greatest = program.activation_parameters((-low, 0.0))
        assert zero_point == greatest


@pytest.mark.parametrize("span", [(-1.0, 1e-30), (-1e-30, 1.0), (-1e-40, 1e-30)])
def test_a_side_next_to_nothing_still_gets_a_step(span: tuple[float, float]) -> None:
    scale, zero_point, least, greatest = program.activation_parameters(span)
    assert least + (span[0] < 0) <= zero_point <= greatest - (span[1] > 0)
    assert scale >= max(-span[0], span[1]) / 254 * (1 - 1e-9)


def test_symmetric_parameters_have_zero_point_zero() -> None:
    scale, zero_point, _, _ = program.activation_parameters((-3.0, 5.0), symmetric=True)
    assert zero_point == 0
    assert scale == pytest.approx(5 / 127)


def test_weights_lose_at_most_half_a_step_a_channel() -> None:
    weight = (
        torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 1, 8)[:, None, None, None]
    )
    scales = program.weight_scales(weight)
    assert scales.shape == (8,)
    shape = (-1, 1, 1, 1)
    restored = (weight / scales.view(shape)).round().clamp(-127, 127) * scales.view(shape)
    assert bool(((restored - weight).abs() <= scales.view(shape) / 2 + 1e-7).all())


@pytest.mark.parametrize("fold", [True, False])
def test_the_quantized_program_stays_close_to_the_float_one(fold: bool) -> None:
    model = small_model()
    quantization = {"ranges": {k: list(v) for k, v in _spans().items()}, "keep_float": []}
    quantized = replace(model, quantization=quantization)
    inputs = images().numpy()
    made = program.quantized_program(quantized, placement.Style("test", fold_weights=fold))
    with torch.no_grad():
        before = model.network(torch.from_numpy(inputs)).numpy()
    after = program.run(made, inputs)
    assert not np.array_equal(before, after), "nothing was quantized"
    assert np.abs(before - after).max() < 0.1 * before.std()


def test_ranges_of_another_network_are_refused() -> None:
    model = replace(small_model(), quantization={"ranges": {}, "keep_float": []})
    with pytest.raises(InputError, match="no activation range"):
        program.quantized_program(model, placement.PORTABLE)
    with pytest.raises(InputError, match="add a 'quantize' pass"):
        program.quantized_program(small_model(), placement.PORTABLE)
