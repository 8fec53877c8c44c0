"""Which images a step learns from, and how much each class counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.data.base import Preprocessing, SplitName
from edgekit.passes.base import PassError

if TYPE_CHECKING:
    from torch import Generator

    from edgekit.training.settings import Training


class Images(Protocol):
    """The images of a training: prepared data, or a fold of it. Only ``train`` and ``val`` are asked for."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """The recipe's ``input``."""
        ...

    def count(self, split: SplitName) -> int:
        """Number of images; for segmentation of windows."""
        ...

    def pixels(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[Any]:
        """``[k, *spatial, C]`` of the images ``indices``, as they are stored, a copy."""
        ...

    def targets(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """``int64[k]``, 0 to classes - 1; for segmentation masks ``int64[k, *spatial]`` with IGNORE."""
        ...


class Batches:
    """The batches of an epoch, the same for the same generator on every device.

    Their sizes differ by one at most, and each device gets two images of each at least: BatchNorm cannot train on
    one. With ``sampling: shuffle`` an epoch has each image once; with ``class_balanced`` it draws as many images
    with replacement: a class, each as often as any other, and then one of the windows that hold it.

    Args:
        settings: how.
        held: what the training images hold: labels ``int64[n]``, or what ``contents`` gives.
        devices: how many share each batch.
        where: for the messages of errors.

    Raises:
        PassError: too few images.
    """

    def __init__(self, settings: Training, held: NDArray[np.int64], devices: int, where: str) -> None:
        least = 2 * devices
        if len(held) < least:
            raise PassError(
                f"{len(held)} training image{'s are' if len(held) > 1 else ' is'} too few",
                where=where,
                remedy="give more training data",
            )
        self.count = min(-(-len(held) // settings.batch_size), len(held) // least)
        self._held = held
        self._balanced = settings.sampling == "class_balanced"

    def epoch(self, generator: Generator) -> Iterator[NDArray[np.int64]]:
        """Indices of the images of each batch."""
        import torch

        n = len(self._held)
        if self._balanced:
            holds = self._held > 0 if self._held.ndim == 2 else self._held[:, None] == np.unique(self._held)
            shares = (holds / np.maximum(holds.sum(axis=0), 1)).sum(axis=1)
            order = torch.multinomial(torch.from_numpy(shares), n, replacement=True, generator=generator)
        else:
            order = torch.randperm(n, generator=generator)
        yield from np.array_split(order.numpy(), self.count)


def class_weights(
    settings: Training, held: NDArray[np.int64], classes: tuple[str, ...], where: str = "finetune"
) -> list[float]:
    """The weight of each class in the loss; ``held`` as for ``Batches``.

    Raises:
        PassError: a class has no training image.
    """
    counts = held.sum(axis=0) if held.ndim == 2 else np.bincount(held, minlength=len(classes))
    absent = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if absent:
        raise PassError(
            f"no training image of: {', '.join(absent)}",
            where=where,
            remedy="remove the class from task.classes, or give images of it",
        )
    if settings.class_weighting == "none":
        return [1.0] * len(classes)
    balanced = counts.sum() / (len(classes) * counts.astype(np.float64))
    return [float(w) for w in (np.sqrt(balanced) if settings.class_weighting == "sqrt_balanced" else balanced)]
