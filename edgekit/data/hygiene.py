"""What is wrong with the data before any model sees it: duplicates within and across splits, labels that disagree.

The images are compared as they are stored, at the input's resolution, so the same picture in another file, encoding
or size is found. Images of one group (patient, lesion) may look alike: within a split such pairs are left out, and
no group is in two splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import duplicates, fingerprints
from edgekit.data.base import SPLITS, SplitName
from edgekit.data.duplicates import Pair
from edgekit.data.fingerprints import Fingerprints
from edgekit.data.prepared import Prepared

_SHOWN = 5


def findings(prepared: Prepared, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """Plain data for the record.

    Args:
        prepared: the data.
        progress: called with the fraction done, 0 to 1, and a short text.

    Returns:
        ``images`` of each split; ``bits`` and ``correlation`` that make a near-duplicate; ``across``: for each pair
        of splits how many images of the second are in the first, ``exact`` or ``near``; ``within``: the same for
        each split, images of other groups; ``different_labels``: how many pairs have them (none for a
        segmentation). ``first`` names some pairs.

    Raises:
        MissingError: ImageHash is not installed.
    """
    parts = {}
    for place, split in enumerate(SPLITS):
        parts[split] = fingerprints.of_split(prepared, split)
        progress((place + 1) / len(SPLITS), f"{split} images")
    whole = Fingerprints(
        tuple(itertools.chain.from_iterable(part.exact for part in parts.values())),
        np.concatenate([part.hashes for part in parts.values()]),
        np.concatenate([part.details for part in parts.values()]),
    )
    found, level = duplicates.pairs(whole)
    split_of = [split for split, part in parts.items() for _ in part.exact]
    ids = [name for split in SPLITS for name in _ids(prepared, split)]
    groups = [group for split in SPLITS for group in _groups(prepared, split)]
    result: dict[str, Any] = {
        "images": {split: len(part.exact) for split, part in parts.items()},
        "bits": duplicates.BITS,
        "correlation": round(level, 3),
        "across": [],
        "within": [],
    }
    for before, after in itertools.combinations(SPLITS, 2):
        both = [one for one in found if (split_of[one.first], split_of[one.second]) == (before, after)]
        result["across"].append({"splits": [before, after], **_counted(both, ids, second_only=True)})
    for split in SPLITS:
        own = [
            one
            for one in found
            if split_of[one.first] == split_of[one.second] == split and groups[one.first] != groups[one.second]
        ]
        result["within"].append({"split": split, **_counted(own, ids, second_only=False)})
    if not prepared.dense:
        labels = np.concatenate([prepared.labels(split) for split in SPLITS])
        apart = [one for one in found if labels[one.first] != labels[one.second]]
        names = [[ids[one.first], ids[one.second]] for one in apart[:_SHOWN]]
        result["different_labels"] = {"pairs": len(apart), "first": names}
    return result


def warnings(found: dict[str, Any]) -> list[str]:
    """What a reader must know before any figure: images of one split that another holds as well."""
    said = []
    for one in found["across"]:
        before, after = one["splits"]
        count = one["exact"] + one["near"]
        if count:
            such = " = ".join(one["first"][0])
            kinds = f"{one['exact']} exact, {one['near']} near; such as {such}"
            said.append(
                f"{count} of {found['images'][after]} images of '{after}' are the same as one of '{before}', or "
                f"nearly ({kinds}): figures on them are too good"
            )
    return said


def _counted(pairs: Sequence[Pair], ids: Sequence[str], second_only: bool) -> dict[str, Any]:
    """Images, not pairs: ten copies of one image are ten, not forty-five."""

    def images(some: Sequence[Pair]) -> set[int]:
        return {one.second for one in some} | (set() if second_only else {one.first for one in some})

    exact = images([one for one in pairs if one.exact])
    near = images(pairs) - exact
    return {
        "exact": len(exact),
        "near": len(near),
        "first": [[ids[one.first], ids[one.second]] for one in pairs[:_SHOWN]],
    }


def _ids(prepared: Prepared, split: SplitName) -> list[str]:
    return [case.id for case in prepared.cases(split)] if prepared.dense else list(prepared.ids(split))


def _groups(prepared: Prepared, split: SplitName) -> NDArray[np.int64]:
    """Of each image or case; a number of its own where the data names none."""
    groups = prepared.groups(split)
    return groups[[case.first for case in prepared.cases(split)]] if prepared.dense else groups
