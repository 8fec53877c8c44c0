from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgekit.data import Dataset, Masks, Prepared, Preprocessing, prepare
from edgekit.data.splits import Draw
from edgekit.errors import InputError
from tests.data import niftis

TWO = ("background", "lesion")
SHARES = Draw(train=0.6, val=0.2, test=0.2)
PATTERNS = {"images": "img/{group}_{id}.png", "masks": "seg/{group}_{id}_mask.png"}


def picture(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pictures(root: Path, count: int = 10) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        name = f"p{number // 2}_{number}"
        picture(root / f"img/{name}.png", random.integers(0, 256, (12, 10, 3), dtype=np.uint8))
        mask = np.zeros((12, 10), np.uint8)
        mask[3:6, 2:7] = 255
        picture(root / f"seg/{name}_mask.png", mask)
        picture(root / f"fov/{name}.png", np.pad(np.full((10, 8), 9, np.uint8), 1))
    return root


def volumes(root: Path, count: int = 6) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        volume = random.normal(size=(9 + number % 3, 10, 12)).astype(np.float32)
        niftis.write(root / f"images/v{number}.nii.gz", volume)
        niftis.write(root / f"labels/v{number}.nii.gz", (volume > 1).astype(np.uint8))
    return root


def config(path: Path, **options: Any) -> Masks:
    return Masks(**({"kind": "masks", "path": path} | PATTERNS | options))


def flat(path: Path, **options: Any) -> Masks:
    return config(path, images="images/{id}.nii.gz", masks="labels/{id}.nii.gz", **options)


def prepared(dataset: Dataset, folder: Path, **spec: Any) -> Prepared:
    folder.mkdir()
    prepare(dataset, Preprocessing(**spec), folder, lambda fraction, text: None, dense=True)
    return Prepared.open(folder)


@pytest.mark.parametrize("packed", [False, True])
def test_matches_images_masks_and_fields_of_view(tmp_path: Path, packed: bool) -> None:
    path = pictures(tmp_path / "data")
    (path / "notes.txt").write_text("no image")
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    dataset = config(path, valid="fov/{group}_{id}.png", draw=SHARES).load(TWO)
    assert {name: split.count for name, split in dataset.splits.items()} == {"train": 6, "val": 2, "test": 2}
    split = dataset.splits["train"]
    assert split.labels is None
    assert split.mask is not None
    assert split.valid is not None
    assert split.image(0).shape == (12, 10, 3)
    assert int(split.mask(0).sum()) == 15
    assert int(split.valid(0).sum()) == 80
    groups = [set(one.groups or ()) for one in dataset.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 5, "both images of a patient are in one split"
    assert "splits drawn by group, seed 0" in dataset.notes[0]


def test_volumes_with_their_spacing(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    dataset = flat(volumes(tmp_path / "data")).load(TWO)
    split = dataset.splits["train"]
    assert split.spacings == ((1.0, 1.0, 2.0),) * split.count
    assert split.image(0).dtype == np.float32
    assert split.mask is not None
    assert np.array_equal(split.mask(0), split.image(0) > 1)
    assert dataset.notes[0].startswith("splits drawn by case, seed 0")
    assert any("no pattern has a {group}" in note for note in dataset.notes)


def test_splits_that_the_names_give(tmp_path: Path) -> None:
    for split in ("training", "val", "test"):
        for number in range(2):
            picture(tmp_path / split / f"{number}.png", np.full((8, 8), number, np.uint8))
            picture(tmp_path / split / f"{number}_m.png", np.full((8, 8), number, np.uint8))
    options: dict[str, Any] = {"images": "{split}/{id}.png", "masks": "{split}/{id}_m.png"}
    dataset = config(tmp_path, **options, split_names={"training": "train"}).load(TWO)
    assert dataset.splits["train"].ids == ("training/0.png", "training/1.png"), "a mask is no image"
    with pytest.raises(InputError, match=r"training/0\.png: unknown split 'training' \(allowed: train, val, test"):
        config(tmp_path, **options).load(TWO)


def refusal(source: Masks, classes: tuple[str, ...] = TWO) -> str:
    with pytest.raises(InputError) as caught:
        source.load(classes)
    return str(caught.value)


def test_images_and_masks_come_in_pairs(tmp_path: Path) -> None:
    path = pictures(tmp_path / "data")
    (path / "seg/p0_0_mask.png").unlink()
    (path / "img/p1_2.png").unlink()
    (path / "fov/p2_4.png").unlink()
    lines = refusal(config(path, valid="fov/{group}_{id}.png")).splitlines()
    assert lines[0] == f"{path}/img/p0_0.png: an image without mask: there is no seg/p0_0_mask.png"
    assert lines[1] == f"{path}/img/p2_4.png: an image without field of view: there is no fov/p2_4.png"
    assert lines[2].startswith(f"{path}/seg/p1_2_mask.png: a mask without image")
    assert lines[3].startswith(f"{path}/fov/p1_2.png: a field of view without image")


def test_nothing_matches(tmp_path: Path) -> None:
    path = pictures(tmp_path / "data", 1)
    text = refusal(config(path, images="imgs/{id}.png", masks="seg/{id}_mask.png"))
    assert "no file fits 'images: imgs/{id}.png' (there is: fov/p0_0.png, img/p0_0.png, seg/p0_0_mask.png" in text
    assert "too few" in refusal(config(path))
    assert "no such file or folder" in refusal(config(tmp_path / "nowhere"))
    assert "'values' maps to 'tumour'" in refusal(config(path, values={1: "tumour"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "img/a.png"}, "needs the field '{id}'"),
        ({"images": "{id}/{name}.png"}, "has the field '{name}'; known: {id}, {split}, {group}"),
        ({"images": "img/{id}.png"}, "'masks' has the field '{group}', which 'images' lacks"),
        ({"masks": PATTERNS["images"]}, "'masks' and 'images' are the same pattern"),
        ({"split_names": {"a": "train"}}, "'split_names' needs the field '{split}'"),
    ],
)
def test_patterns_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        config(Path("data"), **options)
    assert message in str(caught.value)


def test_headers_are_checked_before_any_work(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = volumes(tmp_path)
    niftis.write(path / "images/v0.nii.gz", np.zeros((9, 10, 12), np.int16), pixdim=[1, 0, 0, 0, 0, 0, 0, 0])
    niftis.write(path / "labels/v1.nii.gz", np.zeros((9, 10, 12), np.uint8))
    niftis.write(path / "labels/v2.nii.gz", np.zeros((11, 10, 12), np.uint8), spacing=(1.0, 1.0, 3.0))
    (path / "images/v3.nii.gz").write_bytes(b"")
    lines = refusal(flat(path)).splitlines()
    assert len(lines) == 4
    for line, message in zip(
        lines,
        (
            f"{path}/images/v0.nii.gz: a volume without spacing: its header says 0x0x0",
            f"{path}/labels/v1.nii.gz: the mask is 9x10x12, its image 10x10x12",
            f"{path}/labels/v2.nii.gz: the mask has a spacing of 1x1x3 mm, its image of 1x1x2 mm",
            f"{path}/images/v3.nii.gz: not a NIfTI file",
        ),
        strict=True,
    ):
        assert line.startswith(message)


def test_a_volume_needs_a_volume_as_mask(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = volumes(tmp_path, 1)
    picture(path / "masks/v0.png", np.zeros((10, 12), np.uint8))
    source = config(path, images="images/{id}.nii.gz", masks="masks/{id}.png")
    assert "images/v0.nii.gz is a NIfTI volume, masks/v0.png is not (give both as volumes" in refusal(source)


def test_what_a_file_holds_is_checked_when_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = pictures(tmp_path / "flat")
    for number, pixels in enumerate((np.full((12, 10), 7, np.uint8), np.zeros((5, 5), np.uint8))):
        for case in range(10):
            picture(path / f"seg/p{case // 2}_{case}_mask.png", pixels)
        message = (
            r"seg/p\d_\d_mask\.png: the mask holds the value 7",
            r"the mask of img/.* is 5x5, its image 12x10",
        )
        with pytest.raises(InputError, match=message[number]):
            prepared(config(path, draw=SHARES).load(TWO), tmp_path / str(number), size=(8, 8))
    deep = volumes(tmp_path / "deep")
    holes = np.full((9, 10, 12), np.nan, np.float32)
    holes[0] = 0
    niftis.write(deep / "images/v0.nii.gz", holes)
    niftis.write(deep / "labels/v0.nii.gz", np.zeros((9, 10, 12), np.uint8))
    dataset = flat(deep, draw=Draw(train=0.5, val=0.25, test=0.25)).load(TWO)
    split = next(one for one in dataset.splits.values() if "images/v0.nii.gz" in one.ids)
    with pytest.raises(InputError, match=r"images/v0\.nii\.gz: 960 voxels are no finite numbers"):
        split.image(split.ids.index("images/v0.nii.gz"))


def test_dimensions_of_data_and_input_agree(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    deep, wide = flat(volumes(tmp_path / "deep")), config(pictures(tmp_path / "wide"), draw=SHARES)
    with pytest.raises(InputError, match=r"is a volume of 3 dimensions .*'input.size' has 2 numbers \(8x8\)"):
        prepared(deep.load(TWO), tmp_path / "a", size=(8, 8))
    with pytest.raises(InputError, match=r"is an image of 2 dimensions \(12x10\), 'input.size' has 3 numbers"):
        prepared(wide.load(TWO), tmp_path / "b", size=(8, 8, 8), fit="window", channels=1, mean=(0,), std=(1,))


def test_volumes_to_windows(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    data = prepared(
        flat(volumes(tmp_path / "data")).load(TWO),
        tmp_path / "out",
        size=(8, 8, 16),
        fit="window",
        channels=1,
        normalization="per_image",
    )
    case = data.cases("train")[0]
    assert case.spacing == (1.0, 1.0, 2.0)
    assert case.starts[0] == (0, 0, -2)
    assert data.inputs("train", [0]).shape == (1, 1, 8, 8, 16)
    assert any("6 cases are smaller than a window" in note for note in data.summary["notes"])
