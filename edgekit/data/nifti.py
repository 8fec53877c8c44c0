"""NIfTI-1 and NIfTI-2 volumes, refusing what would give a wrong number: https://nifti.nimh.nih.gov/nifti-1

nibabel reads the header and scales the values. Sizes are judged before anything is decompressed or allocated.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.file_tree import MAX_FILE_BYTES
from edgekit.data.geometry import Geometry, geometry_of
from edgekit.errors import InputError, missing_package

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

SUFFIXES = (".nii", ".nii.gz")
#: Of a file: holds the header (at most 540 bytes), compressed or not.
HEAD_BYTES = 4096
_HEADER_BYTES = 540
_FETCH = "write or fetch the file again"


def read_geometry(head: bytes, where: str) -> Geometry:
    """Check the header.

    Args:
        head: the first ``HEAD_BYTES`` of the file.
        where: the file for the error.

    Raises:
        InputError: no NIfTI file, not three dimensions, no spacing, two spacings that differ, too large, or values
            that are no real numbers.
        MissingError: nibabel is not installed.
    """
    return geometry_of(_header(_start(head, where), where), where)


def read_volume(content: bytes, where: str) -> NDArray[Any]:
    """The voxels, scaled as the header says, with the axes as stored.

    Args:
        content: the whole file.
        where: for the error.

    Returns:
        ``[D, H, W]`` of the stored type, or ``float64`` where values are scaled.

    Raises:
        InputError: as ``read_geometry``, or the file is truncated, damaged or longer than its header says.
    """
    header = _header(_start(content, where), where)
    shape = geometry_of(header, where).shape
    offset = float(header["vox_offset"]) or float(header.single_vox_offset)
    if not (header.sizeof_hdr <= offset <= MAX_FILE_BYTES and offset.is_integer()):
        raise InputError(f"the header says that voxels begin at byte {offset:g}", where=where, remedy=_FETCH)
    size = int(offset) + int(np.prod(shape)) * header.get_data_dtype().itemsize
    whole = _decompress(content, size + 1, where) if _packed(content) else content
    if len(whole) != size:
        is_ = "more than" if len(whole) > size else f"{len(whole):,} of"
        raise InputError(
            f"the file holds {is_} the {size:,} bytes that its header announces", where=where, remedy=_FETCH
        )
    from nibabel.spatialimages import HeaderDataError

    try:
        # A volume whose values overflow is found by whoever needs finite ones.
        with np.errstate(all="ignore"):
            return np.asarray(header.data_from_fileobj(io.BytesIO(whole)))
    except (ValueError, OSError, OverflowError, HeaderDataError) as error:
        raise InputError(f"voxels cannot be read: {error}", where=where, remedy=_FETCH) from None


def _packed(content: bytes) -> bool:
    return content[:2] == b"\x1f\x8b"


def _start(content: bytes, where: str) -> bytes:
    return _decompress(content, _HEADER_BYTES, where) if _packed(content) else content[:_HEADER_BYTES]


def _decompress(content: bytes, most: int, where: str) -> bytes:
    """Up to ``most`` bytes of a gzip file, so that no bomb fills the memory; its checksum is compared."""
    found = bytearray()
    try:
        while content and len(found) < most:
            member = zlib.decompressobj(wbits=31)
            found += member.decompress(content, most - len(found))
            if not member.eof:
                break
            content = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise InputError(f"damaged gzip: {error}", where=where, remedy=_FETCH) from None
    return bytes(found)


def _header(start: bytes, where: str) -> Nifti1Header:
    try:
        from nibabel.nifti1 import Nifti1Header
        from nibabel.nifti2 import Nifti2Header
        from nibabel.spatialimages import HeaderDataError
        from nibabel.wrapstruct import WrapStructError
    except ImportError:
        raise missing_package("nibabel", "segmentation") from None
    kinds = {
        b"\x5c\x01": Nifti1Header,
        b"\x01\x5c": Nifti1Header,
        b"\x1c\x02": Nifti2Header,
        b"\x02\x1c": Nifti2Header,
    }
    kind = kinds.get(start[:2] if start[2:4] == b"\0\0" else start[2:4]) if len(start) >= 4 else None
    if kind is None:
        raise InputError("not a NIfTI file", where=where, remedy=f"give a {' or '.join(SUFFIXES)} file")
    try:
        # Unchecked: nibabel's check repairs what it finds, and a spacing of 0 would become 1.
        # Extensions are not read: nothing in them is needed.
        header = kind(start[: kind.template_dtype.itemsize], check=False)
        magic, dtype = bytes(header["magic"].item())[:2], header.get_data_dtype()
    except (HeaderDataError, WrapStructError, ValueError, KeyError) as error:
        raise InputError(f"a damaged NIfTI header: {error}", where=where, remedy=_FETCH) from None
    if magic != b"n+":
        raise InputError(
            "not a single NIfTI file: 'n+1' or 'n+2' is missing in its header",
            where=where,
            remedy="convert a pair of .hdr and .img into one .nii file",
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"voxels of the type {dtype}", where=where, remedy="give volumes of integers or real numbers"
        )
    return header
