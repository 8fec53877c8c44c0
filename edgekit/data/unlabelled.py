"""Images without labels: those of another data set, and generated ones that show nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit import arrays
from edgekit.data import preprocess
from edgekit.data.base import Preprocessing
from edgekit.data.decode import SUFFIXES, decode
from edgekit.data.file_tree import open_tree
from edgekit.data.npz import read_arrays
from edgekit.errors import InputError


def read_images(path: Path, wanted: int, spec: Preprocessing) -> NDArray[Any]:
    """Up to ``wanted`` images, evenly over those at ``path``, ``[n, *size, C]`` as ``preprocess.apply`` gives them.

    Args:
        path: a folder or zip of image files, whatever their folders, or an npz whose ``test_images`` are taken, or
            the last array that is named after images.
        wanted: how many.
        spec: the recipe's ``input``.

    Raises:
        InputError: there are no images, or one cannot be decoded.
    """
    if path.suffix == ".npz":
        images = _array(path)
        chosen = [images[i] for i in arrays.spread(len(images), wanted)]
    else:
        tree = open_tree(path)
        names = [name for name in tree.names() if name.lower().endswith(SUFFIXES)]
        if not names:
            raise InputError("no images in it", where=str(path), remedy=f"give files of {', '.join(SUFFIXES)}")
        picked = [names[i] for i in arrays.spread(len(names), wanted)]
        chosen = [decode(tree.read(name), f"{path}/{name}") for name in picked]
    return np.stack([preprocess.apply(image, spec) for image in chosen])


def _array(path: Path) -> NDArray[np.uint8]:
    found = read_arrays(path)
    named = [name for name in found if name.endswith("images")]
    name = "test_images" if "test_images" in named else named[-1] if named else ""
    if not name:
        raise InputError("no array of images in it", where=str(path), remedy="name it 'test_images'")
    images = found[name]
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colour) or not images.size:
        raise InputError(
            f"{name} is {images.dtype}{list(images.shape)}",
            where=str(path),
            remedy="give uint8 [n, H, W] or [n, H, W, 3]",
        )
    return images


def generate(
    kind: Literal["noise", "flat", "permuted"], like: NDArray[Any], spec: Preprocessing, seed: int
) -> NDArray[Any]:
    """Images that show nothing, as many and of the shape of ``like``.

    Args:
        kind: noise, uniform over all values; flat, a gray (or colour) of its own for each image; permuted, the
            pixels of ``like`` in another order.
        like: stored images ``[n, *size, C]``.
        spec: the recipe's ``input``.
        seed: of the draw.
    """
    random = np.random.default_rng((seed, len(kind)))
    if kind == "permuted":
        flat = like.reshape(len(like), -1, like.shape[-1])
        return np.stack([random.permutation(image) for image in flat]).reshape(like.shape)
    channels = like.shape[-1]
    gray = bool((like[..., :1] == like).all())
    drawn = 1 if gray else channels
    shape = (len(like), *spec.size, drawn) if kind == "noise" else (len(like), *[1] * len(spec.size), drawn)
    values = random.integers(0, 256, shape).astype(np.uint8)
    whole = np.broadcast_to(values, like.shape)
    return np.stack([preprocess.apply(image if channels == 3 else image[..., 0], spec) for image in whole])
