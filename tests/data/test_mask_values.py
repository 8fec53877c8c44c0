from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgekit.data.base import IGNORE
from edgekit.data.decode import decode_labels
from edgekit.data.mask_values import check_values, to_classes
from edgekit.errors import InputError

TWO = ("background", "lesion")
THREE = ("background", "liver", "lesion")


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("white", [1, 255])
def test_two_classes_need_no_mapping(white: int) -> None:
    raw = np.array([[0, white], [white, 0]], np.uint8)
    found = to_classes(raw, {}, TWO, "m.png")
    assert found.tolist() == [[0, 1], [1, 0]]
    assert found.dtype == np.uint8


def test_values_name_classes_and_what_is_ignored() -> None:
    raw = np.array([[10.0, 600.0], [-3.0, 10.0]])
    found = to_classes(raw, {10: "background", 600: "lesion", -3: "ignore"}, THREE, "m.nii")
    assert found.tolist() == [[0, 2], [IGNORE, 0]]


@pytest.mark.parametrize(
    ("raw", "values", "classes", "message"),
    [
        (
            [0, 1, 7, 7],
            {},
            THREE,
            "m.png: the mask holds the value 7 (2 pixels); known: 0 background, 1 liver, 2 lesion",
        ),
        ([0, 1, 255], {}, TWO, "the value 255 (1 pixels); known: 0 background, 1 lesion"),
        ([0, 255], {}, THREE, "the value 255 (1 pixels)"),
        ([0, 3, 252, 255], {}, TWO, "the value 3 (1 pixels) and 2 more values"),
        (
            [0, 128],
            {0: "background", 255: "lesion"},
            TWO,
            "the value 128 (1 pixels); known: 0 background, 255 lesion",
        ),
        ([0.0, 0.5], {}, TWO, "the value 0.5 (1 pixels)"),
        ([0.0, np.nan], {}, TWO, "the value nan"),
    ],
)
def test_other_values_are_refused(
    raw: list[float], values: dict[int, str], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        to_classes(np.array([raw]), values, classes, "m.png")
    assert message in str(caught.value)
    assert "map each value to a class in 'values'" in str(caught.value)


def test_values_name_classes_of_the_recipe() -> None:
    check_values({0: "background", 9: "ignore"}, TWO, "data")
    with pytest.raises(InputError, match=r"'values' maps to 'tumour', which is no class .*background, lesion"):
        check_values({1: "tumour"}, TWO, "data")


def test_a_palette_of_colours_stands_for_its_indices() -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L").convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    assert decode_labels(png(picture), "m.png").tolist() == [[0, 1], [2, 1]]
    picture.putpalette([255, 255, 255, 0, 0, 0, 128, 128, 128])
    assert decode_labels(png(picture), "m.png").tolist() == [[255, 0], [128, 0]], "grays are what is seen"


def test_black_and_white_and_deep_masks() -> None:
    assert decode_labels(png(Image.new("1", (2, 1), 1)), "m.png").tolist() == [[255, 255]]
    deep = Image.fromarray(np.array([[0, 1000]], np.uint16))
    assert decode_labels(png(deep), "m.png").tolist() == [[0, 1000]]
    with pytest.raises(InputError, match="a mask in colours"):
        decode_labels(png(Image.new("RGB", (2, 2), (9, 0, 0))), "m.png")
