"""NIfTI files for tests, written by nibabel and then changed byte by byte where they are to lie."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def content(
    array: NDArray[Any], spacing: tuple[float, ...] = (1.0, 1.0, 2.0), kind: str = "Nifti1Image", **changes: Any
) -> bytes:
    """The bytes of a .nii file; ``changes`` are fields of its header, or ``affine``."""
    import nibabel

    affine = changes.pop("affine", np.diag([*spacing, 1.0]) if len(spacing) == 3 else None)
    image = getattr(nibabel, kind)(array, affine)
    image.header.set_xyzt_units("mm")
    whole = bytearray(image.to_bytes())
    header = type(image.header)(bytes(whole[: image.header.sizeof_hdr]), check=False)
    for name, value in changes.items():
        header[name] = value
    whole[: header.sizeof_hdr] = header.binaryblock
    return bytes(whole)


def write(path: Path, array: NDArray[Any], **options: Any) -> None:
    """A .nii or .nii.gz file, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = content(array, **options)
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
