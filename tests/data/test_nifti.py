from __future__ import annotations

import gzip
import struct
from typing import Any

import numpy as np
import pytest

from edgekit.data.geometry import check_same_place
from edgekit.data.nifti import HEAD_BYTES, read_geometry, read_volume
from edgekit.errors import InputError
from tests.data.niftis import content

pytest.importorskip("nibabel")
VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def refusal(whole: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(whole, "v.nii")
    text = str(caught.value)
    assert text.startswith("v.nii: ")
    return text


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8", "|u1"])
def test_voxels_and_spacing_as_stored(kind: str, packed: bool, dtype: str) -> None:
    whole = content(VOLUME.astype(dtype), (0.5, 1.0, 2.5), kind)
    whole = gzip.compress(whole) if packed else whole
    assert np.array_equal(read_volume(whole, "v.nii"), VOLUME)
    geometry = read_geometry(whole[:HEAD_BYTES], "v.nii")
    assert (geometry.shape, geometry.spacing, geometry.unit_stated) == ((4, 5, 6), (0.5, 1.0, 2.5), True)
    assert geometry.affine is not None


def test_values_are_scaled_as_the_header_says() -> None:
    whole = content(VOLUME, scl_slope=0.5, scl_inter=-10.0)
    assert np.array_equal(read_volume(whole, "v.nii"), VOLUME * 0.5 - 10)


def test_lengths_in_other_units_become_mm() -> None:
    whole = content(VOLUME, (0.001, 0.001, 0.002), xyzt_units=1)
    geometry = read_geometry(whole, "v.nii")
    assert geometry.spacing == pytest.approx((1.0, 1.0, 2.0))
    assert geometry.affine is not None
    assert geometry.affine[2, 2] == pytest.approx(2.0)
    assert not read_geometry(content(VOLUME, xyzt_units=0), "v.nii").unit_stated


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pixdim": [1, 1, 1, 0, 1, 1, 1, 1]},
            "a volume without spacing: its header says 1x1x0 (write the distance",
        ),
        ({"pixdim": [1, 1, -2, 1, 1, 1, 1, 1]}, "a volume without spacing"),
        ({"pixdim": [1, np.nan, 2, 1, 1, 1, 1, 1]}, "a volume without spacing"),
        ({"pixdim": [1, 1, 1, 3, 1, 1, 1, 1]}, "two spacings: 1x1x3 mm (pixdim) and 1x1x2 mm (affine)"),
        ({"dim": [2, 4, 30, 1, 1, 1, 1, 1]}, "a file of 2 dimensions (4x30), not one volume"),
        ({"dim": [3, 4, -5, 6, 1, 1, 1, 1]}, "a volume of 4x-5x6 voxels"),
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "a volume of 30000x30000x30000 voxels; 1 to"),
        ({"dim": [3, 4, 5, 7, 1, 1, 1, 1]}, "bytes that its header announces"),
        ({"dim": [3, 4, 5, 5, 1, 1, 1, 1]}, "holds more than the"),
        ({"vox_offset": 8.0}, "says that voxels begin at byte 8"),
        ({"vox_offset": np.nan}, "says that voxels begin at byte nan"),
        ({"magic": b"ni1"}, "convert a pair of .hdr and .img"),
        ({"datatype": 32, "bitpix": 64}, "voxels of the type complex64"),
        ({"datatype": 128, "bitpix": 24}, "give volumes of integers or real numbers"),
        ({"datatype": 999}, "a damaged NIfTI header"),
    ],
)
def test_headers_that_lie_are_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(content(VOLUME, **changes))


def test_four_dimensions_are_refused() -> None:
    whole = content(np.zeros((4, 5, 6, 2), np.int16), (1.0, 1.0, 1.0))
    assert "a file of 4 dimensions (4x5x6x2), not one volume of three" in refusal(whole)


def test_damaged_files_are_refused() -> None:
    whole = content(VOLUME)
    packed = gzip.compress(whole)
    assert "not a NIfTI file" in refusal(b"")
    assert "not a NIfTI file" in refusal(b"\x89PNG" + whole)
    assert "not a NIfTI file" in refusal(gzip.compress(b"no volume" * 100))
    assert "bytes that its header announces" in refusal(whole[:-1])
    assert "bytes that its header announces" in refusal(packed[:-40])
    assert "a damaged NIfTI header" in refusal(whole[:200])
    broken = bytearray(packed)
    broken[-8:-4] = struct.pack("<I", 1)  # the checksum
    assert "damaged gzip" in refusal(bytes(broken))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(content(VOLUME) + b"\0" * 50_000_000)
    assert "holds more than the" in refusal(bomb)


def test_no_orientation_needs_no_agreement() -> None:
    bare = read_geometry(content(VOLUME, sform_code=0, qform_code=0), "v.nii")
    assert bare.affine is None
    moved = np.diag([1.0, 1.0, 2.0, 1.0])
    moved[:3, 3] = 50
    check_same_place(bare, read_geometry(content(VOLUME, affine=moved), "v.nii"), "mask", "m.nii")


def test_a_mask_must_lie_where_its_image_does() -> None:
    image = read_geometry(content(VOLUME), "v.nii")
    near = np.diag([1.0, 1.0, 2.0, 1.0])
    near[0, 3] = 0.05
    check_same_place(image, read_geometry(content(VOLUME, affine=near), "v.nii"), "mask", "m.nii")
    far = near.copy()
    far[0, 3] = 3.0
    flipped = np.diag([-1.0, 1.0, 2.0, 1.0])
    for other, message in (
        (content(VOLUME[:3]), "m.nii: the mask is 3x5x6, its image 4x5x6"),
        (content(VOLUME, (1.0, 1.0, 2.5)), "the mask has a spacing of 1x1x2.5 mm, its image of 1x1x2 mm"),
        (content(VOLUME, affine=far), "the mask lies elsewhere than its image: corners are up to 3 mm apart"),
        (content(VOLUME, affine=flipped), "corners are up to 6 mm apart (orientation or origin differ)"),
    ):
        with pytest.raises(InputError) as caught:
            check_same_place(image, read_geometry(other, "v.nii"), "mask", "m.nii")
        assert message in str(caught.value)
