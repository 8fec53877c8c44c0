"""Noise: of a sensor, of a sonogram, of the magnitude image of MR."""

from __future__ import annotations

import numpy as np

from edgekit.data.corruptions.base import Corruption, Image, one_for_gray

_HENDRYCKS = "Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions"


def _gaussian(image: Image, level: float, random: np.random.Generator) -> Image:
    return image + np.float32(level) * one_for_gray(image, random)


def _speckle(image: Image, level: float, random: np.random.Generator) -> Image:
    return image * (1 + np.float32(level) * one_for_gray(image, random))


def _rician(image: Image, level: float, random: np.random.Generator) -> Image:
    real = image + np.float32(level) * one_for_gray(image, random)
    imaginary = np.float32(level) * one_for_gray(image, random)
    magnitude: Image = np.hypot(real, imaginary)
    return magnitude


GAUSSIAN = Corruption(
    "gaussian_noise",
    _gaussian,
    (0.04, 0.06, 0.09, 0.13, 0.18),
    "standard deviation, as a share of the intensity range",
    _HENDRYCKS,
    sides=(2, 3),
)
SPECKLE = Corruption(
    "speckle_noise",
    _speckle,
    (0.10, 0.15, 0.22, 0.32, 0.45),
    "standard deviation, as a share of the pixel's own intensity",
    f"{_HENDRYCKS}; for ultrasound Di Salvo et al. 2024, MedMNIST-C",
    sides=(2, 3),
)
RICIAN = Corruption(
    "rician_noise",
    _rician,
    (0.04, 0.06, 0.09, 0.13, 0.18),
    "standard deviation of the real and of the imaginary part, as a share of the intensity range",
    "Gudbjartsson and Patz 1995, The Rician distribution of noisy MRI data",
    sides=(2, 3),
)
