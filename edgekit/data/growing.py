"""An npy file of windows whose number is known only when the last case has been read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray


class Growing:
    """Rows one after another; the header is written again at the end, with their number.

    NumPy keeps room in a header for the first side to grow, so that the two have the same length. No memory map:
    writing to one on a full disk kills the process instead of raising an error.

    Args:
        path: the file.
        shape: of a row.
        dtype: of the values.

    Attributes:
        written: rows so far.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._like = shape, np.dtype(dtype)
        self._file: BinaryIO = path.open("wb")
        self.written = 0
        self._header()

    def write(self, row: NDArray[Any]) -> None:
        """Append one row."""
        if (row.shape, row.dtype) != self._like:
            raise ValueError(f"a row of {row.shape} {row.dtype} does not fit {self._like}")
        self._file.write(np.ascontiguousarray(row).data)
        self.written += 1

    def _header(self) -> None:
        shape, dtype = self._like
        header = {"descr": dtype.str, "fortran_order": False, "shape": (self.written, *shape)}
        write_array_header_1_0(self._file, header)

    def __enter__(self) -> Growing:
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
