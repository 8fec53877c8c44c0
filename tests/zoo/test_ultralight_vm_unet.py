from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit import counts, zoo
from edgekit.zoo import classifier
from edgekit.zoo.ultralight_vm_unet import ParallelMamba, UltraLightVMUNet
from tests.zoo import golden


def _network(num_classes: int, in_channels: int = 3) -> UltraLightVMUNet:
    """With weights of the size that training gives, so that every part shows in the output."""
    torch.manual_seed(0)
    network = UltraLightVMUNet(num_classes, in_channels).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and not name.endswith("A_log"):
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif not name.endswith("A_log"):
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    return network


def test_counts() -> None:
    network = zoo.build("ultralight_vm_unet", {}, 1, 3, None)
    assert counts.parameters(network) == 49_457
    assert len(network.state_dict()) == 129
    assert counts.parameters(zoo.build("ultralight_vm_unet", {}, 2, 3, None)) == 49_457
    assert counts.parameters(zoo.build("ultralight_vm_unet", {}, 3, 3, None)) == 49_457 + 2 * 9


@pytest.mark.shared_data
def test_official_names() -> None:
    for num_classes in (1, 2):
        network = zoo.build("ultralight_vm_unet", {}, num_classes, 3, None)
        assert golden.entries_of(network) == golden.entries("ultralight_vm_unet")


@pytest.mark.shared_data
def test_official_layer() -> None:
    held = golden.arrays("ultralight_pvm_layer")
    layer = golden.loaded(ParallelMamba(24, 32), held)
    with torch.no_grad():
        golden.assert_close(layer(held["x"]), held["y"])


def test_whole_network_from_its_weights() -> None:
    network, image = _network(1), torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        given = network(image)
        torch.testing.assert_close(given, _again(network, image), rtol=1e-4, atol=1e-5)
    assert given.std() > 0.01


def test_classes() -> None:
    one, two, image = _network(1), _network(2), torch.randn(2, 3, 32, 32)
    two.load_state_dict(one.state_dict())
    with torch.no_grad():
        probability, logits = one(image), two(image)
    assert probability.shape == (2, 1, 32, 32)
    assert probability.min() > 0
    assert probability.max() < 1
    assert not logits[:, 0].any()
    torch.testing.assert_close(logits.softmax(1)[:, 1:], probability)
    assert _network(5)(image).shape == (2, 5, 32, 32)
    assert classifier.names(two, 2) == ("final",)


def test_the_official_start_overwrites_that_of_mamba() -> None:
    network = zoo.build("ultralight_vm_unet", {}, 1, 1, None)
    for name, parameter in network.named_parameters():
        if name.endswith("dt_proj.bias"):
            assert not parameter.any()
        if name.endswith("dt_proj.weight"):
            assert 0 < parameter.std() < 0.05


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (150, 200)])
def test_sizes_that_do_not_divide_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}; every side must be a multiple of 32"):
        _network(1)(torch.zeros(1, 3, *size))


def test_volumes_and_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="a 2-D network takes"):
        _network(1)(torch.zeros(1, 3, 32, 32, 32))
    with pytest.raises(ValueError, match="built for 3 channels"):
        _network(1)(torch.zeros(1, 4, 32, 32))


def test_it_trains() -> None:
    network = zoo.build("ultralight_vm_unet", {}, 2, 1, None)
    logits = network(torch.randn(2, 1, 32, 32))
    loss = F.cross_entropy(logits, torch.randint(0, 2, (2, 32, 32)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())


def _again(network: UltraLightVMUNet, image: Tensor) -> Tensor:
    """Its output from its weights by their names, one quarter at a time; only the Mamba layers are its own."""
    weights = network.state_dict()

    def conv(name: str, x: Tensor, padding: int = 1, dilation: int = 1) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation)

    def group(name: str, x: Tensor) -> Tensor:
        return F.group_norm(x, 4, weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def scan(name: str, x: Tensor) -> Tensor:
        def norm(tokens: Tensor) -> Tensor:
            gain, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
            return F.layer_norm(tokens, tokens.shape[-1:], gain, shift, 1e-5)

        n, c, h, w = x.shape
        tokens = norm(x.permute(0, 2, 3, 1).reshape(n, h * w, c))
        mamba, skip = network.get_submodule(f"{name}.mamba"), weights[f"{name}.skip_scale"]
        quarters = [tokens[..., start : start + c // 4] for start in range(0, c, c // 4)]
        mixed = norm(torch.cat([mamba(one) + skip * one for one in quarters], -1))
        out = F.linear(mixed, weights[f"{name}.proj.weight"], weights[f"{name}.proj.bias"])
        return out.view(n, h, w, -1).permute(0, 3, 1, 2)

    def double(x: Tensor) -> Tensor:
        return F.interpolate(x, (2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)

    x, maps = image, []
    for index in range(1, 6):
        name = f"encoder{index}.0"
        x = group(f"ebn{index}", conv(name, x) if index <= 3 else scan(name, x))
        x = F.gelu(F.max_pool2d(x, 2))
        maps.append(x)
    residuals, sums = [], []
    for one in maps:
        seen = torch.stack((one.mean(1), one.max(1).values), 1)
        residuals.append(torch.sigmoid(conv("scab.satt.shared_conv2d.0", seen, 9, 3)) * one)
        sums.append(one + residuals[-1])
    means = torch.cat([F.adaptive_avg_pool2d(one, 1) for one in sums], 1).flatten(1)
    means = F.conv1d(means[:, None], weights["scab.catt.get_all_att.weight"], padding=1)
    bridged = []
    for index, (one, more) in enumerate(zip(sums, residuals, strict=True), start=1):
        name = f"scab.catt.att{index}"
        gain = torch.sigmoid(F.linear(means, weights[f"{name}.weight"], weights[f"{name}.bias"]))
        bridged.append(gain.transpose(1, 2)[..., None] * one + more)
    x = F.gelu(scan("encoder6.0", x))
    x = F.gelu(group("dbn1", scan("decoder1.0", x))) + bridged[4]
    x = F.gelu(double(group("dbn2", scan("decoder2.0", x)))) + bridged[3]
    x = F.gelu(double(group("dbn3", scan("decoder3.0", x)))) + bridged[2]
    x = F.gelu(double(group("dbn4", conv("decoder4.0", x)))) + bridged[1]
    x = F.gelu(double(group("dbn5", conv("decoder5.0", x)))) + bridged[0]
    return torch.sigmoid(double(conv("final", x, 0)))
