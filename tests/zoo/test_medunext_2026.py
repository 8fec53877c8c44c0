from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.mednext_2026 import MedBlock

SMALL: dict[str, Any] = {"img_size": [16, 32], "width": 4, "depth": 1}


def test_counts() -> None:
    with torch.device("meta"):
        network = zoo.build("medunext_2026", {}, 4, 3, None).eval()
    assert counts.parameters(network) == 39_549_448
    products = 2 * (4 * 512 * 28**3 + 1024 * 14**3)
    macs = counts.macs(network, (3, 224, 224))
    assert round(macs / 1e9, 2) == 39.30
    assert round((macs - products) / 1e9, 2) == 39.20
    assert sum(isinstance(part, MedBlock) for part in network.modules()) == 5
    assert classifier.names(network, 4) == ("head",)


def test_shapes_at_every_level() -> None:
    network = zoo.build("medunext_2026", SMALL, 3, 1, None).eval()
    seen = []
    encoders, decoders = (list(network.get_submodule(name).children()) for name in ("encoders", "decoders"))
    for part in (*encoders, network.get_submodule("bottom"), *decoders):
        part.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert network(torch.randn(2, 1, 16, 32)).shape == (2, 3, 16, 32)
    down = [(4 * 2**level, 16 // 2**level, 32 // 2**level) for level in range(5)]
    assert seen == [*down, *down[-2::-1]]


def test_exported_program_computes_the_same() -> None:
    network, image = zoo.build("medunext_2026", SMALL, 3, 1, None).eval(), torch.randn(1, 1, 16, 32)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), network(image))


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 3, 16, 32), (1, 1, 8, 16, 32)])
def test_other_inputs_are_refused(shape: tuple[int, ...]) -> None:
    network = zoo.build("medunext_2026", SMALL, 2, 1, None)
    with pytest.raises(ValueError, match=r"takes \[N, 1, 16, 32\] only.*build it with img_size"):
        network(torch.zeros(shape))


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"img_size is 100; .* in multiples of 16"):
        zoo.build("medunext_2026", {"img_size": 100}, 2, 1, None)


def test_it_trains() -> None:
    network = zoo.build("medunext_2026", SMALL, 2, 1, None)
    loss = F.cross_entropy(network(torch.randn(2, 1, 16, 32)), torch.randint(0, 2, (2, 16, 32)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
