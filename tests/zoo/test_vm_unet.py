from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.patches import DropPath
from edgekit.zoo.vm_unet import PatchExpanding, VMUNet
from tests.zoo import golden


def _network(num_classes: int, in_channels: int = 3) -> VMUNet:
    torch.manual_seed(0)
    network = VMUNet(num_classes, in_channels, (1, 1, 1, 1), (1, 1, 1, 1), 0.2).eval()
    for name, parameter in network.named_parameters():
        if "norm" in name or "ln_1" in name:
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.2)
    return network


def test_counts() -> None:
    with torch.device("meta"):
        official = zoo.build("vm_unet", {}, 1, 3, None)
        deep = zoo.build("vm_unet", {"depths": [2, 2, 9, 2], "decoder_depths": [2, 9, 2, 2]}, 1, 3, None)
        nine = zoo.build("vm_unet", {}, 9, 3, None)
    assert counts.parameters(official) == 27_427_561
    assert counts.parameters(deep) == 44_273_833
    assert counts.parameters(nine) == 27_427_561 + 8 * 25
    assert counts.breakdown(official, (3, 256, 256)).linear_and_convolution == 4_067_819_520


@pytest.mark.shared_data
def test_official_names() -> None:
    with torch.device("meta"):
        networks = [zoo.build("vm_unet", {}, *shape, None) for shape in ((1, 3), (2, 3), (1, 1))]
    for network in networks:
        assert golden.entries_of(network) == golden.entries("vmunet_2222_2221")


def test_patch_expanding_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    expanding, x = PatchExpanding(8, 2), torch.randn(2, 3, 2, 8)
    with torch.no_grad():
        values = F.linear(x, expanding.expand.weight)
        wanted = torch.zeros(2, 6, 4, 4)
        for row, column in np.ndindex(6, 4):
            place = (row % 2) * 2 + column % 2
            wanted[:, row, column] = values[:, row // 2, column // 2, 4 * place : 4 * place + 4]
        torch.testing.assert_close(expanding(x), F.layer_norm(wanted, (4,)))


def test_whole_network_from_its_weights() -> None:
    network, image = _network(1), torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), _again(network, image), rtol=1e-4, atol=1e-5)


def test_two_classes_are_the_same_weights() -> None:
    one, two, image = _network(1), _network(2), torch.randn(2, 3, 32, 32)
    two.load_state_dict(one.state_dict())
    with torch.no_grad():
        z, logits = one(image), two(image)
    assert logits.shape == (2, 2, 32, 32)
    assert not logits[:, 0].any()
    assert torch.equal(logits[:, 1:], z)
    torch.testing.assert_close(logits.softmax(1)[:, 1:], torch.sigmoid(z))
    assert _network(4)(image).shape == (2, 4, 32, 32)
    assert classifier.names(two, 2) == ("final_conv",)


def test_one_channel_is_repeated() -> None:
    one, three, image = _network(1, 1), _network(1, 3), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        wanted = three(image.repeat(1, 3, 1, 1))
        assert torch.equal(one(image), wanted)
        assert torch.equal(three(image), wanted)


def test_drop_rates_are_greatest_in_the_middle() -> None:
    network = zoo.build("vm_unet", {}, 1, 3, None)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([*np.linspace(0, 0.2, 8), *np.linspace(0.2, 0, 7)])


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (16, 16)])
def test_sizes_that_do_not_divide_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}; every side must be a multiple of 32"):
        _network(1)(torch.zeros(1, 3, *size))


def test_volumes_and_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="a 2-D network takes"):
        _network(1)(torch.zeros(1, 3, 32, 32, 32))
    with pytest.raises(ValueError, match="built for 3 channels"):
        _network(1)(torch.zeros(1, 4, 32, 32))


def test_wrong_depths_are_refused() -> None:
    with pytest.raises(InputError, match=r"decoder_depths is \[2, 2\]; it needs four numbers"):
        zoo.build("vm_unet", {"decoder_depths": [2, 2]}, 1, 3, None)


def _again(network: VMUNet, image: Tensor) -> Tensor:
    """Its logits from its weights by their names; only the SS2D layers are taken from it."""
    weights: Mapping[str, Tensor] = network.state_dict()

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def block(name: str, x: Tensor) -> Tensor:
        found: Tensor = network.get_submodule(f"{name}.self_attention")(norm(f"{name}.ln_1", x))
        return x + found

    def expand(name: str, x: Tensor, scale: int) -> Tensor:
        n, h, w, c = x.shape
        cut = F.linear(x, weights[f"{name}.expand.weight"]).view(n, h, w, scale, scale, c // scale)
        return norm(f"{name}.norm", cut.permute(0, 1, 3, 2, 4, 5).reshape(n, h * scale, w * scale, c // scale))

    x = F.conv2d(image, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=4)
    x = norm("patch_embed.norm", x.permute(0, 2, 3, 1))
    stages = []
    for index in range(4):
        stages.append(x)
        x = block(f"layers.{index}.blocks.0", x)
        if index < 3:
            n, h, w, c = x.shape
            squares = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).reshape(n, h // 2, w // 2, 4 * c)
            name = f"layers.{index}.downsample"
            x = F.linear(norm(f"{name}.norm", squares), weights[f"{name}.reduction.weight"])
    x = block("layers_up.0.blocks.0", x)
    for index in (1, 2, 3):
        x = expand(f"layers_up.{index}.upsample", x + stages[4 - index], 2)
        x = block(f"layers_up.{index}.blocks.0", x)
    x = expand("final_up", x, 4).permute(0, 3, 1, 2)
    return F.conv2d(x, weights["final_conv.weight"], weights["final_conv.bias"])
