"""Which images a step learns from, and how much each class counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

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

    def labels(self, split: SplitName) -> NDArray[np.int64]:
        """``int64[n]``, 0 to classes - 1."""
        ...

    def pixels(self, split: SplitName, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``uint8[k, H, W, C]`` of the images ``indices``, a copy."""
        ...


class Batches:
    """The batches of an epoch, the same for the same generator on every device.

    Their sizes differ by one at most, and each device gets two images of each at least: BatchNorm cannot train on
    one. With ``sampling: shuffle`` an epoch has each image once; with ``class_balanced`` it draws as many images
    with replacement, each class as often as any other.

    Args:
        settings: how.
        labels: ``int64[n]`` of the training images.
        devices: how many share each batch.
        where: for the messages of errors.

    Raises:
        PassError: too few images.
    """

    def __init__(self, settings: Training, labels: NDArray[np.int64], devices: int, where: str) -> None:
        least = 2 * devices
        if len(labels) < least:
            raise PassError(
                f"{len(labels)} training image{'s are' if len(labels) > 1 else ' is'} too few",
                where=where,
                remedy="give more training data",
            )
        self.count = min(-(-len(labels) // settings.batch_size), len(labels) // least)
        self._labels = labels
        self._balanced = settings.sampling == "class_balanced"

    def epoch(self, generator: Generator) -> Iterator[NDArray[np.int64]]:
        """Indices of the images of each batch."""
        import torch

        n = len(self._labels)
        if self._balanced:
            shares = 1.0 / np.bincount(self._labels)[self._labels]
            order = torch.multinomial(torch.from_numpy(shares), n, replacement=True, generator=generator)
        else:
            order = torch.randperm(n, generator=generator)
        yield from np.array_split(order.numpy(), self.count)


def class_weights(
    settings: Training, labels: NDArray[np.int64], classes: tuple[str, ...], where: str = "finetune"
) -> list[float]:
    """The weight of each class in the loss.

    Raises:
        PassError: a class has no training image.
    """
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if absent:
        raise PassError(
            f"no training image of: {', '.join(absent)}",
            where=where,
            remedy="remove the class from task.classes, or give images of it",
        )
    if settings.class_weighting == "none":
        return [1.0] * len(classes)
    balanced = len(labels) / (len(classes) * counts.astype(np.float64))
    return [float(w) for w in (balanced if settings.class_weighting == "balanced" else np.sqrt(balanced))]
