"""Corruptions keep shape and range, are the same for the same seed, and grow with their severity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.base import Preprocessing
from edgekit.data.cases import Case
from edgekit.data.corruptions import CORRUPTIONS, SEVERITIES, assemble_pixels, corrupt, suited, unfit
from edgekit.data.corruptions.catalogue import family
from edgekit.data.corruptions.colour import white
from edgekit.data.corruptions.ct import LOW_DOSE
from edgekit.data.phantom import Phantom
from edgekit.data.phantom_scene import CLASSES

SPEC = Preprocessing(size=(64, 64))
VOLUMES = [name for name, one in CORRUPTIONS.items() if 3 in one.sides]


@pytest.fixture(scope="module")
def slices() -> list[NDArray[np.uint8]]:
    """CT slices, gray in three channels."""
    split = Phantom(kind="phantom", angles=16).load(CLASSES).splits["test"]
    return [np.repeat(split.image(index)[..., None], 3, axis=-1) for index in range(6)]


def coloured(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tint = np.array([1.0, 0.8, 0.6]) * image
    return tint.astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_range_seed_and_severity(name: str, slices: list[NDArray[np.uint8]]) -> None:
    images = [coloured(one) for one in slices] if name == "colour_temperature" else slices
    distances = []
    for severity in SEVERITIES:
        made = [corrupt(one, SPEC, CORRUPTIONS[name], severity, 7, index) for index, one in enumerate(images)]
        again = corrupt(images[0], SPEC, CORRUPTIONS[name], severity, 7, 0)
        assert np.array_equal(made[0], again)
        for before, after in zip(images, made, strict=True):
            assert after.shape == before.shape
            assert after.dtype == np.uint8
        # What was gray stays gray.
        assert name == "colour_temperature" or bool((made[0] == made[0][..., :1]).all())
        pairs = zip(images, made, strict=True)
        distances.append(np.mean([np.abs(a.astype(float) - b.astype(float)).mean() for a, b in pairs]))
    assert distances[0] > 0
    assert (np.diff(distances) > 0).all()


def test_another_seed_or_image_draws_other_noise(slices: list[NDArray[np.uint8]]) -> None:
    noise = CORRUPTIONS["gaussian_noise"]
    first = corrupt(slices[0], SPEC, noise, 3, 0, 0)
    assert not np.array_equal(first, corrupt(slices[0], SPEC, noise, 3, 1, 0))
    assert not np.array_equal(first, corrupt(slices[0], SPEC, noise, 3, 0, 1))


def test_noise_has_the_standard_deviation_that_it_names() -> None:
    gray = np.full((256, 256, 1), 128, dtype=np.uint8)
    spec = Preprocessing(size=(256, 256), channels=1, mean=(0.5,), std=(0.5,))
    for name in ("gaussian_noise", "low_dose"):
        made = corrupt(gray, spec, CORRUPTIONS[name], 2, 0, 0)
        assert made.std() / 255 == pytest.approx(CORRUPTIONS[name].levels[1], rel=0.02)


def test_noise_of_a_low_dose_has_little_power_at_low_and_at_the_highest_frequencies() -> None:
    random = np.random.default_rng(0)
    noise = LOW_DOSE.at(np.zeros((256, 256, 1), np.float32), 3, random)[..., 0]
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])

    def mean(low: float, high: float) -> float:
        return float(power[(frequency >= low) & (frequency < high)].mean())

    assert mean(0.0, 0.02) < 0.3 * mean(0.1, 0.2)
    assert mean(0.48, 0.72) < 0.01 * mean(0.1, 0.2)


def test_rician_noise_without_signal_is_rayleigh() -> None:
    dark = np.zeros((256, 256, 1), np.float32)
    made = CORRUPTIONS["rician_noise"].at(dark, 3, np.random.default_rng(0))
    assert made.mean() == pytest.approx(0.09 * np.sqrt(np.pi / 2), rel=0.02)


def test_white_of_a_black_body() -> None:
    """The Planckian locus of the CIE 1931 observer, as it is tabulated: x, y = 0.4369, 0.4041 at 3,000 K."""
    for kelvin, x, y in ((3000.0, 0.4369, 0.4041), (6500.0, 0.3135, 0.3237), (10000.0, 0.2807, 0.2884)):
        linear = np.linalg.inv([[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560],
                                [0.0556434, -0.2040259, 1.0572252]]) @ white(kelvin)  # fmt: skip
        assert linear[0] / linear.sum() == pytest.approx(x, abs=0.004)
        assert linear[1] / linear.sum() == pytest.approx(y, abs=0.004)


def test_motion_blur_keeps_the_mean_and_smears_along_a_line() -> None:
    point = np.zeros((65, 65, 1), np.float32)
    point[32, 32] = 1.0
    made = CORRUPTIONS["motion_blur"].at(point, 5, np.random.default_rng(3))[..., 0]
    assert made.sum() == pytest.approx(1.0, rel=1e-4)
    rows, columns = np.nonzero(made > 1e-4)
    spread = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    assert spread[1] > 10 * spread[0]
    # Length 0.14 * 65 = 9 pixels: the variance of a line is its squared length over 12.
    across = np.array([rows - 32, columns - 32])
    assert np.hypot(*across).max() == pytest.approx(9.1 / 2, abs=1.1)


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str) -> None:
    spec = Preprocessing(size=(16, 24, 24), channels=1, fit="window", normalization="per_image")
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in (16, 24, 24)), indexing="ij"))
    volume = np.where((grid**2).sum(axis=0) < 0.5, 80.0, -900.0) + np.random.default_rng(0).normal(
        0, 20, (16, 24, 24)
    )
    volume = ((volume - volume.mean()) / volume.std()).astype(np.float32)[..., None]
    made = corrupt(volume, spec, CORRUPTIONS[name], 4, 0, 0)
    assert made.shape == volume.shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    # Normalized again, as its preprocessing does.
    assert made.mean() == pytest.approx(0, abs=1e-5)
    assert made.std() == pytest.approx(1, rel=1e-4)
    if name not in ("brightness", "contrast"):  # which normalization takes back
        assert np.abs(made - volume).mean() > 0.01


def test_normalization_by_the_image_takes_a_change_of_contrast_back() -> None:
    spec = Preprocessing(size=(16, 24, 24), channels=1, fit="window", normalization="per_image")
    volume = np.random.default_rng(0).normal(size=(16, 24, 24, 1)).astype(np.float32)
    volume = (volume - volume.mean()) / volume.std()
    made = corrupt(volume, spec, CORRUPTIONS["contrast"], 5, 0, 0)
    assert np.abs(made - volume).max() < 1e-3


def test_modalities() -> None:
    words = {
        "CT (synthetic)": "ct",
        "MR, T1-weighted": "mr",
        "brain MRI": "mr",
        "ultrasound": "ultrasound",
        "dermatoscopy": "other",
        "chest X-ray": "other",
        "retinal OCT (optical coherence tomography)": "other",
        "abdominal computed tomography": "ct",
    }
    assert {one: family(one) for one in words} == words
    of_ct = {one.name for one in suited("CT", 2, colour=False, dense=False)[0]}
    assert {"low_dose", "ring_artifact", "rotation"} <= of_ct
    assert not of_ct & {"bias_field", "speckle_noise", "colour_temperature"}
    assert {"bias_field", "ghosting", "rician_noise"} <= {
        one.name for one in suited("MR", 3, colour=False, dense=True)[0]
    }
    assert "colour_temperature" in {one.name for one in suited("dermatoscopy", 2, colour=True, dense=False)[0]}
    assert "speckle_noise" in {one.name for one in suited("ultrasound", 2, colour=False, dense=False)[0]}


def test_what_moves_pixels_is_left_out_of_a_segmentation() -> None:
    chosen, left_out = suited("CT", 2, colour=False, dense=True)
    assert left_out == dict.fromkeys(("rotation", "translation"), "it moves pixels away from their masks")
    assert not any(one.moves for one in chosen)
    assert unfit(CORRUPTIONS["jpeg_compression"], 3, False, False) == "it is not defined for images of 3 sides"


def test_a_case_from_its_windows() -> None:
    whole = np.random.default_rng(0).integers(0, 255, (20, 10, 3)).astype(np.uint8)
    starts = ((0, -1), (4, -1), (8, -1))
    padded = np.pad(whole, ((0, 0), (1, 1), (0, 0)), "edge")
    cut = np.stack([padded[start : start + 12] for start, _ in starts])
    case = Case("one", (20, 10), None, 0, starts)
    assert np.array_equal(assemble_pixels(case, cut), whole)
