from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.errors import InputError
from edgekit.zoo import classifier
from edgekit.zoo.lightm_unet import LightMUNet, ResidualMambaBlock, ResidualUpBlock, ResidualVisionMamba
from edgekit.zoo.state_space import SelectiveScan, selective_scan_reference
from tests.zoo import golden

#: A small input of each network, every side another.
SIZES: dict[int, tuple[int, ...]] = {2: (8, 12), 3: (4, 8, 12)}


def _network(dimensions: Literal[2, 3], in_channels: int = 2) -> LightMUNet:
    """Three levels, with weights of the size that training gives, so that every part shows in the output."""
    torch.manual_seed(0)
    network = LightMUNet(dimensions, 3, in_channels, 8, (1, 2, 1), 4).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("A_log"):
            continue
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            nn.init.normal_(parameter, 0.5, 0.3)
    return network


@pytest.mark.parametrize(
    ("name", "num_classes", "in_channels", "parameters"),
    [
        ("lightm_unet", 2, 1, 5_011_683),
        ("lightm_unet", 2, 3, 5_011_765),
        ("lightm_unet_3d", 3, 1, 5_015_766),
        ("lightm_unet_3d", 2, 1, 5_015_733),
    ],
)
def test_counts(name: str, num_classes: int, in_channels: int, parameters: int) -> None:
    network = zoo.build(name, {}, num_classes, in_channels, None)
    assert counts.parameters(network) == parameters
    assert len(network.state_dict()) == 362
    assert classifier.names(network, num_classes) == ("conv_final.2.1.conv",)


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "num_classes"), [("lightm_unet", 2), ("lightm_unet_3d", 3)])
def test_official_names(name: str, num_classes: int) -> None:
    network = zoo.build(name, {}, num_classes, 1, None)
    official = {"lightm_unet": "lightm_unet_2d"}.get(name, name)
    assert golden.entries_of(network) == golden.entries(official)


@pytest.mark.shared_data
def test_official_layer() -> None:
    held = golden.arrays("lightm_rvm_layer")
    layer = golden.loaded(ResidualVisionMamba(16, 24), held)
    with torch.no_grad():
        golden.assert_close(layer(held["x2d"]), held["y2d"])
        golden.assert_close(layer(held["x3d"]), held["y3d"])


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "block"), [("res_mamba", ResidualMambaBlock), ("res_up", ResidualUpBlock)])
def test_official_blocks(name: str, block: Any) -> None:
    held = golden.arrays("lightm_res_blocks")
    weights = {key.replace(f"{name}/", "w/"): one for key, one in held.items()}
    with torch.no_grad():
        golden.assert_close(golden.loaded(block(2, 16), weights)(held["x"]), held[f"y_{name}"])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_whole_network_from_its_weights(dimensions: Literal[2, 3], monkeypatch: pytest.MonkeyPatch) -> None:
    # In float64, where nothing but a difference in meaning shows; the scan that runs otherwise is float32.
    monkeypatch.setattr(SelectiveScan, "forward", lambda self, *inputs: selective_scan_reference(*inputs))
    network, image = _network(dimensions).double(), torch.randn(2, 2, *SIZES[dimensions]).double()
    with torch.no_grad():
        given = network(image)
        torch.testing.assert_close(given, _again(network, image), rtol=1e-9, atol=1e-11)
    assert given.std() > 0.01


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_are_those_of_monai(dimensions: Literal[2, 3]) -> None:
    """The official network takes its convolutions, norms and upsampling from MONAI's SegResNet."""
    pytest.importorskip("monai")
    from monai.networks.blocks.segresnet_block import get_conv_layer, get_upsample_layer
    from monai.networks.layers.utils import get_norm_layer

    network = _network(dimensions)
    x = torch.randn(2, 32, *SIZES[dimensions])
    ours = network.up_samples[0]
    theirs = nn.Sequential(get_conv_layer(dimensions, 32, 16, 1), get_upsample_layer(dimensions, 16))
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(theirs(x), ours(x))
    block: Any = network.up_layers[0][0]  # type: ignore[index]
    norm: nn.Module = get_norm_layer(("GROUP", {"num_groups": 8}), dimensions, 16)
    norm.load_state_dict(block.norm1.state_dict())
    torch.testing.assert_close(norm(x[:, :16]), block.norm1(x[:, :16]))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_exported_program_computes_the_same(dimensions: Literal[2, 3]) -> None:
    network, image = LightMUNet(dimensions, 2, 1, 8, (0, 0), 2).eval(), torch.randn(1, 1, *(2, 4, 4)[-dimensions:])
    with torch.no_grad():
        program = torch.export.export(network, (image,))
        torch.testing.assert_close(program.module()(image), network(image), rtol=1e-4, atol=1e-5)
    called = {str(node.target) for node in program.graph.nodes}
    assert not {name for name in called if "3d" in name}, "operators that LiteRT or Core ML do not have"


