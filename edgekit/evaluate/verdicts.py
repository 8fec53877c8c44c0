"""What the data says of a rule, and what the recipe makes of it where the data says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.record import Gate

if TYPE_CHECKING:
    from edgekit.recipe import Gates


@dataclass(frozen=True)
class Ruling:
    """What the data says of one rule.

    Attributes:
        passed: whether it is kept; none where the data cannot decide.
        text: the figures, or why there are none.
        value: what is held against the limit; none where nothing can be.
        interval: 95 %, of the value.
    """

    passed: bool | None
    text: str
    value: float | None = None
    interval: tuple[float, float] | None = None


def gate(artifact: str, name: str, limit: float, ruling: Ruling, gates: Gates) -> Gate:
    """The gate for the record; one that is undecided counts as what ``gates.undecided`` says."""
    if ruling.passed is not None:
        return Gate(
            artifact=artifact,
            name=name,
            limit=limit,
            value=ruling.value,
            passed=ruling.passed,
            explanation=ruling.text,
            interval=ruling.interval,
        )
    passed = gates.undecided == "pass"
    made = (
        "the recipe lets it pass" if passed else "it counts as failed ('gates.undecided: pass' would let it pass)"
    )
    return Gate(
        artifact=artifact,
        name=name,
        limit=limit,
        value=None,
        passed=passed,
        explanation=f"undecided: {ruling.text}; {made}",
        undecided=ruling.text,
        interval=ruling.interval,
    )
