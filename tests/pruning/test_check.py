from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgekit.model import Model
from edgekit.passes import Context, PassError, Prune
from edgekit.pruning.check import difference, unsafe
from edgekit.pruning.groups import Group, find
from edgekit.pruning.removal import remove
from tests.pruning import nets

ALONE = frozenset({"head"})


def groups_of(model: Model) -> list[Group]:
    return find(model.network, model.input_size, ALONE)[0]


@pytest.mark.parametrize("name", nets.SAFE)
def test_removed_channels_are_those_that_nothing_reads(name: str, prepared_none: Context) -> None:
    model = nets.model(nets.SAFE[name]())
    assert unsafe(model.network, groups_of(model), nets.SIZE) == {}
    outcome = Prune(ratio=0.5, keep_first=False, round_to=4).apply(model, prepared_none)
    assert outcome.changes["left"] == {}
    assert outcome.changes["steps"][0]["largest_difference_to_masked"] < 1e-12
    halved = outcome.changes["channels"]
    assert {old / new for old, new in halved.values()} == {2.0}
    assert len(halved) == sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.network.modules())


@pytest.mark.parametrize("name", ["residual", "depthwise", "grouped"])
def test_against_zeroed_activations(name: str, prepared_none: Context) -> None:
    """The same claim without ``check``: activations of the removed channels are zeroed by a hook."""
    model = nets.model(nets.SAFE[name]())
    wide, others = {
        "residual": ("one", ("up", "middle.two")),
        "depthwise": ("deep", ("up", "middle.narrow")),
        "grouped": ("1", ("up", "middle.0", "middle.2")),
    }[name]
    config = Prune(ratio=0.5, round_to=4, exclude=others)
    pruned = config.apply(model, prepared_none).model.network
    activation = model.network.get_submodule(f"middle.{wide}.2")
    whole = model.network.get_parameter(f"middle.{wide}.1.bias")
    left = pruned.get_parameter(f"middle.{wide}.1.bias")
    kept = torch.isin(whole, left)  # the biases are all different
    assert int(kept.sum()) == len(left) == len(whole) // 2

    def mask(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output * kept[:, None, None]

    handle = activation.register_forward_hook(mask)
    with torch.no_grad():
        torch.testing.assert_close(pruned(nets.images()), model.network(nets.images()))
    handle.remove()


def test_mixing_is_seen_and_left_alone(prepared_none: Context) -> None:
    for middle, word in ((nets.ChannelSoftmax(), "mixed"), (nets.FixedShape(), "fails: RuntimeError")):
        outcome = Prune(ratio=0.5, round_to=4).apply(nets.model(middle), prepared_none)
        assert [reason for reason in outcome.changes["left"].values() if word in reason]
        assert "up.0" not in outcome.changes["left"]
        assert outcome.changes["channels"]["up.0"] == [32, 16]


def test_split_halves_stay_equal(prepared_none: Context) -> None:
    model = nets.model(nets.Split())
    outcome = Prune(ratio=0.5, round_to=4).apply(model, prepared_none)
    network = outcome.model.network
    assert network(nets.images()).shape == (2, nets.CLASSES)
    assert outcome.changes["channels"].get("middle.both") in (None, [64, 32])


def test_a_wrong_match_is_found() -> None:
    model = nets.model(nets.Residual())
    groups = groups_of(model)
    inner = next(g for g in groups if g.size == 24)
    shifted = tuple(replace(m, units=(*m.units[1:], m.units[0])) if m.side == "in" else m for m in inner.members)
    wrong = replace(inner, members=shifted)
    removed = {inner.name: [0, 2, 5]}
    pruned = copy.deepcopy(model.network)
    remove(pruned, [wrong], removed)
    found, tolerance = difference(model.network, pruned, [inner], removed, nets.SIZE)
    assert found > 1e3 * tolerance


def test_wrong_matches_stop_the_pass(prepared_none: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.pruning.check.unsafe", lambda *anything: {})
    with pytest.raises(PassError, match=r"pruned network is wrong: RuntimeError.*name the layers.*'exclude'"):
        Prune(ratio=0.5, round_to=4).apply(nets.model(nets.FixedShape()), prepared_none)


def test_untrained_constants_hide_nothing(prepared_none: Context) -> None:
    """A gate of zeros makes the middle invisible; the check must see through it."""

    class Hidden(nets.ChannelSoftmax):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(32, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.scale * super().forward(x)

    model = nets.model(Hidden())
    reasons = unsafe(model.network, groups_of(model), nets.SIZE)
    assert any("mixed" in reason for reason in reasons.values())
