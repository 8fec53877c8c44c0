from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgekit.quantization.give_back import Kept, Problem, orders, search
from edgekit.recipe import Gates

SHARES = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.2, "e": 0.2}


def _problem(harm: dict[str, float], per_kl: float = 0.1) -> Problem:
    """Agreement and accuracy fall with the sum of the harm of what is quantized."""

    def score(kept: Kept) -> Mapping[str, Any]:
        kl = sum(value for name, value in harm.items() if name not in kept)
        return {"kl": kl, "agreement": 1 - per_kl * kl, "accuracy": 0.9 - per_kl * kl}

    return Problem(score, 0.9, Gates(int8_min_agreement=0.95, max_accuracy_drop=0.05), SHARES)


def test_it_stops_when_the_gates_hold() -> None:
    found = search(_problem({"a": 0.1, "b": 3.0, "c": 0.1, "d": 2.0, "e": 0.1}), ["b", "d", "a", "c", "e"])
    assert found.layers == ["b", "d"]
    assert [step["layer"] for step in found.steps] == ["b", "d"]
    assert found.steps[1]["agreement"] == pytest.approx(0.97)
    assert found.refused == []


def test_nothing_is_given_back_where_the_gates_hold_already() -> None:
    assert search(_problem(dict.fromkeys(SHARES, 0.01)), list(SHARES)).layers == []


def test_a_return_that_does_not_help_is_refused() -> None:
    found = search(_problem({"a": 0.0, "b": 3.0, "c": 0.0, "d": 0.0, "e": 0.0}), ["a", "b", "c", "d", "e"])
    assert found.layers == ["b"]
    assert [row["layer"] for row in found.refused] == ["a"]
    assert "less than 2%" in found.refused[0]["why"]


def test_a_layer_that_a_later_one_made_needless_is_tried_without() -> None:
    found = search(_problem({"a": 0.3, "b": 0.0, "c": 0.0, "d": 0.6, "e": 0.0}), ["a", "d"])
    assert found.layers == ["d"]
    assert "hold without it" in found.refused[0]["why"]


def test_no_more_than_half_of_the_work_goes_back() -> None:
    found = search(_problem(dict.fromkeys(SHARES, 2.0)), ["c", "b", "d", "e", "a"])
    assert found.layers == ["c", "b"]
    assert all("more than 50%" in row["why"] for row in found.refused)


def test_logits_that_are_not_finite_come_first() -> None:
    rows = [
        {"layer": "a", "kl": 0.2, "macs_share": 0.9},
        {"layer": "b", "kl": None, "macs_share": 0.05},
        {"layer": "c", "kl": 0.1, "macs_share": 0.05},
    ]
    found = orders({"layers": rows})
    assert found["by harm"] == ["b", "a", "c"]
    assert found["by harm for each multiply-add"] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("gate", "figure", "before", "holds", "breaks"),
    [
        ("max_balanced_accuracy_drop", "balanced_accuracy", 0.8, 0.76, 0.74),
        ("max_sensitivity_drop", "sensitivity_drop", 0.0, 0.04, 0.06),
        ("max_ece_rise", "ece", 0.05, 0.09, 0.11),
        ("max_nll_rise", "nll", 0.4, 0.3, 0.46),
    ],
)
def test_the_other_gates_of_the_recipe_must_hold_too(
    gate: str, figure: str, before: float, holds: float, breaks: float
) -> None:
    gates = Gates(int8_min_agreement=0.5, **{gate: 0.05})

    def problem(value: float | None, base: Mapping[str, float]) -> Problem:
        row = {"kl": 0.1, "agreement": 0.9, "accuracy": 0.9, figure: value}
        return Problem(lambda _: row, 0.9, gates, SHARES, base=base)

    for value, kept in ((holds, True), (breaks, False), (None, False)):
        one = problem(value, {figure: before})
        assert one.holds(()) is kept
        assert one.limits[gate] == 0.05
        assert one.figures(())[figure] == value
    # What the float network has no figure of cannot be asked.
    assert problem(breaks, {}).holds(())
