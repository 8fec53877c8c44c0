"""The gate on robustness: did compression make the model more sensitive to a corruption than the source is?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgekit.evaluate.robustness_figures import RISE
from edgekit.evaluate.verdicts import Ruling, gate
from edgekit.record import Gate, Measurement

if TYPE_CHECKING:
    from edgekit.recipe import Gates

NAME = "robustness_drop"
#: With no event among n images the 95 % upper bound of its probability is about 3 / n (the rule of three).
_RULE_OF_THREE = 3.0


def check(artifact: str, rows: Iterable[Measurement], limit: float, gates: Gates) -> Gate:
    """Judge one artifact by the corruption under which its error rises most above the source's.

    The error's rise is that from clean to corrupted images, so that a loss that the clean images show as well is
    left to the other gates. As non-inferiority: the upper end of each corruption's 95 % interval must be within the
    limit. Every corruption must keep it, so none needs a correction for their number (intersection-union test).
    Where only an interval reaches beyond, or the images are fewer than the rule of three asks for, the data cannot
    decide.

    Args:
        artifact: its name in the record.
        rows: its measurements.
        limit: largest rise allowed, 0 to 1.
        gates: what the recipe makes of a gate that is undecided.
    """
    own = [one for one in rows if one.artifact == artifact and one.metric.startswith(f"{RISE}/")]
    return gate(artifact, NAME, limit, _ruling(own, limit), gates)


def _ruling(rows: Sequence[Measurement], limit: float) -> Ruling:
    known = [one for one in rows if one.samples and one.interval]
    if not known or len(known) < len(rows):
        missing = next((one for one in rows if one not in known), None)
        why = str(missing.not_measured_reason) if missing is not None else "no such figure in the record"
        return Ruling(None, f"the error on corrupted images was not measured: {why}")
    largest, widest = max(known, key=_value), max(known, key=_upper)
    images = int(widest.conditions.get("images") or widest.conditions.get("cases") or 0)
    allowed = f"{limit * 100:.2f} points above the source's rise are allowed"
    if _value(largest) > limit:
        return Ruling(False, f"{_said(largest, images)}; {allowed}", _value(largest), largest.interval)
    text = f"{_said(widest, images)}; {allowed}"
    if _upper(widest) > limit:
        return Ruling(None, f"{text}; the data does not rule out that it is more", None, widest.interval)
    if images * limit < _RULE_OF_THREE:
        least = f"{_RULE_OF_THREE / limit:.0f} images could show that"
        return Ruling(None, f"{text}; only {least}", None, widest.interval)
    return Ruling(True, text, _upper(widest), widest.interval)


def _value(one: Measurement) -> float:
    return one.samples[0] if one.samples else 0.0


def _upper(one: Measurement) -> float:
    return one.interval[1] if one.interval else 0.0


def _said(one: Measurement, images: int) -> str:
    low, high = one.interval or (0.0, 0.0)
    name = one.metric.partition("/")[2].replace("_", " ")
    return (
        f"under {name} the error rises by {_value(one) * 100:.2f} points more than the source's (95 % interval "
        f"{low * 100:.2f} to {high * 100:.2f}; {images} images)"
    )
