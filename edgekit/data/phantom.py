"""Synthetic CT slices with known truth, made with the physics of a scanner: no data needed, no evidence given.

A slice of an abdomen is drawn from ellipses of tissue, projected (scikit-image's Radon transform), given the
noise of a counted number of photons, reconstructed by filtered back projection (Kak and Slaney 1988, chapter 3)
and shown in a window of Hounsfield units, as a scanner would do it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.data.base import SPLITS, DataConfig, Dataset, Split
from edgekit.data.phantom_scene import CLASSES, FIELD_OF_VIEW_MM, SHARES, WATER_PER_MM, draw_scene, render
from edgekit.errors import InputError, missing_package
from edgekit.schema import Frozen

NO_EVIDENCE = "synthetic CT slices of drawn ellipses: a test of the toolchain, no medical evidence"


class Count(Frozen):
    """Slices in each split."""

    train: int = Field(default=800, ge=40, le=100_000)
    val: int = Field(default=160, ge=40, le=100_000)
    test: int = Field(default=240, ge=40, le=100_000)


class Phantom(DataConfig):
    """Seeded CT slices in five classes, one of them rare (3 %), with a mask of each lesion."""

    kind: Literal["phantom"]
    seed: int = Field(default=0, ge=0)
    count: Count = Count()
    size: int = Field(default=64, ge=32, le=512, description="height and width in pixels; detectors of the scanner")
    angles: int = Field(default=48, ge=16, le=720, description="projections over 180 degrees")
    photons: float = Field(default=2e5, ge=1e3, le=1e9, description="per ray before the body: less is noisier")
    window_level_hu: float = 60.0
    window_width_hu: float = Field(default=400.0, gt=0)

    def files(self) -> tuple[Path, ...]:
        """None: the seed determines the data."""
        return ()

    def load(self, classes: tuple[str, ...]) -> Dataset:
        """Name the slices; each is made when it is asked for.

        Raises:
            InputError: the recipe names other classes than the phantom's.
            MissingError: scikit-image is not installed.
        """
        if classes != CLASSES:
            raise InputError(
                f"the phantom's classes are [{', '.join(CLASSES)}], the recipe's [{', '.join(classes)}]",
                remedy="copy them into 'task.classes' in this order",
            )
        try:
            import skimage.transform  # noqa: F401
        except ImportError:
            raise missing_package("scikit-image", "data") from None
        splits = {}
        for number, name in enumerate(SPLITS):
            labels = _labels(getattr(self.count, name), np.random.default_rng((self.seed, number)))
            splits[name] = Split(
                count=len(labels),
                image=functools.partial(self._image, number, labels),
                labels=labels,
                ids=tuple(f"phantom-{name}-{index}" for index in range(len(labels))),
                # Every slice is a patient of its own.
                groups=tuple(f"{name}-{index}" for index in range(len(labels))),
                mask=functools.partial(self._mask, number, labels),
            )
        provenance = {
            "source": "phantom",
            "synthetic": True,
            "statement": NO_EVIDENCE,
            "method": "ellipses -> Radon transform -> Poisson noise -> filtered back projection (Hann) -> window",
            "field_of_view_mm": FIELD_OF_VIEW_MM,
            "settings": self.model_dump(mode="json"),
        }
        return Dataset("phantom", classes, splits, (NO_EVIDENCE,), provenance)

    def _random(self, split: int, index: int) -> np.random.Generator:
        """One stream for each slice, so that it does not matter which slices are made, and when."""
        return np.random.default_rng((self.seed, split, index))

    def _image(self, split: int, labels: NDArray[np.int64], index: int) -> NDArray[np.uint8]:
        """The slice as ``uint8[size, size]``."""
        random = self._random(split, index)
        scene = draw_scene(random, CLASSES[labels[index]])
        truth, _ = render(scene, self.size)
        hounsfield = self._scan(WATER_PER_MM * (1 + truth / 1000), random)
        low = self.window_level_hu - self.window_width_hu / 2
        shown = np.clip((hounsfield - low) / self.window_width_hu, 0, 1)
        return np.round(shown * 255).astype(np.uint8)

    def _mask(self, split: int, labels: NDArray[np.int64], index: int) -> NDArray[np.uint8]:
        """``uint8[size, size]``: 1 in the lesion."""
        _, mask = render(draw_scene(self._random(split, index), CLASSES[labels[index]]), self.size)
        return mask

    def _scan(self, attenuation: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
        """What the scanner makes of ``attenuation[size, size]`` in 1/mm: an image in Hounsfield units."""
        from skimage.transform import iradon, radon

        angles = np.linspace(0.0, 180.0, self.angles, endpoint=False)
        pixel_mm = FIELD_OF_VIEW_MM / self.size
        integrals = np.asarray(radon(attenuation, theta=angles, circle=True)) * pixel_mm
        counted = random.poisson(self.photons * np.exp(-integrals))
        # A ray that no photon survived reads as one photon: the logarithm of 0 is no number.
        measured = np.log(self.photons / np.maximum(counted, 1))
        image = np.asarray(iradon(measured / pixel_mm, theta=angles, filter_name="hann", circle=True))
        return 1000 * (image - WATER_PER_MM) / WATER_PER_MM


def _labels(count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``int64[count]`` in random order, each class with its share, rounded, and at least one slice."""
    numbers = np.maximum(np.floor(np.array(SHARES) * count + 0.5).astype(np.int64), 1)
    numbers[0] += count - numbers.sum()
    return random.permutation(np.repeat(np.arange(len(SHARES)), numbers))
