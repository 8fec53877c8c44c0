"""Arrays on the disk, written part by part and read without loading them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray


class Writer:
    """An npy file whose rows come part by part; their number is written when the last has come.

    NumPy keeps room in a header for the first side to grow, so that the header can be written again. No memory map:
    writing to one on a full disk kills the process instead of raising an error.

    Attributes:
        written: rows so far.
    """

    def __init__(self, path: Path) -> None:
        """The shape of a row, and the type, are those of the first part."""
        self._file: BinaryIO = path.open("wb")
        self._like: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self.written = 0

    def write(self, part: NDArray[Any]) -> None:
        """Append rows ``[k, ...]``."""
        like = part.shape[1:], part.dtype
        if self._like is None:
            self._like = like
            self._header()
        if like != self._like:
            raise ValueError(f"rows of {like} do not fit rows of {self._like}")
        self._file.write(np.ascontiguousarray(part).data)
        self.written += len(part)

    def _header(self) -> None:
        if self._like is None:
            raise ValueError("no rows were written, so that their shape is not known")
        shape, dtype = self._like
        header = {"descr": dtype.str, "fortran_order": False, "shape": (self.written, *shape)}
        write_array_header_1_0(self._file, header)

    def __enter__(self) -> Writer:
        """The writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the header and close the file."""
        with self._file:
            if error is None:
                self._file.seek(0)
                self._header()


def read(path: Path) -> NDArray[Any]:
    """A read-only memory map of the array."""
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Up to ``wanted`` indices, evenly over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
