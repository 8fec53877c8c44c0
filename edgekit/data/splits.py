"""Splits: drawing them by group with a seed, and finding what two of them share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgekit.data.base import SPLITS, Split, SplitName
from edgekit.errors import InputError
from edgekit.schema import Frozen


class Draw(Frozen):
    """Shares of the images, and the seed, for splits that the data does not give."""

    train: float = Field(default=0.7, gt=0, lt=1)
    val: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Draw:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"'train', 'val' and 'test' must add up to 1 (they give {total:g})")
        return self


class Shared(NamedTuple):
    """The same pixels in two splits."""

    split_a: SplitName
    id_a: str
    split_b: SplitName
    id_b: str


def draw(
    labels: NDArray[np.int64], groups: Sequence[str] | None, shares: Mapping[SplitName, float], seed: int
) -> list[SplitName]:
    """Assign every image to a split: whole groups only, each class in the given shares as nearly as can be.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over groups in place of examples: the class
    with the fewest images left is dealt first, each of its groups to the split that lacks most of that class.

    Args:
        labels: ``int64[n]``.
        groups: patient or lesion of each image; none means that every image stands for itself.
        shares: part of the images for each split; they are scaled to add up to 1.
        seed: of the order in which groups are dealt.

    Raises:
        InputError: there are too few groups to fill every split.
    """
    names = list(shares)
    share = np.array([shares[name] for name in names]) / sum(shares.values())
    keys = list(range(len(labels))) if groups is None else list(groups)
    _, group_of = np.unique(keys, return_inverse=True)
    counts = np.zeros((group_of.max(initial=-1) + 1, labels.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (group_of, labels), 1)
    sizes = counts.sum(axis=1)
    large = 0.01 * len(labels)
    lacking = share[:, None] * counts.sum(axis=0)
    assigned = np.full(len(counts), -1)
    order = np.random.default_rng(seed).permutation(len(counts))
    for label in np.argsort(counts.sum(axis=0), kind="stable"):
        of_class = [g for g in order if counts[g, label] and assigned[g] < 0]
        # Groups that no small split could take late come first. The others come in random order: by size, the
        # small splits would be left with patients who have a single image.
        for group in sorted(of_class, key=lambda g: -int(sizes[g]) if sizes[g] > large else 0):
            wanted = lacking[:, label]
            near = np.flatnonzero(wanted > wanted.max() - 1e-9)
            best = near[np.argmax(lacking[near].sum(axis=1))]
            assigned[group] = best
            lacking[best] -= counts[group]
    empty = [name for index, name in enumerate(names) if not (assigned == index).any()]
    if empty:
        unit = "images" if groups is None else "groups"
        raise InputError(
            f"{len(counts)} {unit} are too few: nothing is left for '{empty[0]}'",
            remedy="give more data, or other shares in 'draw'",
        )
    return [names[assigned[group]] for group in group_of]


def check_disjoint(splits: Mapping[SplitName, Split], where: str) -> None:
    """No group may be in two splits.

    Raises:
        InputError: naming the first such group, its splits and how many there are.
    """
    seen: dict[str, SplitName] = {}
    shared: dict[str, tuple[SplitName, SplitName]] = {}
    for name in splits:
        for group in splits[name].groups or ():
            first = seen.setdefault(group, name)
            if first != name:
                shared.setdefault(group, (first, name))
    if shared:
        group, (a, b) = next(iter(shared.items()))
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"the group '{group}'{more} is in '{a}' and in '{b}'; a patient or lesion must be in one split only",
            where=where,
            remedy="split the data again by group",
        )


def image_hash(image: NDArray[np.uint8]) -> str:
    """sha256 (hex) of the shape and the pixels of an image."""
    whole = hashlib.sha256(repr(image.shape).encode())
    whole.update(np.ascontiguousarray(image).data)
    return whole.hexdigest()


def overlap(hashes: Mapping[SplitName, Sequence[str]], ids: Mapping[SplitName, Sequence[str]]) -> list[Shared]:
    """Images with the same pixels in two splits.

    Args:
        hashes: ``image_hash`` of every image of each split, before any resizing.
        ids: the images' names, in the same order.

    Returns:
        For every image that an earlier split also holds, one row for each such split, with the first image there.
    """
    found: list[Shared] = []
    first: dict[SplitName, dict[str, str]] = {}
    for b in (name for name in SPLITS if name in hashes):
        for value, id_b in zip(hashes[b], ids[b], strict=True):
            found += [Shared(a, known[value], b, id_b) for a, known in first.items() if value in known]
        first[b] = {}
        for value, id_b in zip(hashes[b], ids[b], strict=True):
            first[b].setdefault(value, id_b)
    return found
