from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgekit.data.file_tree import open_tree
from edgekit.errors import InputError

FILES = {"a/1.txt": b"one", "a/2.txt": b"two" * 5000, "b.txt": b"three", "__MACOSX/b.txt": b"", "a/.DS_Store": b""}


@pytest.fixture(params=["folder", "zip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
            for name, content in FILES.items():
                opened.writestr(name, content)
        return tmp_path / "data.zip"
    for name, content in FILES.items():
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "data"


def test_lists_and_reads(path: Path) -> None:
    tree = open_tree(path)
    assert tree.names() == ["a/1.txt", "a/2.txt", "b.txt"]
    assert tree.holds("a/1.txt")
    assert not tree.holds("a/3.txt")
    assert tree.read("b.txt") == b"three"
    assert (tree.head("b.txt", 2), tree.head("b.txt", 99)) == (b"th", b"three")
    with pytest.raises(InputError, match=r"a/3\.txt"):
        tree.read("a/3.txt")


def test_many_threads_read_the_same_bytes(path: Path) -> None:
    tree = open_tree(path)
    with ThreadPoolExecutor(8) as pool:
        assert all(content == FILES["a/2.txt"] for content in pool.map(tree.read, ["a/2.txt"] * 200))


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_stays_inside(path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leaves the"):
        open_tree(path).holds(name)
    with pytest.raises(InputError, match=r"leaves the|no such file"):
        open_tree(path).read(name)


def test_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (data / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match="leaves the folder"):
        open_tree(data).read("link.txt")
    (data / "folder").symlink_to(tmp_path)
    with pytest.raises(InputError, match="'folder' is a link"):
        open_tree(data).names()


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png"])
def test_refuses_a_zip_with_members_outside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
        opened.writestr(name, b"x")
    with pytest.raises(InputError, match="would lie outside of the zip"):
        open_tree(tmp_path / "data.zip")


def test_refuses_damaged_and_foreign_files(tmp_path: Path) -> None:
    file = tmp_path / "data.zip"
    file.write_bytes(b"hello")
    with pytest.raises(InputError, match="neither a folder nor a whole zip"):
        open_tree(file)
    with pytest.raises(InputError, match="no such file or folder"):
        open_tree(tmp_path / "absent")
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a.txt", b"0123456789")
    content = bytearray(file.read_bytes())
    content[content.index(b"0123")] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged in the zip"):
        open_tree(file).read("a.txt")
