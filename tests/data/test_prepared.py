from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data import Prepared, prepare
from edgekit.data.base import Dataset, Preprocessing, Split, SplitName
from edgekit.data.preprocess import normalize
from edgekit.errors import InputError
from tests.data.truth import labels

SPEC = Preprocessing(size=(8, 12))
CLASSES = ("a", "b")


def made(
    count: int,
    seed: int,
    labels: list[int] | None = None,
    groups: tuple[str, ...] | None = None,
    masks: bool = False,
) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 12, 3), dtype=np.uint8)

    def mask(index: int) -> NDArray[np.uint8]:
        return (images[index, :, :, 0] > 127).astype(np.uint8)

    return Split(
        count,
        images.__getitem__,
        np.array(labels or [n % 2 for n in range(count)]),
        tuple(f"{seed}-{n}" for n in range(count)),
        groups,
        mask if masks else None,
    )


def dataset(**changes: Split) -> Dataset:
    splits: dict[str, Split] = {"train": made(70, 1), "val": made(4, 2), "test": made(6, 3)} | changes
    return Dataset(
        "toy", CLASSES, {name: splits[name] for name in ("train", "val", "test")}, ("a note",), {"k": "v"}
    )


def nothing(_fraction: float, _text: str) -> None: ...


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    data = dataset(val=made(4, 2, masks=True))
    seen: list[float] = []
    summary = prepare(data, SPEC, tmp_path, lambda fraction, text: seen.append(fraction))
    prepared = Prepared.open(tmp_path)
    assert prepared.summary == summary == json.loads(json.dumps(summary))
    assert (prepared.classes, prepared.preprocessing) == (CLASSES, SPEC)
    for name, split in data.splits.items():
        assert prepared.count(name) == split.count
        assert prepared.ids(name) == split.ids
        assert np.array_equal(prepared.labels(name), labels(split))
        assert prepared.labels(name).dtype == np.int64
        assert list(prepared.groups(name)) == list(range(split.count)), "without groups each image is its own"
        images = prepared.images(name)
        assert isinstance(images, np.memmap)
        assert images.shape == (split.count, 8, 12, 3)
        assert all(np.array_equal(images[n], split.image(n)) for n in range(split.count))
    masks = prepared.masks("val")
    assert masks is not None
    assert np.array_equal(masks[1], data.splits["val"].image(1)[:, :, 0] > 127)
    assert prepared.masks("train") is None
    assert np.array_equal(prepared.inputs("train", [5, 2]), normalize(prepared.images("train")[[5, 2]], SPEC))
    assert np.array_equal(prepared.pixels("train", [5, 2]), prepared.images("train")[[5, 2]])
    assert prepared.inputs("test").shape == (6, 3, 8, 12)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_summary_counts_and_hashes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    groups = ("p", "p", "q", "q", "q", "r")
    first = prepare(dataset(test=made(6, 3, [0, 0, 0, 0, 1, 1], groups)), SPEC, folders[0], nothing)
    assert first["splits"]["test"]["class_counts"] == {"a": 4, "b": 2}
    assert first["splits"]["test"]["groups"] == 3
    assert first["splits"]["val"]["groups"] is None
    assert list(Prepared.open(folders[0]).groups("test")) == [0, 0, 1, 1, 1, 2]
    assert first["splits"]["test"]["source_size"] == {"min": [8, 12, 3], "max": [8, 12, 3]}
    assert first["notes"] == ["a note"]
    same = prepare(dataset(test=made(6, 3, [0, 0, 0, 0, 1, 1], groups)), SPEC, folders[1], nothing)
    assert same == first
    other = prepare(dataset(test=made(6, 3, [0, 0, 0, 1, 1, 1], groups)), SPEC, folders[2], nothing)
    assert other["splits"]["test"]["image_sha256"] != first["splits"]["test"]["image_sha256"]
    assert other["splits"]["train"]["image_sha256"] == first["splits"]["train"]["image_sha256"]


def test_reports_images_that_two_splits_share(tmp_path: Path) -> None:
    summary = prepare(dataset(test=made(6, 1)), SPEC, tmp_path, nothing)
    # The generator fills arrays in order, so the six images are the first six of the training split.
    assert summary["overlap"] == {"count": 6, "first": [["train", f"1-{n}", "test", f"1-{n}"] for n in range(6)]}
    assert summary["notes"][-1].startswith(
        "WARNING: images with the same pixels in two splits: 6, such as train 1-0 = test 1-0;"
    )


def test_notes_what_a_reader_should_know(tmp_path: Path) -> None:
    spec = Preprocessing(size=(16, 16), channels=1, mean=(0.5,), std=(0.5,))
    summary = prepare(dataset(val=made(2, 2, [1, 1])), spec, tmp_path, nothing)
    assert summary["notes"] == [
        "a note",
        "WARNING: the split 'val' has no image of: a",
        "images are resized to 16x16 without keeping their aspect ratio",
        "some images are smaller than 16x16 and are enlarged",
        "colour images are reduced to gray",
    ]


def test_refuses_what_cannot_be_used(tmp_path: Path) -> None:
    shared = {"train": made(2, 1, groups=("p", "q")), "val": made(1, 2, groups=("q",))}
    with pytest.raises(InputError, match="the group 'q' is in 'train' and in 'val'"):
        prepare(dataset(**shared), SPEC, tmp_path, nothing)
    with pytest.raises(InputError, match="the split 'val' has no images"):
        prepare(dataset(val=made(0, 1)), SPEC, tmp_path, nothing)
    wrong = Split(
        1,
        lambda _: np.zeros((8, 12), np.uint8),
        np.zeros(1, np.int64),
        ("i",),
        None,
        lambda _: np.zeros((5, 5), np.uint8),
    )
    with pytest.raises(InputError, match="the mask of i is 5x5, its image 8x12"):
        prepare(dataset(val=wrong), SPEC, tmp_path, nothing)


def test_an_unreadable_image_ends_it(tmp_path: Path) -> None:
    def broken(index: int) -> NDArray[np.uint8]:
        raise InputError("not a readable image", where=f"images/{index}.png")

    split = Split(3, broken, np.zeros(3, np.int64), ("x", "y", "z"))
    with pytest.raises(InputError, match=r"images/0\.png: not a readable image"):
        prepare(dataset(train=split), SPEC, tmp_path, nothing)
    with pytest.raises(InputError, match="no prepared data"):
        Prepared.open(tmp_path)


def test_a_full_disk_is_an_error_not_a_crash(tmp_path: Path) -> None:
    names: tuple[SplitName, ...] = ("train", "val", "test")
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for name in names:
        (tmp_path / f"{name}_images.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        prepare(dataset(), SPEC, tmp_path, nothing)


def test_open_refuses_a_damaged_folder(tmp_path: Path) -> None:
    prepare(dataset(), SPEC, tmp_path, nothing)
    file = tmp_path / "train_images.npy"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="prepared data is damaged"):
        Prepared.open(tmp_path).images("train")
