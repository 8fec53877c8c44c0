"""Arrays on the disk, written part by part and read without loading them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray


class Writer:
    """An npy file whose first dimension is known and whose parts come one after another.

    No memory map: writing to one on a full disk kills the process instead of raising an error.

    Attributes:
        written: rows so far.
    """

    def __init__(self, path: Path, rows: int) -> None:
        """The shape of a row, and the type, are those of the first part."""
        self._rows = rows
        self._file: BinaryIO = path.open("wb")
        self._like: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self.written = 0

    def write(self, part: NDArray[Any]) -> None:
        """Append rows ``[k, ...]``."""
        like = part.shape[1:], part.dtype
        if self._like is None:
            self._like = like
            header = {"descr": part.dtype.str, "fortran_order": False, "shape": (self._rows, *like[0])}
            write_array_header_1_0(self._file, header)
        if like != self._like or self.written + len(part) > self._rows:
            raise ValueError(f"{len(part)} rows of {like} do not fit {self._rows} of {self._like}")
        self._file.write(np.ascontiguousarray(part).data)
        self.written += len(part)

    def __enter__(self) -> Writer:
        """The writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; too few rows are a mistake of the caller."""
        self._file.close()
        if error is None and self.written != self._rows:
            raise ValueError(f"{self.written} rows were written, not {self._rows}")


def read(path: Path) -> NDArray[Any]:
    """A read-only memory map of the array."""
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Up to ``wanted`` indices, evenly over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