@pytest.mark.parametrize("dimensions", [2, 3])
def test_sizes_that_do_not_divide_are_refused(dimensions: Literal[2, 3]) -> None:
    network = LightMUNet(dimensions, 2, 1, 8, (0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"x60; every side must be a multiple of 8, the next such size is .*x64"):
        network(torch.zeros(1, 1, *(16,) * (dimensions - 1), 60))


def test_data_of_other_dimensions_or_channels_is_refused() -> None:
    flat, deep = LightMUNet(2, 2, 1, 8, (0, 0)), LightMUNet(3, 2, 1, 8, (0, 0))
    with pytest.raises(ValueError, match=r"a 3-D network takes \[N, C, D, H, W\].*has 2-D images"):
        deep(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"a 2-D network takes \[N, C, H, W\].*has 3-D volumes"):
        flat(torch.zeros(1, 1, 8, 8, 8))
    with pytest.raises(ValueError, match=r"built for 1 channels.*has 3"):
        flat(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init_filters": 12}, "init_filters is 12; it must be a multiple of 8"),
        ({"blocks_down": [1]}, r"blocks_down is \[1\]; give the blocks of two levels"),
        ({"widht": 3}, "widht"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build("lightm_unet", arguments, 2, 1, None)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_trains(dimensions: Literal[2, 3]) -> None:
    network = LightMUNet(dimensions, 2, 1, 8, (1, 1), 2)
    logits = network(torch.randn(2, 1, *(4,) * dimensions))
    loss = F.cross_entropy(logits, torch.randint(0, 2, (2, *(4,) * dimensions)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())


def _again(network: LightMUNet, image: Tensor) -> Tensor:
    """Its output from its weights by their names, with torch's own operators; only the Mamba layers are its own."""
    weights, dimensions = network.state_dict(), image.ndim - 2
    convolve = F.conv2d if dimensions == 2 else F.conv3d
    pool = F.max_pool2d if dimensions == 2 else F.max_pool3d
    mode = {2: "bilinear", 3: "trilinear"}[dimensions]

    def conv(name: str, x: Tensor) -> Tensor:
        weight, bias = weights[f"{name}.conv.weight"], weights.get(f"{name}.conv.bias")
        groups = x.shape[1] // weight.shape[1]
        return convolve(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    def separable(name: str, x: Tensor) -> Tensor:
        return conv(f"{name}.1", conv(f"{name}.0", x))

    def active(name: str, x: Tensor) -> Tensor:
        return F.relu(F.group_norm(x, 8, weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5))

    def rvm(name: str, x: Tensor) -> Tensor:
        def norm(tokens: Tensor) -> Tensor:
            gain, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
            return F.layer_norm(tokens, tokens.shape[-1:], gain, shift, 1e-5)

        size = x.shape[2:]
        tokens = x.movedim(1, -1).reshape(x.shape[0], int(np.prod(size)), x.shape[1])
        mamba: Any = network.get_submodule(f"{name}.mamba")
        mixed = norm(mamba(norm(tokens)) + weights[f"{name}.skip_scale"] * tokens)
        out = F.linear(mixed, weights[f"{name}.proj.weight"], weights[f"{name}.proj.bias"])
        return out.reshape(x.shape[0], *size, -1).movedim(-1, 1)

    def block(name: str, x: Tensor) -> Tensor:
        inner = rvm(f"{name}.conv1", active(f"{name}.norm1", x))
        return rvm(f"{name}.conv2", active(f"{name}.norm2", inner)) + x

    def up(index: int, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(conv(f"up_samples.{index}.0", x), scale_factor=2, mode=mode, align_corners=False) + skip
        name = f"up_layers.{index}.0"
        mixed = separable(f"{name}.conv", active(f"{name}.norm1", x)) + weights[f"{name}.skip_scale"] * x
        return active(f"{name}.norm2", mixed)

    first = block("down_layers.0.1", separable("convInit", image))
    second = pool(rvm("down_layers.1.0.0", first), 2)
    second = block("down_layers.1.2", block("down_layers.1.1", second))
    third = block("down_layers.2.1", pool(rvm("down_layers.2.0.0", second), 2))
    x = up(1, up(0, third, second), first)
    return separable("conv_final.2", active("conv_final.0", x))
