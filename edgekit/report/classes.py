"""The classes of a record: how many images each has, and which are the rarest."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.record import Record
from edgekit.report import headline
from edgekit.report.plain import dig

#: A class is called rare when it has less than this part of an even share of the training images.
RARE = 0.5
#: No more than this many are named.
MOST = 3
RULE = (
    "a class is called rare when it has less than half of an even share of the training images (in segmentation: "
    f"pixels, without the background); the {MOST} rarest are named, or the smallest class where none is rare"
)


@dataclass(frozen=True)
class ClassCount:
    """One class and its images. ``train`` and ``test`` are none where the record does not count them."""

    name: str
    train: int | None
    test: int | None


def counts(record: Record) -> list[ClassCount]:
    """Every class, in the order of the labels."""
    names = dig(record.data, "classes") or dig(record.recipe, "task", "classes") or ()
    found = []
    for index, name in enumerate(names):
        train = dig(record.data, "splits", "train", "class_counts", str(name))
        test = dig(record.data, "splits", "test", "class_counts", str(name))
        if record.labels:
            test = sum(label == index for label in record.labels)
        found.append(ClassCount(str(name), _whole(train), _whole(test)))
    return found


def rarest_first(record: Record) -> list[ClassCount]:
    """Every class by the number of its training images, or test images; those that are not counted come last."""
    return sorted(counts(record), key=lambda one: (_images(one) is None, _images(one) or 0))


def _images(one: ClassCount) -> int | None:
    return one.train if one.train is not None else one.test


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def rarest(record: Record) -> list[ClassCount]:
    """The rare classes, rarest first: below half of an even share of the training images, else the one smallest.

    In segmentation pixels are counted, and the background is left out. Where training images are not counted the
    test images stand in.
    """
    # In segmentation the first class is the background.
    found = counts(record)[1:] if headline.segments(record) else counts(record)
    known = sorted((one for one in found if _images(one) is not None), key=lambda one: _images(one) or 0)
    limit = RARE * sum(_images(one) or 0 for one in known) / max(len(found), 1)
    rare = [one for one in known if (_images(one) or 0) < limit]
    return (rare or known[:1])[:MOST]
