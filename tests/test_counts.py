from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import counts
from edgekit.zoo.state_space import SelectiveScan


class Attention(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = image.flatten(2).transpose(1, 2).unsqueeze(1)  # [1, 1 head, tokens, channels]
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kc->nkhw", image, self.weight)


class OnTokens(nn.Module):
    """``layer`` on the image's pixels as tokens ``[1, H * W, C]``."""

    def __init__(self, layer: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.layer = layer
        self.times = times

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = image.flatten(2).transpose(1, 2)
        found = self.layer(*[tokens] * self.times)
        out: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return out


class Scanning(nn.Module):
    """A convolution, and a scan of G directions over the pixels, each with S states; two scans share the module."""

    def __init__(self, channels: int, directions: int, states: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.scan = SelectiveScan()
        self.decay = nn.Parameter(-torch.ones(directions, channels, states))
        self.skip = nn.Parameter(torch.ones(directions, channels))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        groups, _, states = self.decay.shape
        u = self.conv(image).flatten(2).transpose(1, 2).unsqueeze(1).expand(-1, groups, -1, -1)
        coefficients = u.new_ones(u.shape[0], groups, u.shape[2], states)
        once = self.scan(u, torch.full_like(u, 0.1), self.decay, coefficients, coefficients, self.skip)
        twice: torch.Tensor = self.scan(
            u=once, dt=u.abs(), A=self.decay, B=coefficients, C=coefficients, skip=self.skip[None][0]
        )
        return twice.sum((1, 2))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 8 * 3 * 9 * 16 * 16),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), 6 * 9 * 8 * 8),
        (nn.ConvTranspose2d(3, 8, 2, stride=2), 8 * 3 * 4 * 16 * 16),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10)), 3 * 16 * 16 * 10),
        (nn.Sequential(nn.Flatten(2), nn.Linear(256, 10, bias=False)), 3 * 256 * 10),
        (Einsum(), 5 * 3 * 16 * 16),
        (Attention(), 2 * 256 * 256 * 3),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), 0),
    ],
)
def test_macs_by_hand(network: nn.Module, expected: int) -> None:
    assert counts.macs(network, (3, 16, 16)) == expected


#: 16 tokens of 8 channels.
_IN, _OUT, _FEED = 16 * 8 * 24, 16 * 8 * 8, 2 * 16 * 8 * 12
_PRODUCTS = 2 * 16 * 16 * 8


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (OnTokens(nn.MultiheadAttention(8, 2, batch_first=True), times=3), _IN + _OUT + _PRODUCTS),
        (OnTokens(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)), _IN + _OUT + _PRODUCTS + _FEED),
        (OnTokens(nn.LSTM(8, 5, batch_first=True, bidirectional=True)), 2 * 16 * 4 * 5 * (8 + 5)),
        (OnTokens(nn.GRU(8, 5, batch_first=True)), 16 * 3 * 5 * (8 + 5)),
        (OnTokens(nn.Bilinear(8, 8, 5), times=2), 16 * 5 * (8 * 8 + 8)),
    ],
)
def test_layers_whose_fused_form_the_counter_does_not_know(network: nn.Module, expected: int) -> None:
    fused = torch.backends.mha.get_fastpath_enabled()
    assert counts.macs(network, (8, 4, 4)) == expected
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_vector_products() -> None:
    class Vectors(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            matrix = image[0, 0]  # [4, 6]
            vector, row = matrix[0], matrix[:, 0]
            return matrix @ vector + torch.addmv(row, matrix, vector) + row @ row

    assert counts.macs(Vectors(), (1, 4, 6)) == 4 * 6 + 4 * 6 + 4


def test_volumes() -> None:
    network = nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.ConvTranspose3d(4, 2, 2, stride=2))
    assert counts.macs(network, (2, 4, 6, 8)) == (4 * 2 * 27 + 4 * 2 * 8) * 4 * 6 * 8


def test_breakdown_tells_layers_from_other_products() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.einsum = Einsum()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            twice = self.conv(self.conv(image))
            return nn.functional.conv2d(self.einsum(twice), torch.ones(1, 5, 1, 1))

    found = counts.breakdown(Mixed(), (3, 16, 16))
    assert found == counts.Macs(2 * 9 * 256, 15 * 256 + 5 * 256, 0)
    assert found.total == counts.macs(Mixed(), (3, 16, 16))


def test_a_layer_inside_a_layer_counts_once() -> None:
    class Wrapped(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(3, 4, 1)
            self.inner = nn.Conv2d(3, 3, 1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(self.inner(image))

    assert counts.breakdown(Wrapped(), (3, 8, 8)) == counts.Macs((9 + 12) * 64, 0, 0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_scan_is_counted_by_its_recurrence(device: str) -> None:
    channels, directions, states, steps = 3, 4, 5, 6 * 7
    network = Scanning(channels, directions, states).to(device)
    found = counts.breakdown(network, (channels, 6, 7))
    each = directions * (9 * steps * channels * states + steps * channels)
    assert found == counts.Macs(channels * channels * steps, 0, 2 * each)


def test_scan_runs_as_before_afterwards() -> None:
    network = Scanning(3, 2, 4).eval()
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(image)
        counts.macs(network, (3, 4, 4))
        assert torch.equal(network(image), before)
    assert "forward" not in vars(network.scan)


def test_a_network_that_fails_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(9, 2)).train()
    with pytest.raises(RuntimeError):
        counts.macs(network, (3, 8, 8))
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_meta_device_gives_the_same() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Attention())
    assert counts.breakdown(network.to("meta"), (3, 6, 6)) == counts.Macs(4 * 27 * 16, 2 * 16 * 16 * 4, 0)


def test_leaves_mode_and_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    network[1].eval()
    before = network[0].running_var.clone()  # type: ignore[operator]
    counts.macs(network, (3, 8, 8))
    assert network.training
    assert not network[1].training
    assert all(one.requires_grad for one in network.parameters())
    assert torch.equal(network[0].running_var, before)  # type: ignore[arg-type]


def test_parameters_count_tied_weights_once() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    assert counts.parameters(network) == 16 + 4 + 4
