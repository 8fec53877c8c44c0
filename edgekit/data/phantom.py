"""Synthetic CT with known truth, to classify or to segment: no data needed, no evidence given.

A slice of an abdomen is drawn from ellipses of tissue, projected (scikit-image's Radon transform), given the
noise of a counted number of photons, reconstructed by filtered back projection (Kak and Slaney 1988, chapter 3)
and shown in a window of Hounsfield units, as a scanner would do it. Volumes are simpler: ellipsoids with noise.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgekit.data.base import SPLITS, DataConfig, Dataset, Split, SplitName
from edgekit.data.phantom_scene import (
    CLASSES,
    FIELD_OF_VIEW_MM,
    SHARES,
    WATER_PER_MM,
    draw_scene,
    regions,
    render,
)
from edgekit.data.phantom_volume import FIELD_MM, draw_volume, frame
from edgekit.errors import InputError, missing_package
from edgekit.schema import Frozen

NO_EVIDENCE = "synthetic CT slices of drawn ellipses: a test of the toolchain, no medical evidence"
NO_EVIDENCE_3D = "synthetic CT volumes of drawn ellipsoids: a test of the toolchain, no medical evidence"
#: The classes of a segmentation, either of the two.
REGIONS = (("background", "lesion"), ("background", "liver", "lesion"))
_LEAST = 40
_SCANNER = ("angles", "photons", "window_level_hu", "window_width_hu")


class Count(Frozen):
    """Slices or volumes in each split; at least 40 to classify, so that each class occurs."""

    train: int = Field(default=800, ge=1, le=100_000)
    val: int = Field(default=160, ge=1, le=100_000)
    test: int = Field(default=240, ge=1, le=100_000)


class Phantom(DataConfig):
    """Seeded CT slices in five classes, one of them rare (3 %); to segment, slices or volumes with masks.

    The recipe's classes decide: the five, or ``background, lesion`` or ``background, liver, lesion``. Volumes are
    in Hounsfield units, each with its own number of voxels and its own spacing.
    """

    kind: Literal["phantom"]
    seed: int = Field(default=0, ge=0)
    count: Count = Count()
    dimensions: Literal[2, 3] = Field(default=2, description="2: slices; 3: volumes, which are for segmentation")
    size: int = Field(
        default=64,
        ge=32,
        le=512,
        description="height and width in pixels; detectors of the scanner; volumes have about as many rows and "
        "columns, and fewer slices",
    )
    angles: int = Field(default=48, ge=16, le=720, description="projections over 180 degrees")
    photons: float = Field(default=2e5, ge=1e3, le=1e9, description="per ray before the body: less is noisier")
    window_level_hu: float = 60.0
    window_width_hu: float = Field(default=400.0, gt=0)

    @model_validator(mode="after")
    def _volumes_have_no_scanner(self) -> Phantom:
        if self.dimensions == 3:
            for name in _SCANNER:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"'{name}' has no effect with 'dimensions: 3'; remove it")
        return self

    def files(self) -> tuple[Path, ...]:
        """None: the seed determines the data."""
        return ()

    def load(self, classes: tuple[str, ...], dense: bool = False) -> Dataset:
        """Name the slices or volumes; each is made when it is asked for.

        Raises:
            InputError: the recipe names other classes than the phantom's, or too few slices for them.
            MissingError: scikit-image is not installed.
        """
        segments = classes in REGIONS
        if not segments and (classes != CLASSES or dense or self.dimensions == 3):
            lists = [*([CLASSES] if not dense and self.dimensions == 2 else []), *REGIONS]
            known = " or ".join(f"[{', '.join(one)}]" for one in lists)
            raise InputError(
                f"the phantom's classes are {known}, the recipe's [{', '.join(classes)}]",
                where="data",
                remedy="copy them into 'task.classes' in this order",
            )
        least = min((getattr(self.count, name), name) for name in SPLITS)
        if not segments and least[0] < _LEAST:
            raise InputError(
                f"{least[0]} slices in '{least[1]}' are too few to classify: some of the classes would be absent",
                where="data.count",
                remedy=f"give {_LEAST} or more",
            )
        if self.dimensions == 3:
            return self._dataset(
                classes, {name: self._volumes(number, classes) for number, name in enumerate(SPLITS)}
            )
        try:
            import skimage.transform  # noqa: F401
        except ImportError:
            raise missing_package("scikit-image", "data") from None
        return self._dataset(classes, {name: self._slices(number, classes) for number, name in enumerate(SPLITS)})

    def _dataset(self, classes: tuple[str, ...], splits: dict[SplitName, Split]) -> Dataset:
        flat = self.dimensions == 2
        statement = NO_EVIDENCE if flat else NO_EVIDENCE_3D
        scan = "Radon transform -> Poisson noise -> filtered back projection (Hann) -> window"
        provenance = {
            "source": "phantom",
            "synthetic": True,
            "statement": statement,
            "method": f"ellipses -> {scan}" if flat else "ellipsoids -> Gaussian noise",
            "field_of_view_mm": FIELD_OF_VIEW_MM if flat else list(FIELD_MM),
            "settings": self.model_dump(mode="json"),
        }
        return Dataset("phantom", classes, splits, (statement,), provenance)

    def _slices(self, number: int, classes: tuple[str, ...]) -> Split:
        """The slices of split ``number``, with labels or, to segment, with masks of the classes."""
        name = SPLITS[number]
        labels = _labels(getattr(self.count, name), np.random.default_rng((self.seed, number)))
        segments = classes in REGIONS
        return Split(
            count=len(labels),
            image=functools.partial(self._image, number, labels),
            labels=None if segments else labels,
            ids=tuple(f"phantom-{name}-{index}" for index in range(len(labels))),
            # Every slice is a patient of its own.
            groups=tuple(f"{name}-{index}" for index in range(len(labels))),
            mask=functools.partial(self._mask, number, labels, "liver" in classes),
            spacings=((FIELD_OF_VIEW_MM / self.size,) * 2,) * len(labels),
        )

    def _volumes(self, number: int, classes: tuple[str, ...]) -> Split:
        """The volumes of split ``number``."""
        name = SPLITS[number]
        count = getattr(self.count, name)

        def mask(index: int) -> NDArray[np.uint8]:
            return _chosen(draw_volume(self._random(number, index), self.size).regions, "liver" in classes)

        return Split(
            count=count,
            image=lambda index: draw_volume(self._random(number, index), self.size).hounsfield,
            labels=None,
            ids=tuple(f"phantom-{name}-{index}" for index in range(count)),
            groups=tuple(f"{name}-{index}" for index in range(count)),
            mask=mask,
            spacings=tuple(frame(self._random(number, index), self.size)[1] for index in range(count)),
        )

    def _random(self, split: int, index: int) -> np.random.Generator:
        """One stream for each slice, so that it does not matter which slices are made, and when."""
        return np.random.default_rng((self.seed, split, index))

    def _image(self, split: int, labels: NDArray[np.int64], index: int) -> NDArray[np.uint8]:
        """The slice as ``uint8[size, size]``."""
        random = self._random(split, index)
        scene = draw_scene(random, CLASSES[labels[index]])
        truth = render(scene, self.size)
        hounsfield = self._scan(WATER_PER_MM * (1 + truth / 1000), random)
        low = self.window_level_hu - self.window_width_hu / 2
        shown = np.clip((hounsfield - low) / self.window_width_hu, 0, 1)
        return np.round(shown * 255).astype(np.uint8)

    def _mask(self, split: int, labels: NDArray[np.int64], liver: bool, index: int) -> NDArray[np.uint8]:
        """``uint8[size, size]``: 1 in the lesion; with ``liver`` 1 in the liver and 2 in the lesion."""
        scene = draw_scene(self._random(split, index), CLASSES[labels[index]])
        return _chosen(regions(scene, self.size), liver)

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


def _chosen(found: NDArray[np.uint8], liver: bool) -> NDArray[np.uint8]:
    """The classes of ``regions``, or the lesion's alone."""
    return found if liver else (found == 2).astype(np.uint8)


def _labels(count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``int64[count]`` in random order, each class with its share, rounded, and at least one slice."""
    numbers = np.maximum(np.floor(np.array(SHARES) * count + 0.5).astype(np.int64), 1)
    numbers[0] += count - numbers.sum()
    if numbers[0] < 0:  # fewer slices than ``_LEAST``, which only a segmentation has
        return random.integers(0, len(SHARES), count)
    return random.permutation(np.repeat(np.arange(len(SHARES)), numbers))
