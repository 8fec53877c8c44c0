"""Which split each image is in: as the data says, or drawn where it does not say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import SPLITS, SplitName
from edgekit.data.splits import Draw, draw
from edgekit.errors import InputError


def assign(
    given: list[str],
    labels: NDArray[np.int64] | None,
    groups: list[str] | None,
    how: Draw | None,
    where: str,
) -> tuple[list[str], list[str]]:
    """The split of every image: as given, or drawn where none is.

    Args:
        given: the split that the data names for each image, or "" throughout.
        labels: ``int64[n]``, by which drawn splits are stratified; none draws cases without regard to content.
        groups: patient or lesion of each image.
        how: shares and seed; none means the defaults where nothing is given, and no drawing otherwise.
        where: the file for errors.

    Returns:
        The splits, and notes that say what was drawn.

    Raises:
        InputError: a split is missing and not drawn, or ``how`` has nothing to do.
    """
    present = [name for name in SPLITS if name in given]
    missing = [name for name in SPLITS if name not in given]
    if not missing:
        if how is not None:
            raise InputError(
                "the data gives all three splits: nothing to draw", where=where, remedy="remove 'draw'"
            )
        return given, []
    if present and (how is None or "train" in missing):
        raise InputError(
            f"the data has no image in the split '{missing[0]}'; it gives {', '.join(present)}",
            where=where,
            remedy="name the missing split"
            if "train" in missing
            else "add it, or say 'draw' to take it from 'train'",
        )
    how = how or Draw()
    drawn: list[SplitName] = ["train", *missing] if present else list(SPLITS)
    shares = {name: float(getattr(how, name)) for name in drawn}
    pool = [number for number, split in enumerate(given) if split in ("", "train")]
    strata = np.zeros(len(given), dtype=np.int64) if labels is None else labels
    try:
        found = draw(strata[pool], None if groups is None else [groups[n] for n in pool], shares, how.seed)
    except InputError as error:
        raise InputError(error.problem, where=where, remedy=error.remedy) from None
    result = list(given)
    for number, split in zip(pool, found, strict=True):
        result[number] = split
    unit = "group" if groups is not None else "case" if labels is None else "image"
    by = "" if labels is None else ", stratified by class"
    parts = ", ".join(f"{name} {share:g}" for name, share in shares.items())
    return result, [f"splits drawn by {unit}{by}, seed {how.seed}, in the shares {parts}"]
