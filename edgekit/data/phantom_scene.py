"""The body that the phantom's scanner looks at: ellipses of tissue in a slice of an abdomen, and one lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = ("no lesion", "solid nodule", "calcified nodule", "cystic lesion", "ring-enhancing lesion")
#: Of the slices. The last class is rare, as many findings are that must not be missed.
SHARES = (0.37, 0.20, 0.20, 0.20, 0.03)
FIELD_OF_VIEW_MM = 360.0
#: Linear attenuation of water at about 70 keV (NIST XCOM), 1/mm.
WATER_PER_MM = 0.0193
_AIR_HU = -1000.0


@dataclass(frozen=True)
class Ellipse:
    """An ellipse of one tissue. Lengths in mm, the centre from the middle of the image, ``x`` to the right."""

    x: float
    y: float
    a: float
    b: float
    angle: float
    hounsfield: float


@dataclass(frozen=True)
class Scene:
    """Ellipses in the order in which they are painted, and outlines of the liver and of the lesion, if any."""

    body: tuple[Ellipse, ...]
    liver: Ellipse
    lesion: Ellipse | None


def draw_scene(random: np.random.Generator, label: str) -> Scene:
    """A body with organs that vary from slice to slice, and a lesion of the class ``label`` in its liver."""

    def vary(value: float, spread: float = 0.06) -> float:
        return float(value * (1 + spread * random.uniform(-1, 1)))

    def shift(spread: float = 5.0) -> float:
        return float(spread * random.uniform(-1, 1))

    x, y, tilt = shift(), shift(), float(np.deg2rad(8 * random.uniform(-1, 1)))
    body = Ellipse(x, y, vary(152), vary(118), tilt, -95)  # fat below the skin
    liver = Ellipse(x - 52 + shift(), y - 12 + shift(), vary(72), vary(72), tilt + 0.4, 100 + shift(12))
    parts = [
        body,
        Ellipse(x, y, body.a - 14, body.b - 14, tilt, 45 + shift(8)),  # muscle and bowel
        Ellipse(x, y + 72 + shift(), vary(24), vary(20), tilt, vary(380, 0.2)),  # vertebra
        Ellipse(x + 8 + shift(), y + 40 + shift(), vary(11), vary(11), 0.0, 170 + shift(20)),  # aorta
        Ellipse(x + 92 + shift(), y + 8 + shift(), vary(27), vary(42), tilt - 0.3, 115 + shift(12)),  # spleen
        Ellipse(x + 62 + shift(), y + 56 + shift(), vary(20), vary(26), tilt + 0.5, 150 + shift(15)),  # kidneys
        Ellipse(x - 62 + shift(), y + 64 + shift(), vary(20), vary(26), tilt - 0.5, 150 + shift(15)),
        Ellipse(x + 45 + shift(), y - 55 + shift(), vary(30), vary(20), 0.2, -20 + shift(30)),  # stomach
        liver,
    ]
    for _ in range(2):  # vessels of the liver
        parts.append(
            Ellipse(
                liver.x + shift(40), liver.y + shift(40), vary(6, 0.3), vary(4, 0.3), shift(3.0), 150 + shift(15)
            )
        )
    radius = random.uniform(17, 27)
    place, turn = random.uniform(0, 2 * np.pi), random.uniform(0, 20)
    outline = Ellipse(
        liver.x + float(turn * np.cos(place)),
        liver.y + float(turn * np.sin(place)),
        vary(radius, 0.12),
        vary(radius, 0.12),
        shift(1.5),
        0.0,
    )
    if label == CLASSES[0]:
        return Scene(tuple(parts), liver, None)
    return Scene((*parts, *_lesion(outline, label, random)), liver, outline)


def _lesion(outline: Ellipse, label: str, random: np.random.Generator) -> list[Ellipse]:
    """The lesion's tissues, the outer one first."""

    def filled(scale: float, hounsfield: float) -> Ellipse:
        value = hounsfield + float(random.uniform(-12, 12))
        return Ellipse(outline.x, outline.y, outline.a * scale, outline.b * scale, outline.angle, value)

    kinds = {
        "solid nodule": ((1.0, 190.0),),
        "calcified nodule": ((1.0, 160.0), (0.55, 700.0)),
        "cystic lesion": ((1.0, 5.0),),
        "ring-enhancing lesion": ((1.0, 230.0), (0.62, 15.0)),
    }
    return [filled(scale, hounsfield) for scale, hounsfield in kinds[label]]


def render(scene: Scene, size: int) -> NDArray[np.float64]:
    """Paint the scene on ``size`` pixels a side: Hounsfield units ``float64[size, size]``."""
    axis = _axis(size)
    image = np.full((size, size), _AIR_HU)
    for one in scene.body:
        image += _coverage(one, axis, FIELD_OF_VIEW_MM / size) * (one.hounsfield - image)
    return image


def regions(scene: Scene, size: int) -> NDArray[np.uint8]:
    """``uint8[size, size]``: 0 elsewhere, 1 liver with its vessels, 2 lesion."""
    found = np.zeros((size, size), dtype=np.uint8)
    for value, outline in ((1, scene.liver), (2, scene.lesion)):
        if outline is not None:
            found[_coverage(outline, _axis(size), FIELD_OF_VIEW_MM / size) >= 0.5] = value
    return found


def _axis(size: int) -> NDArray[np.float64]:
    """Positions of the pixels in mm."""
    # scikit-image turns about the pixel size // 2, so the scene is centred there too.
    return (np.arange(size, dtype=np.float64) - size // 2) * (FIELD_OF_VIEW_MM / size)


def _coverage(one: Ellipse, axis: NDArray[np.float64], pixel_mm: float) -> NDArray[np.float64]:
    """The part of each pixel that the ellipse covers, 0 to 1, by the distance from its edge (approximately)."""
    x, y = axis[None, :] - one.x, axis[:, None] - one.y
    cos, sin = np.cos(one.angle), np.sin(one.angle)
    radius = np.hypot((x * cos + y * sin) / one.a, (y * cos - x * sin) / one.b)
    outside_mm = (radius - 1) * min(one.a, one.b)
    covered: NDArray[np.float64] = np.clip(0.5 - outside_mm / pixel_mm, 0, 1)
    return covered
