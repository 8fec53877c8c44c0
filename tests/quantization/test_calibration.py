from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.errors import InputError
from edgekit.quantization import calibration, placement, program
from tests.networks import images, small_model


def _nothing(fraction: float, text: str) -> None: ...


def test_an_outlier_does_not_widen_the_range() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=100_000), [60.0]])
    histogram, _ = np.histogram(values, calibration.BINS, (values.min(), 60.0))
    # A million such values to one outlier: rounding them finely is worth the outlier's error.
    counts = 10.0 * histogram
    counts[-1] = 1.0
    low, high = calibration.best_range(counts, float(values.min()), 60.0)
    assert high < 40.0
    assert low <= 0.0


def test_an_even_histogram_keeps_its_whole_range() -> None:
    low, high = calibration.best_range(np.ones(calibration.BINS), -1.0, 3.0)
    assert (low, high) == (-1.0, 3.0)


def test_a_constant_activation_gets_a_range_with_zero() -> None:
    assert calibration.best_range(np.zeros(calibration.BINS), 2.0, 2.0) == (0.0, 2.0)


def test_activations_that_are_not_finite_are_refused() -> None:
    model = small_model()
    with torch.no_grad():
        model.network.get_parameter("narrow.weight").fill_(float("inf"))
    with pytest.raises(InputError, match="not finite"):
        calibration.ranges(program.float_graph(model), [one[None] for one in images(2)], _nothing)


def test_bias_correction_restores_the_mean_of_each_channel() -> None:
    model, batch = small_model(), images()
    spans = calibration.ranges(program.float_graph(model), [one[None] for one in batch], _nothing)
    deltas = calibration.correct_biases(program.float_graph(model), spans, (), batch)
    assert set(deltas) == {"stem", "wide", "narrow", "gated", "head"}

    def shift(corrected: bool) -> float:
        network = small_model().network
        if corrected:
            with torch.no_grad():
                for name, delta in deltas.items():
                    network.get_parameter(f"{name}.bias").add_(torch.from_numpy(delta))
        from dataclasses import replace

        quantization = {"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []}
        quantized = replace(small_model(), network=network, quantization=quantization)
        given = program.run(program.quantized_program(quantized, placement.PORTABLE), batch.numpy())
        with torch.no_grad():
            wanted = small_model().network(batch).numpy()
        return float(np.abs((given - wanted).mean(axis=0)).max())

    assert shift(corrected=True) < shift(corrected=False)
