"""Duplicates that were really encoded again or resized are found; different images are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from edgekit.data import hygiene
from edgekit.data.base import SPLITS, Dataset, Preprocessing, Split
from edgekit.data.duplicates import LEAST, pairs
from edgekit.data.fingerprints import Fingerprints, fingerprint
from edgekit.data.phantom import Phantom
from edgekit.data.phantom_scene import CLASSES
from edgekit.data.prepared import Prepared, prepare
from tests.dense_data import dense_data

Pixels = NDArray[np.uint8]


def texture(seed: int, side: int = 64, colour: bool = False) -> Pixels:
    """Smooth random structure, as images have it."""
    random = np.random.default_rng(seed)
    shape = (side // 4, side // 4, 3) if colour else (side // 4, side // 4)
    small = Image.fromarray(random.integers(0, 256, shape).astype(np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def encoded(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def resized(image: Pixels) -> Pixels:
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.BILINEAR))


def brightened(image: Pixels) -> Pixels:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.15))


CHANGES = (encoded, resized, brightened)


def of(images: list[Pixels]) -> Fingerprints:
    found = [fingerprint(image if image.ndim == 3 else image[..., None]) for image in images]
    exact = tuple(image.tobytes() for image in images)
    return Fingerprints(exact, np.array([one for one, _ in found]), np.stack([detail for _, detail in found]))


@pytest.mark.parametrize("colour", [False, True])
def test_each_changed_copy_is_found_and_no_other_image(colour: bool) -> None:
    images = [texture(seed, colour=colour) for seed in range(40)]
    copies = [change(images[index]) for index, change in enumerate(CHANGES)]
    found, level = pairs(of([*images, *copies, images[5]]))
    assert level == LEAST
    assert {(one.first, one.second) for one in found} == {(0, 40), (1, 41), (2, 42), (5, 43)}
    assert [one.exact for one in found if one.first == 5] == [True]


def test_slices_of_one_anatomy_are_no_duplicates() -> None:
    split = Phantom(kind="phantom", angles=24).load(CLASSES).splits["train"]
    slices = [split.image(index) for index in range(60)]
    found, level = pairs(of([*slices, encoded(slices[3])]))
    assert level > LEAST  # all slices are alike, so more is asked for
    assert [(one.first, one.second) for one in found] == [(3, 60)]


def test_sixteen_bits_and_floats() -> None:
    gray = texture(0)
    deep = gray.astype(np.uint16) * 257
    real = (gray.astype(np.float32) - 100) / 37
    hashes, details = zip(*(fingerprint(one[..., None]) for one in (gray, deep, real)), strict=True)
    for other in (1, 2):
        assert int(np.bitwise_count(hashes[0] ^ hashes[other])) <= 4
        assert float(details[0] @ details[other]) > 0.99


def test_images_of_one_gray_are_like_no_other() -> None:
    flat = [np.full((32, 32), value, np.uint8) for value in (10, 11, 200)]
    assert pairs(of([*flat, *(texture(seed) for seed in range(5))]))[0] == []


def test_ten_thousand_images() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, 10_000).astype(np.uint64)
    details = random.normal(size=(10_000, 64)).astype(np.float32)
    details /= np.linalg.norm(details, axis=1, keepdims=True)
    hashes[9_999], details[9_999] = hashes[17], details[17]
    found, _ = pairs(Fingerprints(tuple(str(i).encode() for i in range(10_000)), hashes, details))
    assert [(one.first, one.second) for one in found] == [(17, 9_999)]


@pytest.fixture
def leaky(tmp_path: Path) -> Prepared:
    """A test image that is a training image encoded again, one that is exactly one, and a patient seen twice."""
    images = {
        "train": [*(texture(seed) for seed in range(20)), brightened(texture(7)), encoded(texture(8))],
        "val": [texture(seed) for seed in range(100, 110)],
        "test": [texture(200), encoded(texture(3)), texture(4), texture(201)],
    }
    groups = {name: [f"{name}-{index}" for index in range(len(some))] for name, some in images.items()}
    groups["train"][21] = groups["train"][8]
    splits = {
        name: Split(
            len(images[name]),
            images[name].__getitem__,
            np.arange(len(images[name])) % 2,
            tuple(f"{name}{index}.png" for index in range(len(images[name]))),
            tuple(groups[name]),
        )
        for name in SPLITS
    }
    spec = Preprocessing(size=(48, 48), channels=1, mean=(0.0,), std=(1.0,))
    prepare(Dataset("leaky", ("a", "b"), splits), spec, tmp_path, lambda fraction, text: None)
    return Prepared.open(tmp_path)


def test_findings(leaky: Prepared) -> None:
    found = hygiene.findings(leaky, lambda fraction, text: None)
    across = {tuple(one["splits"]): one for one in found["across"]}
    assert (across["train", "test"]["exact"], across["train", "test"]["near"]) == (1, 1)
    assert across["train", "test"]["first"] == [["train3.png", "test1.png"], ["train4.png", "test2.png"]]
    assert across["train", "val"]["near"] == across["val", "test"]["near"] == 0
    within = {one["split"]: one for one in found["within"]}
    # Two images of the patient of number 8 are no finding; the two patients with one image are.
    assert (within["train"]["exact"], within["train"]["near"]) == (0, 2)
    assert within["train"]["first"] == [["train7.png", "train20.png"]]
    # 7 and 20 have other labels; so has 21, a second image of 8.
    assert found["different_labels"]["pairs"] == 2
    (said,) = hygiene.warnings(found)
    assert said.startswith(
        "2 of 4 images of 'test' are the same as one of 'train', or nearly (1 exact, 1 near; such"
    )


def test_cases_of_a_segmentation(tmp_path: Path) -> None:
    found = hygiene.findings(dense_data(tmp_path, 3), lambda fraction, text: None)
    assert found["images"] == {"train": 12, "val": 8, "test": 4}
    assert "different_labels" not in found
    assert hygiene.warnings(found) == []
