"""Where the voxels of a volume lie: shape, spacing and orientation, from a NIfTI header."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

#: A CT of 1,024 slices; as float32 it takes 1 GiB.
MAX_VOXELS = 512 * 512 * 1024
_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True)
class Geometry:
    """What the header says of the volume.

    Attributes:
        shape: voxels along the array's three axes, as stored.
        spacing: mm along the same axes.
        unit_stated: whether the header says that lengths are in mm (or m, or um); otherwise mm are assumed.
        affine: ``float64[4, 4]``, index -> mm, or none where the header states no orientation.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    unit_stated: bool
    affine: NDArray[np.float64] | None


def check_same_place(image: Geometry, other: Geometry, what: str, where: str) -> None:
    """An image and what is drawn on it must have the same voxels in the same place.

    Raises:
        InputError: shapes, spacings or positions differ. Positions are compared at the corners, and where both
            headers state them.
    """
    remedy = f"resample the {what} onto its image, and keep the image's header"
    if image.shape != other.shape:
        raise InputError(
            f"the {what} is {_by(other.shape)}, its image {_by(image.shape)}", where=where, remedy=remedy
        )
    if not np.allclose(image.spacing, other.spacing, rtol=0.01):
        raise InputError(
            f"the {what} has a spacing of {_by(other.spacing)} mm, its image of {_by(image.spacing)} mm",
            where=where,
            remedy=remedy,
        )
    if image.affine is None or other.affine is None:
        return
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, side - 1) for side in image.shape))])
    apart = np.linalg.norm(corners @ (image.affine - other.affine).T, axis=1).max()
    if apart > 0.1 * min(image.spacing):
        raise InputError(
            f"the {what} lies elsewhere than its image: corners are up to {apart:.3g} mm apart (orientation or "
            "origin differ)",
            where=where,
            remedy=remedy,
        )


def geometry_of(header: Nifti1Header, where: str) -> Geometry:
    """Check a header.

    Args:
        header: as it was stored, not repaired.
        where: the file for the error.

    Raises:
        InputError: not three dimensions, too large, no spacing, or two spacings that differ.
    """
    from nibabel.spatialimages import HeaderDataError

    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise InputError(f"a damaged NIfTI header: {dimensions} dimensions", where=where)
    shape = tuple(int(side) for side in header["dim"][1 : 1 + dimensions])
    if dimensions != 3:
        raise InputError(
            f"a file of {dimensions} dimensions ({_by(shape)}), not one volume of three",
            where=where,
            remedy="give one file for each volume; a series over time or several channels must be taken apart",
        )
    if min(shape) < 1 or np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise InputError(f"a volume of {_by(shape)} voxels; 1 to {MAX_VOXELS:,} are allowed", where=where)
    given = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise InputError(
            f"a volume without spacing: its header says {_by(tuple(given.tolist()))}",
            where=where,
            remedy="write the distance between voxels into the header (pixdim); distances are in mm",
        )
    try:
        unit = str(header.get_xyzt_units()[0])
    except KeyError:
        unit = "unknown"
    spacing = given * _MM[unit]
    affine = None
    if int(header["sform_code"]) or int(header["qform_code"]):
        try:
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        except (ValueError, ArithmeticError, HeaderDataError) as error:
            raise InputError(
                f"its orientation cannot be read: {error}", where=where, remedy="correct the header"
            ) from None
        with np.errstate(all="ignore"):  # absurd values overflow, and then differ
            affine[:3] *= _MM[unit]
            sides = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.allclose(sides, spacing, rtol=0.01):
            raise InputError(
                f"the header states two spacings: {_by(tuple(spacing.tolist()))} mm (pixdim) and "
                f"{_by(tuple(sides.tolist()))} mm (affine)",
                where=where,
                remedy="correct the header",
            )
    return Geometry(shape, tuple(spacing.tolist()), unit != "unknown", affine)


def _by(sides: tuple[float, ...]) -> str:
    return "x".join(f"{side:g}" if isinstance(side, float) else str(side) for side in sides)
