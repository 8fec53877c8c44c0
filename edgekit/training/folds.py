"""The folds of a cross-validation: training and validation images together, divided by class and by group."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import Preprocessing, SplitName
from edgekit.data.splits import draw
from edgekit.errors import InputError, missing_package
from edgekit.passes.base import PassError
from edgekit.training.contents import contents

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared

#: Of a fold's remaining images; the rest of them validates.
TRAIN_SHARE = 0.8


class Pool:
    """The images of ``train`` and ``val`` as one list; never those of ``test``.

    Attributes:
        classes, preprocessing: of the data.
        contents: ``int64[n, classes]``, see ``sampling.contents``.
        labels: ``int64[n]``: by which the images are divided. A window of a segmentation is taken for the rarest
            class in it.
        groups: ``int64[n]``: images of one number stay together.
    """

    def __init__(self, data: Prepared) -> None:
        self.classes = data.classes
        self.preprocessing = data.preprocessing
        self._data = data
        self._first = data.count("train")
        self.contents = np.concatenate([contents(data, "train"), contents(data, "val")])
        # A window without a counted pixel goes with the background.
        frequent = np.argsort(-self.contents.sum(axis=0), kind="stable")
        self.labels = np.zeros(len(self.contents), dtype=np.int64)
        for one in frequent:
            self.labels[self.contents[:, one] > 0] = one
        # No group is in two splits, so the second split's numbers go on where the first one's end.
        train, val = data.groups("train"), data.groups("val")
        self.groups = np.concatenate([train, val + train.max() + 1])

    def pixels(self, chosen: NDArray[np.int64]) -> NDArray[Any]:
        """``[k, *spatial, C]`` of the images ``chosen``."""
        return self._gather(chosen, self._data.pixels)

    def targets(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels ``int64[k]`` of the images ``chosen``, or masks ``int64[k, *spatial]``."""
        return self._gather(chosen, self._data.targets)

    def _gather(
        self, chosen: NDArray[np.int64], read: Callable[[SplitName, NDArray[np.int64]], NDArray[Any]]
    ) -> NDArray[Any]:
        early = chosen < self._first
        parts = read("train", chosen[early]), read("val", chosen[~early] - self._first)
        found = np.empty((len(chosen), *parts[0].shape[1:]), dtype=parts[0].dtype)
        found[early], found[~early] = parts
        return found


@dataclass(frozen=True)
class Fold:
    """One division of the pool; ``sampling.Images`` for training.

    Attributes:
        pool: the images.
        train, val: indices of the images that train, and of those that choose the epoch.
        held_out: indices of the images that neither sees, on which the fold is scored.
    """

    pool: Pool
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.pool.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """The recipe's ``input``."""
        return self.pool.preprocessing

    def count(self, split: SplitName) -> int:
        """Number of images of ``train`` or ``val``."""
        return len(self._indices(split))

    def labels(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]`` of ``train`` or ``val``, see ``Pool``."""
        return self.pool.labels[self._indices(split)]

    def targets(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels ``int64[k]`` of the images ``indices`` of ``train`` or ``val``, or masks."""
        return self.pool.targets(self._indices(split)[indices])

    def pixels(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[Any]:
        """``[k, *spatial, C]`` of the images ``indices`` of ``train`` or ``val``."""
        return self.pool.pixels(self._indices(split)[indices])

    def _indices(self, split: SplitName) -> NDArray[np.int64]:
        if split == "test":
            raise ValueError("a fold has no test split")
        return self.train if split == "train" else self.val


def divide(pool: Pool, folds: int, seed: int, where: str) -> list[Fold]:
    """``folds`` folds in which each image is held out once: stratified by class, no group divided.

    What a fold does not hold out is divided 80 to 20, by class and group again, into images that train and images
    that choose the epoch, as in the lung-CT paper (section 2.3).

    Args:
        pool: the images.
        folds: how many.
        seed: of the division.
        where: for the messages of errors.

    Raises:
        PassError: a class has fewer groups than there are folds, or some part of a fold lacks a class.
        MissingError: scikit-learn is not installed.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    except ImportError:
        raise missing_package("scikit-learn", "data") from None
    grouped = len(np.unique(pool.groups)) < len(pool.groups)
    unit = "groups (patients or lesions)" if grouped else "images"
    for k, name in enumerate(pool.classes):
        have = len(np.unique(pool.groups[pool.contents[:, k] > 0]))
        if have < folds:
            raise PassError(
                f"the class '{name}' has {have} {unit} in train and val together, too few for {folds} folds",
                where=where,
                remedy="use fewer folds, or give more images",
            )
    # The same division where each image is its own group, without a loop over all groups.
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    found: list[Fold] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few members: checked above and below, with a remedy
        for rest, held_out in splitter.split(np.zeros(len(pool.labels)), pool.labels, pool.groups):
            shares: dict[SplitName, float] = {"train": TRAIN_SHARE, "val": 1 - TRAIN_SHARE}
            try:
                names = np.array(draw(pool.labels[rest], [str(g) for g in pool.groups[rest]], shares, seed))
            except InputError as error:
                raise PassError(error.problem, where=where, remedy="use fewer folds") from None
            fold = Fold(pool, rest[names == "train"], rest[names == "val"], held_out)
            _check(fold, len(found) + 1, where)
            found.append(fold)
    return found


def _check(fold: Fold, number: int, where: str) -> None:
    for part, indices in (("trains", fold.train), ("validates", fold.val), ("is held out", fold.held_out)):
        counts = fold.pool.contents[indices].sum(axis=0)
        absent = [name for name, n in zip(fold.classes, counts, strict=True) if n == 0]
        if absent:
            raise PassError(
                f"fold {number}: the part that {part} has no image of {', '.join(absent)}",
                where=where,
                remedy="use fewer folds, another 'split_seed', or give more groups of that class",
            )
