from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.decode import decode, decode_mask
from edgekit.errors import InputError

GRAY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.stack([GRAY, GRAY * 2, 255 - GRAY], axis=2)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("pixels", [GRAY, COLOUR])
def test_returns_the_pixels(kind: str, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(pixels), kind), "here"), pixels)


def test_opaque_alpha_and_palettes_become_colour() -> None:
    picture = Image.fromarray(COLOUR)
    assert np.array_equal(decode(encoded(picture.convert("RGBA")), "here"), COLOUR)
    assert decode(encoded(picture.convert("P")), "here").shape == (6, 8, 3)


def test_black_and_white_becomes_gray() -> None:
    pixels = decode(encoded(Image.fromarray(GRAY > 20)), "here")
    assert sorted(set(pixels.ravel().tolist())) == [0, 255]


def test_turns_the_image_as_its_exif_data_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode(encoded(Image.fromarray(GRAY), "PNG", exif=exif), "here")
    assert np.array_equal(pixels, np.rot90(GRAY, -1))


def test_refuses_what_is_no_plain_8_bit_image() -> None:
    deep = Image.fromarray(GRAY.astype(np.uint16) * 200)
    clear = Image.fromarray(np.dstack([COLOUR, GRAY]))
    frames = [Image.fromarray(GRAY)]
    cases = {
        "deeper than 8 bits": encoded(deep),
        "transparent pixels": encoded(clear),
        "2 frames": encoded(frames[0], "TIFF", save_all=True, append_images=frames),
        "unknown format": b"GIF is not what this is",
        "not a readable image": encoded(Image.fromarray(COLOUR))[:-30],
        "an image of 12000x9000 pixels; 100,000,000 are allowed": encoded(Image.new("1", (12000, 9000))),
        "far more than the 100,000,000 pixels": encoded(Image.new("1", (20000, 20000))),
    }
    for message, content in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            decode(content, "index.csv:3: a.png")
        assert str(caught.value).startswith("index.csv:3: a.png: ")


def test_masks_are_gray() -> None:
    assert np.array_equal(decode_mask(encoded(Image.fromarray(GRAY).convert("RGB")), "here"), GRAY)
    with pytest.raises(InputError, match="a mask in colours"):
        decode_mask(encoded(Image.fromarray(COLOUR)), "here")
