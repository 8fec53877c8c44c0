from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import ImageFolder
from edgekit.data.splits import Draw
from edgekit.errors import InputError
from tests.data.truth import labels

CLASSES = ("cat", "dog")


def fill(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8), number, np.uint8)).save(file)
    return root


def flat(root: Path, count: int = 20) -> Path:
    return fill(root, [f"{label}/{n:02}.png" for label in CLASSES for n in range(count)])


def config(path: Path, **options: Any) -> ImageFolder:
    return ImageFolder(kind="folder", path=path, **options)


def test_splits_class_folders_with_a_seed(tmp_path: Path) -> None:
    path = flat(tmp_path / "data")
    dataset = config(path).load(CLASSES)
    assert {n: s.count for n, s in dataset.splits.items()} == {"train": 28, "val": 4, "test": 8}
    for split in dataset.splits.values():
        assert np.bincount(labels(split)).tolist() == [split.count // 2] * 2
    ids = [name for split in dataset.splits.values() for name in split.ids]
    assert len(set(ids)) == 40
    assert config(path).load(CLASSES).splits["test"].ids == dataset.splits["test"].ids
    other = config(path, draw=Draw(seed=1)).load(CLASSES)
    assert other.splits["test"].ids != dataset.splits["test"].ids
    assert "splits drawn by image, stratified by class, seed 0, in the shares train 0.7" in dataset.notes[0]


@pytest.mark.parametrize("outer", ["", "dataset/"])
def test_reads_split_folders_from_a_zip(tmp_path: Path, outer: str) -> None:
    names = [f"{outer}{s}/{c}/{n}.png" for s in ("train", "val", "test") for c in CLASSES for n in range(2)]
    fill(tmp_path / "data", names)
    (tmp_path / "data" / outer / "README.txt").write_text("hello")
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "data"))
    dataset = config(path).load(CLASSES)
    split = dataset.splits["val"]
    assert split.ids[2] == f"{outer}val/dog/0.png"
    assert labels(split).tolist() == [0, 0, 1, 1]
    assert split.image(2)[0, 0] == names.index(split.ids[2])
    assert dataset.notes[0] == f"files left out because they are no images: 1, such as {outer}README.txt"


def test_maps_folders_to_classes(tmp_path: Path) -> None:
    dataset = config(flat(tmp_path / "data"), labels={"cat": "feline"}).load(("dog", "feline"))
    split = dataset.splits["test"]
    assert [("dog", "feline")[label] for label in labels(split)] == [
        "feline" if name.startswith("cat") else "dog" for name in split.ids
    ]


def test_takes_a_missing_split_from_train_when_told(tmp_path: Path) -> None:
    path = fill(
        tmp_path / "data", [f"{s}/{c}/{n}.png" for s in ("train", "test") for c in CLASSES for n in range(8)]
    )
    with pytest.raises(InputError, match=r"no image in the split 'val'.*say 'draw'"):
        config(path).load(CLASSES)
    dataset = config(path, draw=Draw()).load(CLASSES)
    assert {n: s.count for n, s in dataset.splits.items()} == {"train": 14, "val": 2, "test": 16}
    assert all(name.startswith("train/") for name in dataset.splits["val"].ids)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["cat/0.png", "dgo/0.png"], {}, "the folder 'dgo' is no class of the recipe, did you mean 'dog'"),
        (["train/cat/0.png", "valid/cat/0.png"], {}, "the folder 'valid' is no split.*did you mean 'val'"),
        (["cat/patient1/0.png", "dog/0.png"], {}, "is not placed as <class>/<image>; an index CSV can list it"),
        (["0.png"], {}, "is not placed as <class>/<image>"),
        ([], {}, "no images in it"),
        (["cat/0.png", "dog/0.png"], {}, "2 images are too few: nothing is left for"),
        (["cat/0.png"], {"labels": {"cat": "lion"}}, "'labels' maps to 'lion', which is no class"),
        (["val/cat/0.png", "test/dog/0.png"], {"draw": Draw()}, "no image in the split 'train'"),
        ([f"{s}/cat/0.png" for s in ("train", "val", "test")], {"draw": Draw()}, "nothing to draw"),
    ],
)
def test_refuses(tmp_path: Path, names: list[str], options: dict[str, Any], message: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(InputError, match=message) as caught:
        config(fill(root, names), **options).load(CLASSES)
    assert str(root) in str(caught.value)


def test_names_an_unreadable_image(tmp_path: Path) -> None:
    path = flat(tmp_path / "data")
    dataset = config(path).load(CLASSES)
    name = dataset.splits["train"].ids[0]
    (path / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=name):
        dataset.splits["train"].image(0)
