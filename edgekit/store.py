"""Finished stages, kept by the hash of everything that determined them.

A stage is written under a temporary name and renamed when it is whole, so a process that is killed loses at
most the stage under way, and the next run goes on from the last whole one.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgekit.errors import DeviceError, EdgekitError, InputError

PACKAGE = Path(__file__).resolve().parent
#: What the results of stages depend on: code, templates, and C++ that is built where it runs.
_CODE = ("*.py", "*.j2", "*.[ch]pp")
_DONE = "stage.json"
_MARK = ".edgekit.json"


def canonical(value: Any) -> str:
    """JSON with sorted keys, the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def digest(value: Any) -> str:
    """sha256 (hex) of ``canonical(value)``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, or of the names and contents of all files below a folder.

    Raises:
        InputError: a file cannot be read.
    """
    if path.is_dir():
        whole = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            whole.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
        return whole.hexdigest()
    try:
        with path.open("rb") as handle:
            # hashlib.file_digest would do it, and devices run Python 3.10.
            whole = hashlib.sha256()
            while part := handle.read(1 << 20):
                whole.update(part)
            return whole.hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


@functools.cache
def code_sha256(*sources: str) -> str:
    """Hash of edgekit's own source and templates, files or folders of the package: part of a stage's key."""
    whole = hashlib.sha256()
    for source in sources:
        path = PACKAGE / source
        files = sorted(one for kind in _CODE for one in path.rglob(kind)) if path.is_dir() else [path]
        for file in files:
            whole.update(f"{file.relative_to(PACKAGE).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Versions of the installed distributions among ``packages``; absent ones are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well.

    Raises:
        DeviceError: the disk is full or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        _remove(temporary)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, never a part."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_error(error: OSError, path: Path) -> EdgekitError:
    """The error to show when writing failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeviceError(
            "the disk is full; finished stages are kept", where=str(path), remedy="free some space and run it again"
        )
    return DeviceError(f"cannot be written: {error.strerror or error}", where=str(path))


def present(path: Path) -> bool:
    """Whether there is something at ``path``; false where the system refuses the name itself."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def inside(folder: Path, name: str, where: str) -> Path:
    """``folder / name``, which must stay below ``folder`` once links are followed.

    Raises:
        InputError: the name is absolute, leaves the folder or holds a zero byte.
    """
    path = folder / name
    if "\0" in name:
        raise InputError("a file's name cannot hold a zero byte", where=where, remedy="correct the name")
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"'{name}' leaves the folder {folder}", where=where, remedy="use a path below that folder")
    return path


def home(folder: Path, of_study: bool) -> Path:
    """The folder whose store holds the stages of the run in ``folder``: itself, or that of the study.

    Raises:
        InputError: a run of a study lies in no study's folder.
    """
    if not of_study:
        return folder
    for above in folder.resolve().parents[:2]:
        if present(above / _MARK):
            return above
    raise InputError(
        "this is a run of a study, and the folder of the study is not above it",
        where=str(folder),
        remedy="put it back where 'edgekit compress' wrote it",
    )


@dataclass(frozen=True)
class Finished:
    """A whole stage: its folder, its result (plain data), how long it took and whether it was reused."""

    key: str
    folder: Path
    result: dict[str, Any]
    seconds: float
    cached: bool


class Store:
    """The stages of one output folder, which one process at a time may use."""

    def __init__(self, folder: Path, owner: str) -> None:
        """
        Args:
            folder: the run's output folder.
            owner: the recipe's name; a folder of another recipe is refused.

        Raises:
            InputError: the folder belongs to another recipe, holds foreign files, or is in use.
            DeviceError: it cannot be written.
        """
        self.folder = folder
        self.stages = folder / "stages"
        mark = folder / _MARK
        if present(folder) and not folder.is_dir():
            raise InputError("is a file, not a folder", where=str(folder), remedy="choose another --out")
        if present(mark):
            try:
                before = json.loads(mark.read_text(encoding="utf-8")).get("recipe")
            except (OSError, ValueError, AttributeError):
                before = None
            if before != owner:
                raise InputError(
                    f"this folder holds the run of recipe '{before}', not of '{owner}'",
                    where=str(folder),
                    remedy="choose another --out, or remove the folder",
                )
        elif present(folder) and any(folder.iterdir()):
            raise InputError(
                "this folder is not empty and was not written by edgekit",
                where=str(folder),
                remedy="choose another --out",
            )
        try:
            self.stages.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
        except OSError as error:
            raise write_error(error, folder) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InputError(
                "another edgekit process is working in this folder", where=str(folder), remedy="wait for it to end"
            ) from None
        try:
            write_text(mark, canonical({"recipe": owner}) + "\n")
        except DeviceError:
            self._lock.close()
            raise
        # In the folder, in 'stages' and 'pictures', and in the folders of a study's runs.
        for depth in ("", "*/", "*/*/", "*/*/*/"):
            for stale in folder.glob(f"{depth}.*.tmp"):
                _remove(stale)

    def close(self) -> None:
        """Give the folder free."""
        self._lock.close()

    def find(self, name: str, key: str) -> Finished | None:
        """The stage, when an earlier run finished it."""
        folder = self.stages / f"{name}-{key[:16]}"
        try:
            done = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if done.get("key") != key:
            return None
        return Finished(key, folder, done["result"], done["seconds"], cached=True)

    def run(self, name: str, key: str, work: Callable[[Path], dict[str, Any]]) -> Finished:
        """The stage ``name`` with ``key``: reused when whole, else made by ``work(folder)``.

        ``work`` writes its files into the folder it is given and returns plain data.
        """
        found = self.find(name, key)
        if found is not None:
            return found
        final = self.stages / f"{name}-{key[:16]}"
        started = time.monotonic()
        try:
            temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".tmp", dir=self.stages))
            try:
                result = json.loads(json.dumps(work(temporary)))
                seconds = time.monotonic() - started
                done = {"key": key, "name": name, "seconds": seconds, "result": result}
                (temporary / _DONE).write_text(json.dumps(done), encoding="utf-8")
                _remove(final)
                temporary.replace(final)
            finally:
                _remove(temporary)
        except OSError as error:
            raise write_error(error, final) from error
        return Finished(key, final, result, seconds, cached=False)

    def prune(self, keep: set[str]) -> None:
        """Remove the stages that the run just finished did not use."""
        for folder in self.stages.iterdir():
            if folder.name not in keep:
                _remove(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
