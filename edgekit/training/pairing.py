"""Which layers of a teacher and of a student are compared: those that a person names, or those that match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from edgekit.passes.base import PassError
from edgekit.training.layers import Layer, probe, unknown

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.training.distillation import Pairs

#: Most pairs that are matched without being named.
MOST = 4

Item = TypeVar("Item")


def pairs(named: Pairs, teacher: Model, student: Model, where: str) -> list[tuple[Layer, Layer]]:
    """The layers of each pair, the teacher's first.

    ``auto`` compares the ends of the stages (the last outputs of each spatial size) that have the same size in
    both networks. Where sizes do not tell, as in a ViT, whose blocks all have one, it takes the layers at the same
    relative depth. Maps of a single pixel are left out. All of it is found in one run of each network.

    Raises:
        PassError: a name is no layer with a map (the nearest names), or nothing matches.
    """
    told, given = probe(teacher), probe(student)
    if named != "auto":
        for one, other in named:
            if one not in told:
                raise unknown(one, told, f"teacher '{teacher.architecture}'", where)
            if other not in given:
                raise unknown(other, given, f"student '{student.architecture}'", where)
        return [(told[one], given[other]) for one, other in named]
    marks = landmarks(told), landmarks(given)
    for of, found in zip(("teacher", "student"), marks, strict=True):
        if not found:
            raise PassError(
                f"the {of} has no layer whose output is a map of more than one pixel",
                where=where,
                remedy="leave it out, or enlarge input.size",
            )
    return _by_size(*marks) or _by_depth(*marks)


def landmarks(layers: dict[str, Layer]) -> list[Layer]:
    """The last ends of stages, or the blocks of a network that keeps one size, in order of depth."""
    sizes: dict[tuple[int, ...], list[Layer]] = {}
    for layer in layers.values():
        if max(layer.size) > 1:
            sizes.setdefault(layer.size, []).append(layer)
    ends = [_end(same) for same in sizes.values()]
    if len(ends) != 1:
        return sorted(ends, key=lambda one: one.depth)[-MOST:]
    (end,) = ends
    inner = [one for one in layers.values() if one.composite and one.size == end.size]
    for level in sorted({one.level for one in inner}):
        here = [one for one in inner if one.level == level]
        for kind in dict.fromkeys(one.kind for one in here):
            alike = [one for one in here if one.kind is kind]
            if len(alike) > 1:
                return alike
    return [end]


def _end(same: list[Layer]) -> Layer:
    """The last of the outermost layers of one size, or of the stages (``stages.0`` beside ``stem``) a level below.

    Still deeper ones may be the first layers of the next stage, before its stride.
    """
    top = min(one.level for one in same)
    return [one for one in same if one.level == top or (one.level == top + 1 and one.composite)][-1]


def _by_size(told: list[Layer], given: list[Layer]) -> list[tuple[Layer, Layer]]:
    """Empty where the sizes do not tell."""
    sizes = {one.size: one for one in told}
    both = [(sizes[one.size], one) for one in given if one.size in sizes]
    unique = len(sizes) == len(told) and len({one.size for one in given}) == len(given)
    return both if unique and len(both) >= min(2, len(told), len(given)) else []


def _by_depth(told: list[Layer], given: list[Layer]) -> list[tuple[Layer, Layer]]:
    few, many = (told, given) if len(told) <= len(given) else (given, told)
    found = []
    for one in evenly(few):
        other = min(many, key=lambda layer: abs(layer.depth - one.depth))
        found.append((one, other) if few is told else (other, one))
    return found


def evenly(items: Sequence[Item]) -> list[Item]:
    """At most ``MOST`` of ``items``, evenly spread, the last one always among them."""
    count = min(MOST, len(items))
    return [items[-(-len(items) * k // count) - 1] for k in range(1, count + 1)]
