from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit import store
from edgekit.errors import DeviceError, InputError
from edgekit.store import Store

KEY, OTHER = "a" * 64, "b" * 64


def work(folder: Path) -> dict[str, Any]:
    (folder / "file.txt").write_text("made", encoding="utf-8")
    return {"answer": 42}


def never(folder: Path) -> dict[str, Any]:
    raise AssertionError("the stage is whole and must not run again")


def opened(folder: Path) -> Store:
    return Store(folder / "out", "tiny")


def test_finished_stage_is_reused_by_the_next_process(tmp_path: Path) -> None:
    first = opened(tmp_path)
    made = first.run("data", KEY, work)
    first.close()
    again = opened(tmp_path)
    found = again.run("data", KEY, never)
    again.close()
    assert (made.cached, found.cached) == (False, True)
    assert found.result == {"answer": 42}
    assert found.seconds == made.seconds
    assert (found.folder / "file.txt").read_text(encoding="utf-8") == "made"


def test_another_key_runs_again_and_keeps_both(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    first, second = kept.run("data", KEY, work), kept.run("data", OTHER, work)
    kept.close()
    assert not second.cached
    assert first.folder != second.folder
    assert first.folder.is_dir()


def test_equal_start_of_a_key_is_not_enough(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.run("data", KEY, work)
    assert kept.find("data", KEY[:-1] + "0") is None
    kept.close()


@pytest.mark.parametrize("content", ["", "{", '{"key": "other"}'])
def test_damaged_stage_is_made_again(tmp_path: Path, content: str) -> None:
    kept = opened(tmp_path)
    made = kept.run("data", KEY, work)
    (made.folder / "stage.json").write_text(content, encoding="utf-8")
    again = kept.run("data", KEY, work)
    kept.close()
    assert not again.cached
    assert again.folder == made.folder


def test_work_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> dict[str, Any]:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise InputError("no")

    kept = opened(tmp_path)
    with pytest.raises(InputError, match=r"^no$"):
        kept.run("data", KEY, fails)
    kept.close()
    assert list(kept.stages.iterdir()) == []


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_keeps_what_is_finished(tmp_path: Path, kind: int) -> None:
    def fails(folder: Path) -> dict[str, Any]:
        raise OSError(kind, "full")

    kept = opened(tmp_path)
    done = kept.run("data", KEY, work)
    with pytest.raises(DeviceError, match=r"full; finished stages are kept \(free some space") as caught:
        kept.run("model", KEY, fails)
    kept.close()
    assert caught.value.exit_code == 5
    assert list(kept.stages.iterdir()) == [done.folder]


KILLED = """
import os, signal, sys
from pathlib import Path
from edgekit.store import Store

def work(folder):
    (folder / "file.txt").write_text("half")
    return {}

def kill(self, target):
    os.kill(os.getpid(), signal.SIGKILL)

kept = Store(Path(sys.argv[1]), "tiny")
kept.run("data", "a" * 64, lambda folder: {})
Path.replace = kill
kept.run("model", "a" * 64, work)
"""


def test_kill_before_the_rename_leaves_what_the_next_run_removes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = sorted(path.name for path in (folder / "stages").iterdir())
    assert len(left) == 2
    assert left[0].startswith(".model-")
    assert left[0].endswith(".tmp")
    kept = opened(tmp_path)
    assert [path.name for path in kept.stages.iterdir()] == [left[1]]
    assert kept.run("data", KEY, never).cached
    assert not kept.run("model", KEY, work).cached
    kept.close()


def test_prune_removes_the_stages_that_were_not_used(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    used, unused = kept.run("data", KEY, work), kept.run("data", OTHER, work)
    kept.prune({used.folder.name})
    kept.close()
    assert used.folder.is_dir()
    assert not unused.folder.exists()


def test_folder_belongs_to_one_recipe_and_one_process(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(InputError, match="another edgekit process is working in this folder"):
        opened(tmp_path)
    first.close()
    with pytest.raises(InputError, match="holds the run of recipe 'tiny', not of 'other'"):
        Store(tmp_path / "out", "other")
    opened(tmp_path).close()


def test_folder_with_foreign_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not empty and was not written by edgekit"):
        Store(tmp_path, "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_atomic_replaces_whole_files_only(tmp_path: Path) -> None:
    def write_half(path: Path) -> None:
        with store.atomic(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise ValueError("stop")

    path = tmp_path / "below" / "file.txt"
    store.write_text(path, "old")
    with pytest.raises(ValueError, match="stop"):
        write_half(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.png", "b/c.png", "b/../a.png", "."])
def test_inside_allows_what_stays_below(tmp_path: Path, name: str) -> None:
    assert store.inside(tmp_path, name, "index.csv:2") == tmp_path / name


@pytest.mark.parametrize("name", ["..", "../a.png", "b/../../a.png", "/etc/passwd", "link/a.png"])
def test_inside_refuses_what_leaves(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"^index\.csv:2: .* leaves the folder"):
        store.inside(folder, name, "index.csv:2")


def test_digest_depends_on_content_alone() -> None:
    assert store.digest({"a": 1, "b": (2, 3)}) == store.digest({"b": [2, 3], "a": 1})
    assert store.digest({"a": 1}) != store.digest({"a": 1.5})
    assert store.digest({"a": Path("x")}) == store.digest({"a": "x"})


def test_hash_and_size_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert store.file_sha256(tmp_path / "d" / "one") == known
    before = store.file_sha256(tmp_path / "d")
    assert store.size_bytes(tmp_path / "d") == 3
    (tmp_path / "d" / "one").rename(tmp_path / "d" / "two")
    assert store.file_sha256(tmp_path / "d") != before
    with pytest.raises(InputError, match="cannot be read"):
        store.file_sha256(tmp_path / "absent")


def test_code_hash_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PACKAGE", tmp_path)
    (tmp_path / "part").mkdir()
    file = tmp_path / "part" / "a.py"
    file.write_text("x = 1\n", encoding="utf-8")
    store.code_sha256.cache_clear()
    before = store.code_sha256("part"), store.code_sha256("part/a.py")
    (tmp_path / "part" / "notes.txt").write_text("no code", encoding="utf-8")
    store.code_sha256.cache_clear()
    assert store.code_sha256("part") == before[0]
    file.write_text("x = 2\n", encoding="utf-8")
    store.code_sha256.cache_clear()
    after = store.code_sha256("part"), store.code_sha256("part/a.py")
    store.code_sha256.cache_clear()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_versions_leaves_out_what_is_not_installed() -> None:
    found = store.versions("numpy", "no-such-package-anywhere")
    assert list(found) == ["numpy"]
    assert found["numpy"][0].isdigit()
