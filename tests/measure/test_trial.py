"""What a trial measures: models in the form in which they would ship."""

from __future__ import annotations

import numpy as np
import torch

from edgekit import target
from edgekit.data.base import Preprocessing
from edgekit.measure.trial import float_precision, merged
from edgekit.model import create
from edgekit.passes import FoldBatchnorm, Reparameterize
from edgekit.recipe import ModelConfig


def test_branches_and_batchnorm_are_merged_and_the_logits_stay() -> None:
    spec = Preprocessing(size=(32, 32))
    model, _ = create(ModelConfig(architecture="mobileone_s0"), ("a", "b"), spec, None)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.network(image).numpy()
        small = merged(model, (Reparameterize(), FoldBatchnorm()))
        after = small.network(image).numpy()
    assert small.parameter_count < model.parameter_count
    assert np.abs(before - after).max() < 1e-3 * np.abs(before).max()
    # A pass that finds nothing to do is left out; the model stays what it is.
    assert merged(small, (Reparameterize(),)).network is small.network


def test_the_most_precise_float_is_measured() -> None:
    cpu = target.load("cpu")
    assert float_precision(cpu) == "fp32"
    assert float_precision(cpu.model_copy(update={"precisions": ("int8", "bf16", "fp16")})) == "fp16"
    assert float_precision(cpu.model_copy(update={"precisions": ("int8",)})) is None
