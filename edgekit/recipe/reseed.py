"""Another seed for everything in a recipe that is drawn at random, so that a training can be repeated."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

Part = TypeVar("Part")


def reseed(part: Part, seed: int) -> Part:
    """``part`` of a recipe with every key ``seed`` in it replaced, however deep: initial weights, order of images,
    augmentation, calibration images, recovery trainings, teacher.
    """
    if isinstance(part, BaseModel):
        fields = type(part).model_fields
        changed = {name: seed if name == "seed" else reseed(getattr(part, name), seed) for name in fields}
        # What was written counts as before: rules such as "has no effect without" look at it.
        return type(part).model_construct(_fields_set=set(part.model_fields_set), **changed)
    if isinstance(part, tuple):
        return type(part)(reseed(one, seed) for one in part)
    return part
