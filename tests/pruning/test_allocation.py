from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from edgekit.pruning.allocation import Rules, allocate, between, fewest, least
from edgekit.pruning.groups import Group, Member


def group(name: str, size: int, width: int = 1) -> Group:
    return Group(name, (Member(name, "out", 0, tuple((i,) for i in range(size))),), width)


LOCAL = Rules("local", 8, 0.9)


def test_local_takes_the_same_share_and_rounds() -> None:
    groups = [group("a", 64), group("b", 24), group("c", 8), group("d", 16, width=4)]
    assert allocate(groups, {}, LOCAL, 0.5) == {"a": 32, "b": 16, "c": 8, "d": 8}
    assert allocate(groups, {}, LOCAL, 0.0) == {"a": 64, "b": 24, "c": 8, "d": 16}


def test_never_fewer_than_allowed() -> None:
    groups = [group("a", 200), group("b", 24), group("d", 16, width=4)]
    assert allocate(groups, {}, LOCAL, 1.0) == {"a": 24, "b": 8, "d": 2}
    assert [fewest(one, LOCAL) for one in groups] == [24, 8, 2]
    assert fewest(group("odd", 20), Rules("local", 16, 0.5)) == 16


def test_global_takes_the_least_of_all() -> None:
    groups = [group("a", 32), group("b", 32)]
    scores = {"a": torch.arange(32.0), "b": torch.arange(32.0) + 100}
    assert allocate(groups, scores, Rules("global", 8, 0.9), 0.25) == {"a": 16, "b": 32}
    assert allocate(groups, scores, Rules("global", 8, 0.9), 0.75) == {"a": 8, "b": 16}


def test_steps_end_where_they_should() -> None:
    one = group("a", 64)
    first = between(one, 16, 1 / 3, 8)
    assert first == 48
    assert between(group("a", first), 16, 1 / 2, 8) == 32
    assert between(group("a", 32), 16, 1.0, 8) == 16
    assert between(group("a", 16), 16, 0.5, 8) == 16


def test_least() -> None:
    assert least(torch.tensor([3.0, 1.0, 2.0, 1.0]), 2) == [1, 3]
    assert least(torch.tensor([1.0, 1.0, 1.0]), 2) == [0, 1]
    assert least(torch.tensor([1.0]), 0) == []


@pytest.mark.parametrize("scope", ["local", "global"])
def test_more_strength_never_keeps_more(scope: str) -> None:
    groups = [group("a", 64), group("b", 40), group("d", 16, width=4)]
    scores = {one.name: torch.rand(one.size, generator=torch.Generator().manual_seed(0)) for one in groups}
    rules = Rules(scope, 8, 0.9)  # type: ignore[arg-type]
    found = [allocate(groups, scores, rules, strength / 20) for strength in range(21)]
    for weaker, stronger in pairwise(found):
        assert all(stronger[name] <= weaker[name] for name in weaker)
