"""INT8 post-training quantization: activation ranges and corrected biases from a few training images."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgekit.model import Model
from edgekit.passes.base import Context, Outcome, PassConfig
from edgekit.quantization.settings import Calibration


class Quantize(Calibration, PassConfig):
    """Post-training quantization (PTQ): ranges from training images, never from validation or test images."""

    not_after: ClassVar[dict[str, str]] = {
        "quantize": "the model is quantized already",
        "qat": "the model is trained with quantization already",
    }
    quantizes: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (
        "passes/quantize.py",
        "passes/layer_names.py",
        "quantization",
        "training/contents.py",
        "training/pixel_figures.py",
        "evaluate",
        "measure/trial.py",
    )

    kind: Literal["quantize"] = "quantize"

    def apply(self, model: Model, context: Context) -> Outcome:
        """See ``PassConfig``.

        Raises:
            PassError: ``keep_float`` names no layer of the network, or leaves none to quantize.
        """
        from edgekit.quantization.post_training import quantize

        return Outcome(*quantize(model, self, context))
