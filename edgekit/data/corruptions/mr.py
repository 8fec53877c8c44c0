"""What an MR scanner does to an image: a coil that sees one side better, and ghosts of a movement that repeats.

The bias field is MONAI's (polynomials, Van Leemput et al. 1999). MONAI has no ghosting: here every n-th line of
k-space along the phase direction loses a part of its signal, as it does when the patient breathes while every n-th
line is measured (Wood and Henkelman 1985). The middle lines stay, without which the image itself would fade.
"""

from __future__ import annotations

import numpy as np

from edgekit.data.corruptions.base import Corruption, Image, each_channel
from edgekit.errors import missing_package

#: Lines in the middle of k-space that stay, as a share.
_MIDDLE = 0.02


def _bias_field(image: Image, level: float, random: np.random.Generator) -> Image:
    try:
        from monai.transforms import RandBiasField
    except ImportError:
        raise missing_package("monai", "segmentation") from None
    field = RandBiasField(prob=1.0, coeff_range=(-level, level))
    field.set_random_state(seed=int(random.integers(2**31)))
    gain = np.asarray(field(np.ones((1, *image.shape[:-1]), dtype=np.float32)))[0]
    # The scanner's own gain is adjusted to the whole image.
    spoiled: Image = image * (gain / gain.mean())[..., None]
    return spoiled


def _ghosting(image: Image, level: float, random: np.random.Generator) -> Image:
    ghosts, axis = int(random.integers(3, 7)), int(random.integers(image.ndim - 1))
    lines = image.shape[axis]
    keep = np.ones(lines)
    keep[::ghosts] = 1 - level
    middle = np.abs(np.fft.fftfreq(lines)) <= _MIDDLE / 2
    keep[middle] = 1.0

    def ghosted(channel: Image) -> Image:
        shape = [1] * channel.ndim
        shape[axis] = lines
        spoiled: Image = np.abs(np.fft.ifft(np.fft.fft(channel, axis=axis) * keep.reshape(shape), axis=axis))
        return spoiled.astype(np.float32)

    return each_channel(image, ghosted)


BIAS_FIELD = Corruption(
    "bias_field",
    _bias_field,
    (0.10, 0.20, 0.30, 0.45, 0.60),
    "largest coefficient of a polynomial of the third degree in the logarithm of the gain",
    "Van Leemput et al. 1999, Automated model-based tissue classification of MR images (MONAI RandBiasField)",
    sides=(2, 3),
)
GHOSTING = Corruption(
    "ghosting",
    _ghosting,
    (0.20, 0.35, 0.50, 0.70, 0.90),
    "signal that every third to sixth line of k-space loses, as a share",
    "Wood and Henkelman 1985, MR image artifacts from periodic motion",
    sides=(2, 3),
)
