from __future__ import annotations

import copy

import torch
from torch import nn

from edgekit.training.layout import arranged, channels_last


def test_gradients_of_strided_1x1_convolutions_on_few_channels() -> None:
    """oneDNN's own channels-last gradient of such a layer is wrong, or crashes the process."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 48, 1, stride=2, bias=False), nn.ReLU(), nn.Conv2d(48, 8, 3, stride=2))
    network = channels_last(copy.deepcopy(plain))
    image = torch.randn(4, 3, 96, 96)
    for one in (plain, network):
        one(image).square().sum().backward()
    for a, b in zip(plain.parameters(), network.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-2)


def test_other_layers_keep_their_stride() -> None:
    network = channels_last(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(32, 8, 1, stride=2)))
    assert [layer.stride for layer in network.modules() if isinstance(layer, nn.Conv2d)] == [(2, 2), (2, 2)]


def test_groups_are_normalized_as_in_float64() -> None:
    """Where an image is flat PyTorch's own channels-last variance is off by orders of magnitude."""
    torch.manual_seed(0)
    norm, images = nn.GroupNorm(16, 32), torch.full((2, 32, 128, 128), 3.1)
    images[:, :, 40:80, 40:80] += 0.1 * torch.rand(2, 32, 40, 40)
    exact = copy.deepcopy(norm).double()
    head = nn.Conv2d(32, 4, 1)
    wanted = copy.deepcopy(head).double()(exact(images.double()))
    found = channels_last(nn.Sequential(norm, head))(arranged(images))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
    for one in (found, wanted):
        one.square().mean().backward()
    for a, b in zip(norm.parameters(), exact.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-3, atol=1e-3)


def test_volumes_stay_as_they_are() -> None:
    first, second = nn.Conv3d(1, 4, 3), nn.Conv3d(4, 4, 1, stride=2)
    network = nn.Sequential(first, second)
    assert channels_last(network) is network
    assert first.weight.is_contiguous()
    assert second.stride == (2, 2, 2)
    assert arranged(torch.zeros(2, 1, 4, 4, 4)).is_contiguous()
    assert arranged(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
