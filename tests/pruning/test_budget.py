from __future__ import annotations

import re

import pytest
from torch import nn

from edgekit import counts
from edgekit.passes import PassError
from edgekit.pruning import budget
from edgekit.pruning.allocation import Rules, Scope
from edgekit.pruning.budget import Candidates
from edgekit.pruning.groups import find
from edgekit.pruning.importance import Scorer
from tests.pruning import nets


def candidates(scope: Scope = "local", max_ratio: float = 0.9, round_to: int = 4) -> Candidates:
    model = nets.model(nets.Residual())
    groups, _ = find(model.network, nets.SIZE, frozenset({"head"}))
    scorer = Scorer("l2", model.network)
    scores = {group.name: score for group in groups if (score := scorer.units(group)) is not None}
    return Candidates(model.network, nets.SIZE, groups, scores, Rules(scope, round_to, max_ratio))


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_at_or_just_below_the_macs(scope: Scope, fraction: float) -> None:
    some = candidates(scope)
    whole = counts.macs(some.network, nets.SIZE)
    kept = budget.meet_macs(some, int(whole * fraction))
    assert some.macs(kept) <= fraction * whole
    assert all(number % 4 == 0 for number in kept.values())
    if scope == "local":  # one step more in the narrowest place would be too much, or undo the even share
        assert some.macs(kept) > (fraction - 0.12) * whole


def test_macs_out_of_reach() -> None:
    some = candidates(max_ratio=0.5)
    whole, least = counts.macs(some.network, nets.SIZE), some.macs(some.at(1.0))
    with pytest.raises(PassError, match=re.escape(f"strongest pruning allowed keeps {least / whole:.3f}")):
        budget.meet_macs(some, int(0.1 * whole))


def test_latency_is_searched_by_measuring() -> None:
    some = candidates()
    whole = counts.macs(some.network, nets.SIZE)
    measured: list[float] = []

    def measure(network: nn.Module) -> float:
        # A machine whose time has a fixed part that no pruning removes.
        measured.append(0.4 + 0.6 * counts.macs(network, nets.SIZE) / whole)
        return measured[-1]

    kept, history = budget.meet_latency(some, 0.7, measure, lambda value: f"{value:.2f} of before")
    reached = 0.4 + 0.6 * some.macs(kept) / whole
    assert 0.55 < reached <= 0.7
    assert [one["measured"] for one in history] == measured
    with pytest.raises(PassError, match=r"latency of 0\.30 of before cannot be reached.*takes 0\.4\d of before"):
        budget.meet_latency(some, 0.3, measure, lambda value: f"{value:.2f} of before")
