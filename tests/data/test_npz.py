from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import Npz
from edgekit.errors import InputError
from tests.data.truth import labels

CLASSES = ("benign", "malignant")
Arrays = dict[str, Any]


def arrays(count: int = 6, shape: tuple[int, ...] = (8, 9)) -> Arrays:
    random = np.random.default_rng(0)
    made: Arrays = {}
    for split in ("train", "val", "test"):
        made[f"{split}_images"] = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return made


def saved(folder: Path, made: Arrays) -> Path:
    path = folder / "set.npz"
    np.savez_compressed(path, **made)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Npz(kind="npz", path=path).load(CLASSES)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_loads_gray_and_colour(tmp_path: Path, shape: tuple[int, ...]) -> None:
    made = arrays(shape=shape)
    dataset = Npz(kind="npz", path=saved(tmp_path, made)).load(CLASSES)
    split = dataset.splits["val"]
    assert (dataset.name, dataset.classes, split.count) == ("set", CLASSES, 6)
    assert np.array_equal(split.image(3), made["val_images"][3])
    assert labels(split).dtype == np.int64
    assert labels(split).tolist() == [0, 1, 0, 1, 0, 1]
    assert split.ids[3] == "val[3]"
    assert any("cannot be checked" in note for note in dataset.notes)


@pytest.mark.parametrize("suffix", ["groups", "source"])
@pytest.mark.parametrize("values", ["text", "number"])
def test_reads_groups(tmp_path: Path, suffix: str, values: str) -> None:
    made = arrays()
    for number, split in enumerate(("train", "val", "test")):
        ids = np.arange(6) + 10 * number
        made[f"{split}_{suffix}"] = ids if values == "number" else np.array([f"p{i}" for i in ids])
    dataset = Npz(kind="npz", path=saved(tmp_path, made)).load(CLASSES)
    groups = dataset.splits["val"].groups
    assert groups is not None
    assert groups[1] == ("11" if values == "number" else "p11")
    assert dataset.notes == ()


def wrong(change: str) -> Arrays:
    made = arrays()
    names = np.array([f"p{i}" for i in range(6)])
    changes: dict[str, Arrays] = {
        "dtype": {"train_images": made["train_images"].astype(np.float32)},
        "rank": {"train_images": made["train_images"][0]},
        "channels": {"train_images": np.zeros((6, 8, 8, 4), np.uint8)},
        "empty": {"val_images": made["val_images"][:0], "val_labels": made["val_labels"][:0]},
        "length": {"test_labels": made["test_labels"][:4]},
        "range": {"train_labels": np.array([0, 1, 0, 7, 0, 1])},
        "negative": {"train_labels": np.array([0, 1, -1, 1, 0, 1])},
        "float label": {"train_labels": np.zeros(6)},
        "multi-label": {"train_labels": np.zeros((6, 14), np.uint8)},
        "classes": {"classes": np.array(["malignant", "benign"])},
        "half groups": {"train_groups": names},
        "shared group": {"train_groups": names, "val_groups": names, "test_groups": names},
        "group length": {"train_groups": names[:2], "val_groups": names, "test_groups": names},
        "objects": {"train_labels": np.array([{}] * 6, dtype=object)},
    }
    return made | changes[change]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dtype", "train_images is float32, not uint8"),
        ("rank", r"train_images has the shape [8, 9]"),
        ("channels", r"[n, H, W] or [n, H, W, 3]"),
        ("empty", "val_images is empty"),
        ("length", "test_labels has 4 rows for 6 images"),
        ("range", "train_labels[3] is 7, but the recipe names 2 classes (labels 0 to 1)"),
        ("negative", "train_labels[2] is -1"),
        ("float label", "train_labels is float64, not integers"),
        ("multi-label", "14 labels for each image"),
        ("classes", "the file's classes are [malignant, benign], the recipe's [benign, malignant]"),
        ("half groups", "train_groups is there, val_groups is missing"),
        ("shared group", "the group 'p0' and 5 more is in 'train' and in 'val'"),
        ("group length", "train_groups has 2 rows for 6 images"),
        ("objects", "'train_labels' holds pickled Python objects"),
    ],
)
def test_refuses_wrong_arrays(tmp_path: Path, change: str, message: str) -> None:
    assert message in refusal(saved(tmp_path, wrong(change)))


def test_names_missing_arrays_and_those_there(tmp_path: Path) -> None:
    made = arrays()
    del made["val_labels"], made["test_images"]
    text = refusal(saved(tmp_path, made))
    assert "the arrays val_labels, test_images are missing" in text
    assert "the file holds train_images, train_labels, val_images, test_labels" in text


def test_refuses_truncated_file(tmp_path: Path) -> None:
    path = saved(tmp_path, arrays())
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated npz" in refusal(path)


def test_refuses_damaged_array(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    assert "the array 'train_images' is damaged" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_refuses_what_is_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    assert "not an npz file" in refusal(path)


def test_refuses_a_zip_of_other_files(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("index.csv", "a,b")
    assert "the member 'index.csv' is no array" in refusal(path)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.npz")
