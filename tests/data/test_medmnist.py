from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.data import MedMnist
from edgekit.data import medmnist as source
from edgekit.errors import InputError, MissingError

CLASSES = ("malignant", "normal, benign")
INFO = {
    "label": {"0": CLASSES[0], "1": CLASSES[1]},
    "license": "CC BY 4.0",
    "url": "https://example.org/set.npz",
    "url_64": "https://example.org/set_64.npz",
}


def content() -> bytes:
    random = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        made[f"{split}_images"] = random.integers(0, 256, (4, 28, 28), dtype=np.uint8)
        made[f"{split}_labels"] = np.array([[0], [1], [0], [1]])
    buffer = io.BytesIO()
    np.savez(buffer, **made)
    return buffer.getvalue()


@pytest.fixture
def info(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The package's entry for a data set, with the checksum of ``content()``."""
    entry = {**INFO, "MD5": hashlib.md5(content()).hexdigest(), "MD5_64": "0"}
    monkeypatch.setattr(source, "_info", lambda name: entry)
    return entry


def test_the_list_of_names_is_the_package_s() -> None:
    medmnist = pytest.importorskip("medmnist")
    single = {n for n, one in medmnist.INFO.items() if not n.endswith("3d") and "multi-label" not in one["task"]}
    assert set(source.NAMES) == single


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("brestmnist", "did you mean 'breastmnist'"),
        ("chestmnist", "several labels for each image"),
        ("nodulemnist3d", "holds volumes"),
    ],
)
def test_refuses_unsuitable_names(name: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MedMnist(kind="medmnist", name=name)


@pytest.mark.usefixtures("info")
def test_uses_the_file_that_is_there(tmp_path: Path) -> None:
    config = MedMnist(kind="medmnist", name="breastmnist", root=tmp_path)
    assert config.files() == ()
    (tmp_path / "breastmnist.npz").write_bytes(content())
    assert config.files() == (tmp_path / "breastmnist.npz",)
    dataset = config.load(CLASSES)
    assert dataset.name == "breastmnist"
    assert dataset.provenance["license"] == "CC BY 4.0"
    assert dataset.splits["test"].count == 4


@pytest.mark.usefixtures("info")
@pytest.mark.parametrize("classes", [("a", "b", "c"), CLASSES[::-1]])
def test_refuses_other_classes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    (tmp_path / "breastmnist.npz").write_bytes(content())
    with pytest.raises(InputError, match=r"breastmnist has \[malignant, normal, benign\]"):
        MedMnist(kind="medmnist", name="breastmnist", root=tmp_path).load(classes)


def test_without_download_the_network_stays_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("opened the network"))
    with pytest.raises(MissingError, match=r"no file .*breastmnist_64\.npz.*download: true"):
        MedMnist(kind="medmnist", name="breastmnist", size=64, root=tmp_path).load(CLASSES)


@pytest.mark.usefixtures("info")
def test_without_a_network_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(MissingError) as caught:
        MedMnist(kind="medmnist", name="breastmnist", download=True, root=tmp_path).load(CLASSES)
    assert str(caught.value) == (
        "breastmnist.npz could not be downloaded: Name or service not known "
        f"(download https://example.org/set.npz yourself and save it as {tmp_path / 'breastmnist.npz'})"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("info")
def test_downloads_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(content())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    config = MedMnist(kind="medmnist", name="breastmnist", download=True, root=tmp_path / "new")
    assert config.load(CLASSES).splits["train"].count == 4
    assert config.load(CLASSES).splits["train"].count == 4
    assert asked == ["https://example.org/set.npz"]


@pytest.mark.usefixtures("info")
def test_refuses_a_download_with_a_wrong_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"a login page"))
    config = MedMnist(kind="medmnist", name="breastmnist", download=True, root=tmp_path)
    with pytest.raises(MissingError, match="wrong checksum"):
        config.load(CLASSES)
    assert not config.file.exists()
