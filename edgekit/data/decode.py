"""Bytes of an image file to 8-bit pixels, refusing what cannot become them without a silent loss."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

#: Formats that are tried. Others, such as EPS, would start outside programs.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
MAX_PIXELS = 100_000_000
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode one image and turn it upright as its EXIF data says.

    Args:
        content: the file's bytes.
        where: file (and row) for the error.

    Returns:
        ``uint8[H, W]`` for gray, ``uint8[H, W, 3]`` for colour.

    Raises:
        InputError: no image, damaged, deeper than 8 bits, transparent, several frames, or more than
            100 million pixels.
    """
    upright = _open(content, where)
    if upright.mode in _DEEP:
        raise InputError(
            f"an image deeper than 8 bits (Pillow mode '{upright.mode}')",
            where=where,
            remedy="convert it to 8 bits with the intensity window that the task needs",
        )
    if upright.has_transparency_data:
        with_alpha = upright.convert("RGBA")
        if with_alpha.getchannel("A").getextrema() != (255, 255):
            raise InputError("an image with transparent pixels", where=where, remedy="flatten it first")
        gray = upright.mode in ("LA", "La")
    else:
        gray = upright.mode in ("L", "1")
    return np.asarray(upright.convert("L" if gray else "RGB"), dtype=np.uint8).copy()


def _open(content: bytes, where: str) -> Image.Image:
    """The only frame of an image file, loaded and upright."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # The size is judged below; Pillow's own warning would reach the user without the file's name.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise InputError(f"an image of {width}x{height} pixels; {MAX_PIXELS:,} are allowed", where=where)
        if getattr(picture, "n_frames", 1) != 1:
            raise InputError(f"a file of {getattr(picture, 'n_frames', 0)} frames, not one image", where=where)
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError:
        raise InputError(f"an image of far more than the {MAX_PIXELS:,} pixels allowed", where=where) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        # Pillow names the stream it was given, which tells a reader nothing.
        reason = "unknown format" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        raise InputError(
            f"not a readable image: {reason}",
            where=where,
            remedy=f"give an 8-bit gray or colour image ({', '.join(FORMATS)})",
        ) from None


def decode_mask(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode a mask to ``uint8[H, W]``; 0 is background.

    Raises:
        InputError: as ``decode``, or a mask in colours.
    """
    mask = decode(content, where)
    if mask.ndim == 2:
        return mask
    if not (np.array_equal(mask[..., 0], mask[..., 1]) and np.array_equal(mask[..., 0], mask[..., 2])):
        raise InputError("a mask in colours", where=where, remedy="give a gray image, 0 for background")
    return np.ascontiguousarray(mask[..., 0])


def decode_labels(content: bytes, where: str) -> NDArray[Any]:
    """Decode a mask whose values are labels: gray of any depth, or a palette.

    Masks are often stored with a palette of colours, one a class: its indices are the labels. With a palette of
    grays the grays are.

    Returns:
        ``[H, W]`` of the file's type; black and white (1 bit) gives 0 and 255.

    Raises:
        InputError: as ``decode_mask``, but not for masks deeper than 8 bits.
    """
    picture = _open(content, where)
    if picture.mode in _DEEP:
        return np.asarray(picture)
    if picture.mode == "P":
        palette = np.asarray(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        if (palette != palette[:, :1]).any():
            return np.asarray(picture)
    return decode_mask(content, where)
