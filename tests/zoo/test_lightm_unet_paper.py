from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.lightm_unet_paper import Decoder, LightMUNetPaper


@pytest.mark.parametrize(
    ("name", "parameters"), [("lightm_unet_paper", 2_457_705), ("lightm_unet_paper_3d", 2_461_755)]
)
def test_counts(name: str, parameters: int) -> None:
    network = zoo.build(name, {}, 2, 1, None)
    assert counts.parameters(network) == parameters
    assert classifier.names(network, 2) == ("head.1.conv",)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_shapes_at_every_level(dimensions: Literal[2, 3]) -> None:
    network = LightMUNetPaper(dimensions, 4, 2, 4, (1, 2), 1, 2).eval()
    size = (4, 8, 12)[-dimensions:]
    seen = []
    for part in (*network.encoders, network.bottleneck, *network.decoders):
        part.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert network(torch.randn(2, 2, *size)).shape == (2, 4, *size)
    half, quarter = (tuple(side // step for side in size) for step in (2, 4))
    assert seen == [(8, *half), (16, *quarter), (16, *quarter), (8, *half), (4, *size)]


def test_decoder_is_equation_4() -> None:
    torch.manual_seed(0)
    decoder, x, skip = Decoder(2, 8), torch.randn(1, 8, 4, 6), torch.randn(1, 8, 4, 6)
    torch.nn.init.normal_(decoder.skip_scale)
    deep, point = (decoder.get_parameter(f"conv.{index}.conv.weight") for index in (0, 1))
    p = F.conv2d(x + skip, decoder.reduce.weight)
    mixed = F.conv2d(F.conv2d(p, deep, padding=1, groups=4), point)
    wanted = F.interpolate(F.relu(mixed + decoder.skip_scale * p), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(decoder(x, skip), wanted)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_exported_program_computes_the_same(dimensions: Literal[2, 3]) -> None:
    network, image = (
        LightMUNetPaper(dimensions, 2, 1, 4, (1,), 0, 2).eval(),
        torch.randn(1, 1, *(2, 4, 4)[-dimensions:]),
    )
    with torch.no_grad():
        program = torch.export.export(network, (image,))
        torch.testing.assert_close(program.module()(image), network(image), rtol=1e-4, atol=1e-5)


def test_wrong_inputs_are_refused() -> None:
    network = LightMUNetPaper(3, 2, 1, 4, (1, 1), 0, 2)
    with pytest.raises(ValueError, match="6x8x8; every side must be a multiple of 4, the next such size is 8x8x8"):
        network(torch.zeros(1, 1, 6, 8, 8))
    with pytest.raises(ValueError, match=r"a 3-D network takes .* has 2-D images"):
        network(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"layers": [1, 0]}, "every encoder needs a layer"), ({"init_filters": 0}, "init_filters is 0")],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build("lightm_unet_paper", arguments, 2, 1, None)


def test_it_trains() -> None:
    network = LightMUNetPaper(2, 2, 1, 4, (1, 1), 1, 2)
    loss = F.cross_entropy(network(torch.randn(2, 1, 8, 8)), torch.randint(0, 2, (2, 8, 8)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
