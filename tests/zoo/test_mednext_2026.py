from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.mednext_2026 import LinearAttentionFFN, MedBlock, SmoothFFN, SpatialEncoding

SMALL: dict[str, Any] = {"img_size": [32, 64], "width": 8, "depths": [1, 1, 1, 1]}


def test_counts_of_table_2() -> None:
    with torch.device("meta"):
        network = zoo.build("mednext_2026", {}, 2, 3, None).eval()
    assert counts.parameters(network) == 10_727_542
    products = sum(2 * 2 * c * h**3 for c, h in zip((64, 128, 256, 512), (56, 28, 14, 7), strict=True))
    macs = counts.macs(network, (3, 224, 224))
    assert macs == 1_948_485_632
    assert round((macs - products) / 1e9, 3) == 1.889
    assert classifier.names(network, 2) == ("head",)


def test_counts_of_the_modules() -> None:
    c, size = 8, (4, 6)
    assert counts.parameters(LinearAttentionFFN(c, bias=False)) == 3 * c**2
    assert counts.parameters(SpatialEncoding(c, size, bias=False)) == 8 * c**2 + 20 * c + 4**2 + 6**2 + 4 * c
    assert counts.parameters(SmoothFFN(c, bias=False)) == 2 * c**2 + 9 * c + c


def test_attention_ffn_is_equations_8_to_10() -> None:
    torch.manual_seed(0)
    module, x = LinearAttentionFFN(6, bias=False), torch.randn(2, 6, 3, 5)
    q, k, v = (one.weight[:, :, 0, 0].T for one in (module.query, module.key, module.value))
    tokens = x.flatten(2).transpose(1, 2)
    wanted = ((tokens @ q).softmax(-1) * (tokens @ k).softmax(-2)) @ v
    torch.testing.assert_close(module(x).flatten(2).transpose(1, 2), wanted)


def test_spatial_encoding_is_equations_11_to_14() -> None:
    torch.manual_seed(0)
    module, x = SpatialEncoding(4, (3, 5), bias=False), torch.randn(2, 4, 3, 5)
    f = F.conv2d(x, module.query.weight)
    branches = [module.near(f), module.far(f)]
    rows = torch.einsum("nchw,vw->nchv", f, module.all.row.weight)
    columns = torch.einsum("nchw,gh->ncgw", f, module.all.column.weight)
    branches.append(F.conv2d(torch.cat((rows, columns), 1), module.all.fuse.weight))
    attention = F.conv2d(torch.cat(branches, 1), module.aggregate.weight)
    wanted = F.conv2d(attention * F.conv2d(x, module.key.weight), module.value.weight)
    torch.testing.assert_close(module(x), wanted)


def test_every_pixel_of_a_row_and_column_is_seen() -> None:
    block, x = MedBlock(4, (12, 12)).eval(), torch.randn(1, 4, 12, 12)
    changed = x.clone()
    changed[0, :, 11, 0] += 1.0
    with torch.no_grad():
        moved = (block.encode(changed) - block.encode(x)).abs().amax(1)[0] > 0
    assert moved[11].all()
    assert moved[:, 0].all()
    assert not moved[0, 11]


def test_exported_program_computes_the_same() -> None:
    network, image = zoo.build("mednext_2026", SMALL, 3, 1, None).eval(), torch.randn(1, 1, 32, 64)
    with torch.no_grad():
        given = network(image)
        torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), given)
    assert given.shape == (1, 3)


@pytest.mark.parametrize("shape", [(1, 1, 64, 32), (1, 1, 64, 64), (1, 3, 32, 64), (1, 1, 8, 32, 64)])
def test_other_inputs_are_refused(shape: tuple[int, ...]) -> None:
    network = zoo.build("mednext_2026", SMALL, 2, 1, None)
    with pytest.raises(ValueError, match=r"takes \[N, 1, 32, 64\] only.*build it with img_size"):
        network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"img_size": 200}, "img_size is 200; give the side of the image, or .* in multiples of 32"),
        ({"img_size": [32, 32, 32]}, r"img_size is \[32, 32, 32\]"),
        ({"depths": [2, 2]}, r"depths is \[2, 2\]; give the MED blocks"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build("mednext_2026", arguments, 2, 3, None)


def test_it_trains() -> None:
    network = zoo.build("mednext_2026", SMALL, 2, 1, None)
    loss = F.cross_entropy(network(torch.randn(2, 1, 32, 64)), torch.tensor([0, 1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not [one for one in network.modules() if isinstance(one, nn.Dropout)]
