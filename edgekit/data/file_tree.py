"""A folder or a zip of files, read the same way, and never outside of it."""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from edgekit import store
from edgekit.errors import InputError

#: A larger file is no image of this toolchain, but may be a zip bomb.
MAX_FILE_BYTES = 512 * 1024 * 1024
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


class FileTree(Protocol):
    """Files by their name relative to the root, with ``/`` between the parts."""

    path: Path

    def names(self) -> list[str]:
        """All files in order of their names, without hidden ones and those that desktops leave behind.

        Raises:
            InputError: a folder in it is a link.
        """
        ...

    def holds(self, name: str) -> bool:
        """Whether there is a file of that name.

        Raises:
            InputError: the name leaves the folder.
        """
        ...

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: missing, damaged, encrypted or too large.
        """
        ...

    def head(self, name: str, count: int) -> bytes:
        """The first ``count`` bytes of a file, or all where it is shorter.

        Raises:
            InputError: as ``read``.
        """
        ...


def open_tree(path: Path) -> FileTree:
    """The folder or zip at ``path``.

    Raises:
        InputError: there is nothing, it is neither, or the zip has members outside of itself.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise InputError(
            "no such file or folder", where=str(path), remedy="EDGEKIT_DATA names the folder of the data"
        )
    return _Zip(path)


def _shown(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") or part in _IGNORED for part in parts)


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        found: list[str] = []
        for folder, below, files in os.walk(self.path):
            links = [name for name in below if (Path(folder) / name).is_symlink()]
            if links:
                raise InputError(
                    f"the folder '{links[0]}' is a link, which is not followed",
                    where=folder,
                    remedy="put the folder itself there",
                )
            found += [(Path(folder) / name).relative_to(self.path).as_posix() for name in files]
        return sorted(name for name in found if _shown(name))

    def holds(self, name: str) -> bool:
        file = store.inside(self.path, name, str(self.path))
        return store.present(file) and file.is_file()

    def read(self, name: str) -> bytes:
        return self.head(name, -1)

    def head(self, name: str, count: int) -> bytes:
        file = store.inside(self.path, name, str(self.path))
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise InputError(f"more than {MAX_FILE_BYTES:,} bytes", where=str(file))
            with file.open("rb") as opened:
                return opened.read(count)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", where=str(file)) from None


class _Zip:
    """Members are read from the open zip; nothing is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise InputError(
                f"neither a folder nor a whole zip: {error}", where=str(path), remedy="fetch the file again"
            ) from None
        self._members = {m.filename: m for m in self._zip.infolist() if not m.is_dir()}
        for name in self._members:
            parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
            if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
                raise InputError(
                    f"the member '{name}' would lie outside of the zip",
                    where=str(path),
                    remedy="do not trust this file; pack it again",
                )
        # One handle serves all threads: seek and read must stay together.
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return sorted(name for name in self._members if _shown(name))

    def holds(self, name: str) -> bool:
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"'{name}' leaves the zip {self.path}", where=str(self.path), remedy="use a name in it"
            )
        return name in self._members

    def read(self, name: str) -> bytes:
        return self.head(name, -1)

    def head(self, name: str, count: int) -> bytes:
        where = f"{self.path}/{name}"
        member = self._members.get(name)
        if member is None:
            raise InputError("no such file in the zip", where=where)
        if member.file_size > MAX_FILE_BYTES:
            raise InputError(f"more than {MAX_FILE_BYTES:,} bytes", where=where)
        if member.flag_bits & 0x1:
            raise InputError("the zip is encrypted", where=where, remedy="pack it without a password")
        try:
            with self._lock, self._zip.open(member) as opened:
                return opened.read(count)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise InputError(f"damaged in the zip: {error}", where=where, remedy="fetch the zip again") from None
