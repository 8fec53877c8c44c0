"""Small pictures of the images that changed, which stand in the record only where a recipe asks for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.prepared import Prepared
from edgekit.record import Changed

#: Pixels of the longer side.
SIDE = 64


def of(changed: Sequence[Changed], prepared: Prepared, most: int) -> dict[str, str]:
    """The first ``most`` images of each artifact as PNG in base64, by their place in the test split."""
    wanted = sorted({one.image for found in changed for one in found.images[:most]})
    pixels = prepared.pixels("test", wanted) if wanted else ()
    return {str(place): _png(image) for place, image in zip(wanted, pixels, strict=True)}


def _png(image: NDArray[Any]) -> str:
    """``uint8[H, W, C]``, or ``float32`` of any range, which is stretched over that of a picture."""
    from PIL import Image

    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = np.round((image - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
