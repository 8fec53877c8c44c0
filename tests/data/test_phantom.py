from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data import Dataset, Phantom
from edgekit.data.phantom import Count
from edgekit.data.phantom_scene import CLASSES
from edgekit.errors import InputError

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
    return [(CLASSES[split.labels[n]], split.image(n), split.mask(n)) for n in range(split.count)]


def inside(slices: list[tuple[str, Image, Image]], label: str) -> float:
    """Mean gray value inside the lesions of a class."""
    return float(np.mean([image[mask == 1].mean() for name, image, mask in slices if name == label]))


def test_classes_have_their_shares_and_one_is_rare() -> None:
    whole = Phantom(kind="phantom").load(CLASSES)
    counts = np.bincount(whole.splits["train"].labels)
    assert counts.tolist() == [296, 160, 160, 160, 24]
    assert len(CLASSES) - 1 >= 4
    assert counts[4] / counts.sum() == pytest.approx(0.03)
    assert all(np.bincount(split.labels, minlength=5).min() >= 1 for split in whole.splits.values())


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
    for number in np.flatnonzero(split.labels == CLASSES.index("cystic lesion"))[:6]:
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


def test_refuses_other_classes() -> None:
    with pytest.raises(InputError, match=r"copy them into 'task\.classes'"):
        Phantom(kind="phantom").load(("a", "b"))
