from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.factorization import candidates
from edgekit.model import Model
from edgekit.passes import PassError


class Padded(nn.Conv2d):
    """What timm's Conv2dSame is: a convolution that does more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, (1, 1, 1, 1)))


class Awkward(nn.Module):
    """Only 'good', 'point' and 'hidden' can be factorized; every other layer has a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.second_stem = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.good = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.point = nn.Conv2d(8, 8, 1)
        self.depthwise, self.grouped = nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 8, 1, groups=2)
        self.padded, self.transposed = Padded(8, 8, 3), nn.ConvTranspose2d(8, 8, 1)
        self.looked_at, self.inlined = nn.Linear(8, 8), nn.Linear(8, 8)
        self.hidden = nn.Linear(8, 16)
        self.tied, self.tied_too = nn.Linear(16, 16), nn.Linear(16, 16)
        self.tied_too.weight = self.tied.weight
        self.shared = nn.Linear(16, 16)
        self.alias = self.shared
        self.hooked, self.zero, self.idle = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.hooked.register_forward_hook(lambda module, inputs, output: output * 2)
        nn.init.zeros_(self.zero.weight)
        self.listed = nn.Linear(16, 16)
        self.plain_list = [self.listed]
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.point(self.good(self.stem(x) + self.second_stem(x)).relu()).relu()
        x = self.transposed(self.padded(self.grouped(self.depthwise(x)))).mean((2, 3))
        x = self.looked_at(x.to(self.looked_at.weight.dtype))
        x = self.hidden(functional.linear(x, self.inlined.weight)).relu()
        x = self.tied(x) + self.tied_too(x) + self.shared(x) + self.alias(x) + self.hooked(x) + self.zero(x)
        logits: torch.Tensor = self.head(self.plain_list[0](x))
        return logits


def awkward() -> Model:
    torch.manual_seed(0)
    return Model("module", {}, 2, (3, 8, 8), "tests:awkward", (), Awkward().eval())


def test_every_layer_is_a_candidate_or_has_a_reason() -> None:
    model = awkward()
    found, left = candidates.survey(model, ())
    assert [(one.name, one.method) for one in found] == [("good", "tucker2"), ("point", "svd"), ("hidden", "svd")]
    reasons = {
        "stem": "first layer",
        "second_stem": "first layer",
        "depthwise": "depthwise",
        "grouped": "2 groups",
        "padded": "what a Padded does is not a plain",
        "transposed": "transposed",
        "looked_at": "'Sequential' object has no attribute 'weight'",
        "inlined": "did not run as a layer",
        "tied": "its weight is tied to 'tied_too.weight'",
        "tied_too": "its weight is tied to 'tied.weight'",
        "shared": "the network uses it as 'alias' too",
        "hooked": "hooks",
        "zero": "all zero",
        "idle": "did not run",
        "listed": "reaches it under another name",
        "head": "classifier",
    }
    assert left.keys() == reasons.keys()
    assert {name: left[name] for name, part in reasons.items() if part not in left[name]} == {}
    assert not any(isinstance(part, nn.Sequential) for part in model.network.modules()), "the argument was changed"
    assert {name for name, part in model.network.named_modules() if part._forward_hooks} == {"hooked"}


def test_positions_are_counted_over_all_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.down = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 2, stride=2)
            self.tokens, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.down(self.again(self.again(self.first(x))))
            logits: torch.Tensor = self.head(self.tokens(x.flatten(2).mT).mean(1))
            return logits

    model = Model("module", {}, 2, (3, 8, 6), "tests:twice", (), Twice().eval())
    found, _ = candidates.survey(model, ())
    positions = {one.name: (one.positions_in, one.positions_out) for one in found}
    assert positions == {"again": (96, 96), "down": (48, 12), "tokens": (12, 12)}


def test_exclude_takes_layers_and_modules_that_hold_them() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
        nn.Conv2d(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()
    model = Model("module", {}, 2, (3, 8, 8), "tests:row", (), network)
    found, left = candidates.survey(model, ("1",))
    assert [one.name for one in found] == ["2"]
    assert left["1.0"] == left["1.1"] == "excluded by the recipe"
    with pytest.raises(PassError, match=r"'1\.2' is no layer of this network.*nearest: 1\.1, 1\.0"):
        candidates.survey(model, ("1.2",))
