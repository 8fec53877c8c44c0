"""Every corruption by its name, and which of them suit a modality.

Written here on Pillow, SciPy and MONAI, which edgekit needs anyway. Of the libraries of this field,
imagecorruptions and albumentations bring OpenCV, MedMNIST-C's package asks for other versions of what edgekit uses
and for ImageMagick, and TorchIO would bring SimpleITK for its ghosting alone.
"""

from __future__ import annotations

import re
from typing import Literal

from edgekit.data.corruptions import blur, colour, ct, geometry, intensity, mr, noise, resolution
from edgekit.data.corruptions.base import Corruption

Name = Literal[
    "gaussian_noise",
    "speckle_noise",
    "rician_noise",
    "gaussian_blur",
    "motion_blur",
    "contrast",
    "brightness",
    "jpeg_compression",
    "pixelation",
    "resolution_shift",
    "rotation",
    "translation",
    "colour_temperature",
    "low_dose",
    "ring_artifact",
    "bias_field",
    "ghosting",
]
#: In the order in which they are reported.
CORRUPTIONS: dict[str, Corruption] = {
    one.name: one
    for one in (
        noise.GAUSSIAN,
        noise.SPECKLE,
        noise.RICIAN,
        blur.GAUSSIAN,
        blur.MOTION,
        intensity.CONTRAST,
        intensity.BRIGHTNESS,
        resolution.JPEG,
        resolution.PIXELATION,
        resolution.SHIFT,
        geometry.ROTATION,
        geometry.TRANSLATION,
        colour.TEMPERATURE,
        ct.LOW_DOSE,
        ct.RINGS,
        mr.BIAS_FIELD,
        mr.GHOSTING,
    )
}
#: Corruption -> the modalities that it belongs to; all others belong to every one.
_OF_MODALITY = {
    "gaussian_noise": ("ct", "ultrasound", "other"),
    "speckle_noise": ("ultrasound",),
    "rician_noise": ("mr",),
    "low_dose": ("ct",),
    "ring_artifact": ("ct",),
    "bias_field": ("mr",),
    "ghosting": ("mr",),
}
_WORDS = {
    "ct": r"\bct\b|\bcbct\b|tomograph",
    "mr": r"\bmri?\b|magnetic resonance",
    "ultrasound": r"ultrasound|ultrasonograph|sonograph|\bus\b|\bechocardio",
}
#: Tomographies that are no CT.
_NOT_CT = r"\boct\b|optical coherence|\bpet\b|positron|spect\b"


def family(modality: str) -> str:
    """``ct``, ``mr``, ``ultrasound`` or ``other``, from the recipe's own words."""
    words = modality.lower()
    for name, pattern in _WORDS.items():
        if re.search(pattern, words) and not (name == "ct" and re.search(_NOT_CT, words)):
            return name
    return "other"


def suited(modality: str, sides: int, colour: bool, dense: bool) -> tuple[list[Corruption], dict[str, str]]:
    """The corruptions for images of a modality, and why the others of that modality are left out.

    Args:
        modality: the recipe's own words, such as ``CT`` or ``dermatoscopy``.
        sides: of an image: 2, or 3 for volumes.
        colour: whether the images are in colour.
        dense: segmentation: whether masks must stay where they are.

    Returns:
        Corruptions in the order of ``CORRUPTIONS``, and reasons by name.
    """
    kind = family(modality)
    chosen, left_out = [], {}
    for name, one in CORRUPTIONS.items():
        if kind not in _OF_MODALITY.get(name, (kind,)) or (name == "colour_temperature" and not colour):
            continue
        reason = unfit(one, sides, colour, dense)
        if reason is None:
            chosen.append(one)
        else:
            left_out[name] = reason
    return chosen, left_out


def unfit(one: Corruption, sides: int, colour: bool, dense: bool) -> str | None:
    """Why a corruption cannot be applied to such images; none when it can."""
    if one.moves and dense:
        return "it moves pixels away from their masks"
    if sides not in one.sides:
        return f"it is not defined for images of {sides} sides"
    if one.name == "colour_temperature" and not colour:
        return "the images are gray"
    return None
