from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekit.data import Dataset, Phantom
from edgekit.data.phantom import REGIONS, Count
from edgekit.data.phantom_scene import CLASSES
from edgekit.errors import InputError
from tests.data.truth import labels

pytest.importorskip("skimage")
SMALL = Count(train=60, val=40, test=40)
Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Phantom(kind="phantom", seed=7, count=SMALL).load(CLASSES)


@pytest.fixture(scope="module")
def slices(dataset: Dataset) -> list[tuple[str, Image, Image]]:
    """Class, image and mask of the training split."""
    split = dataset.splits["train"]
    assert split.mask is not None
    return [(CLASSES[labels(split)[n]], split.image(n), split.mask(n)) for n in range(split.count)]


def inside(slices: list[tuple[str, Image, Image]], label: str) -> float:
    """Mean gray value inside the lesions of a class."""
    return float(np.mean([image[mask == 1].mean() for name, image, mask in slices if name == label]))


def test_classes_have_their_shares_and_one_is_rare() -> None:
    whole = Phantom(kind="phantom").load(CLASSES)
    counts = np.bincount(labels(whole.splits["train"]))
    assert counts.tolist() == [296, 160, 160, 160, 24]
    assert len(CLASSES) - 1 >= 4
    assert counts[4] / counts.sum() == pytest.approx(0.03)
    assert all(np.bincount(labels(split), minlength=5).min() >= 1 for split in whole.splits.values())


def test_the_seed_decides_every_pixel(dataset: Dataset) -> None:
    again = Phantom(kind="phantom", seed=7, count=SMALL).load(CLASSES)
    other = Phantom(kind="phantom", seed=8, count=SMALL).load(CLASSES)
    for number in (5, 0):
        image = dataset.splits["val"].image(number)
        assert image.shape == (64, 64)
        assert image.dtype == np.uint8
        assert np.array_equal(image, again.splits["val"].image(number))
        assert not np.array_equal(image, other.splits["val"].image(number))
        assert not np.array_equal(image, dataset.splits["test"].image(number))


def test_masks_mark_lesions_only(slices: list[tuple[str, Image, Image]]) -> None:
    for label, image, mask in slices:
        assert mask.shape == image.shape
        assert bool(mask.any()) == (label != "no lesion")
        assert mask.mean() < 0.05


def test_lesions_look_as_their_tissue(slices: list[tuple[str, Image, Image]]) -> None:
    liver = float(np.mean([image[26:30, 20:24].mean() for name, image, _ in slices if name == "no lesion"]))
    assert inside(slices, "cystic lesion") < liver - 15
    assert inside(slices, "solid nodule") > liver + 15
    assert inside(slices, "calcified nodule") > inside(slices, "solid nodule") + 15


def test_hounsfield_units_are_right_without_noise() -> None:
    config = Phantom(kind="phantom", count=SMALL, photons=1e9, angles=180, size=128)
    split = config.load(CLASSES).splits["train"]
    assert split.mask is not None
    values = []
    for number in np.flatnonzero(labels(split) == CLASSES.index("cystic lesion"))[:6]:
        image, mask = split.image(int(number)), split.mask(int(number))
        values.append(np.median(image[mask == 1]) / 255 * config.window_width_hu - 140)
    # Cysts are drawn at 5 HU, give or take 12.
    assert np.mean(values) == pytest.approx(5, abs=15)


def test_fewer_photons_give_more_noise() -> None:
    def noise(photons: float) -> float:
        split = Phantom(kind="phantom", seed=1, count=SMALL, photons=photons).load(CLASSES).splits["train"]
        clean = Phantom(kind="phantom", seed=1, count=SMALL, photons=1e9).load(CLASSES).splits["train"]
        pairs = [(split.image(n).astype(float), clean.image(n).astype(float)) for n in range(3)]
        return float(np.mean([np.std((a - b)[20:44, 16:48]) for a, b in pairs]))

    low, high = noise(2e4), noise(2e6)
    assert low > 4 * high
    assert high > 0.2


def test_says_that_it_is_no_evidence(dataset: Dataset) -> None:
    assert any("no medical evidence" in note for note in dataset.notes)
    assert dataset.provenance["synthetic"] is True
    assert dataset.provenance["settings"]["seed"] == 7


@pytest.mark.parametrize("classes", REGIONS)
def test_slices_to_segment(classes: tuple[str, ...]) -> None:
    few = Count(train=3, val=1, test=1)
    split = Phantom(kind="phantom", count=few).load(classes, dense=True).splits["train"]
    assert split.labels is None
    assert split.mask is not None
    assert split.spacings == ((5.625, 5.625),) * 3
    values = set.union(*(set(np.unique(split.mask(number)).tolist()) for number in range(3)))
    assert values == set(range(len(classes)))
    assert split.image(0).shape == split.mask(0).shape == (64, 64)


@pytest.mark.parametrize("classes", REGIONS)
def test_volumes_to_segment(classes: tuple[str, ...]) -> None:
    config = Phantom(kind="phantom", dimensions=3, size=32, count=Count(train=6, val=1, test=1))
    dataset = config.load(classes, dense=True)
    split = dataset.splits["train"]
    assert split.mask is not None
    assert split.spacings is not None
    assert len(set(split.spacings)) == 6
    assert len({split.image(number).shape for number in range(6)}) > 1
    lesion = len(classes) - 1
    for number in range(6):
        volume, mask = split.image(number), split.mask(number)
        assert volume.dtype == np.float32
        assert volume.shape == mask.shape
        assert set(np.unique(mask).tolist()) == set(range(len(classes)))
        assert np.array_equal(volume, config.load(classes).splits["train"].image(number))
        sides = np.multiply(volume.shape, split.spacings[number] or 0)
        assert np.all(np.abs(sides / (150, 200, 200) - 1) < 0.11)
        litres = float((mask == lesion).mean() * np.prod(sides)) / 1e6
        assert 0.005 < litres < 0.06, "a ball of 13 to 22 mm, give or take a tenth along each axis"
        if lesion == 2:
            assert volume[mask == 1].mean() == pytest.approx(100, abs=15)
    assert "volumes of drawn ellipsoids" in dataset.notes[0]


def test_refuses_what_does_not_go_together() -> None:
    with pytest.raises(
        InputError, match=r"the phantom's classes are \[background, lesion\] or \[background, liver"
    ):
        Phantom(kind="phantom").load(CLASSES, dense=True)
    with pytest.raises(InputError, match=r"the phantom's classes are \[background, lesion\] or"):
        Phantom(kind="phantom", dimensions=3).load(CLASSES)
    with pytest.raises(InputError, match=r"data\.count: 39 slices in 'val' are too few to classify"):
        Phantom(kind="phantom", count=Count(val=39)).load(CLASSES)
    with pytest.raises(ValidationError, match="'photons' has no effect with 'dimensions: 3'"):
        Phantom(kind="phantom", dimensions=3, photons=1e4)


def test_refuses_other_classes() -> None:
    with pytest.raises(InputError, match=r"copy them into 'task\.classes'"):
        Phantom(kind="phantom").load(("a", "b"))
