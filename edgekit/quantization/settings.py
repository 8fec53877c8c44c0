"""What a person sets about quantization, in ``quantize`` and in ``qat`` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekit.quantization.scheme import Activations, Scheme, Weights
from edgekit.schema import Frozen

if TYPE_CHECKING:
    from edgekit.passes.base import Need


class Calibration(Frozen):
    """Where the ranges come from, which layers are quantized, and how finely."""

    images: int = Field(default=64, ge=8, le=10_000, description="training images that the ranges are taken from")
    seed: int = Field(default=0, ge=0, description="of the draw of those images")
    keep_float: tuple[str, ...] | Literal["auto"] = Field(
        default=(),
        description="layers that stay in float: names in the network's state_dict, first, last; or the word auto: "
        "the most harmful ones, until the gates hold on validation data",
    )
    sensitivity: bool | None = Field(
        default=None,
        description="analyse each layer alone on validation data; by default with keep_float: auto only",
    )
    sensitivity_images: int = Field(
        default=512,
        ge=16,
        le=100_000,
        description="validation images for that, at most; for segmentation windows, by default no more than hold "
        "2^24 pixels together",
    )
    bias_correction: bool = Field(default=True, description="keep each channel's mean as it was in float")
    weights: Weights = Field(default="per_channel", description="one scale an output channel, or one a layer")
    equalize: bool | None = Field(
        default=None,
        description="make the channels of a layer alike in size first, which leaves the float network's results as "
        "they are; by default with weights: per_tensor only",
    )
    activations: Activations = Field(
        default="asymmetric",
        description="symmetric: zero point 0, for targets that take nothing else; symmetric_or_unsigned: the same, "
        "and unsigned where nothing is negative, the fastest on x86",
    )

    @field_validator("keep_float", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if (isinstance(value, str) and value != "auto") or (isinstance(value, (list, tuple)) and "auto" in value):
            raise ValueError("give a list of layers, such as [first, last], or the word auto alone")
        return value

    @model_validator(mode="after")
    def _analysis_has_a_use(self) -> Self:
        if self.keep_float == "auto" and self.sensitivity is False:
            raise ValueError("'keep_float: auto' chooses by the sensitivity analysis; leave 'sensitivity' out")
        if "sensitivity_images" in self.model_fields_set and not self.analyses:
            raise ValueError("'sensitivity_images' has no effect without 'sensitivity: true' or 'keep_float: auto'")
        return self

    @property
    def analyses(self) -> bool:
        """Whether the sensitivity of the layers is analysed."""
        return self.keep_float == "auto" or bool(self.sensitivity)

    @property
    def equalizes(self) -> bool:
        """Whether the weights of neighbouring layers are equalized."""
        return self.weights == "per_tensor" if self.equalize is None else self.equalize

    def needs(self) -> tuple[Need, ...]:
        """See ``PassConfig``: ``auto`` asks the gates, and measures on the targets."""
        return ("gates", "targets", "machine") if self.keep_float == "auto" else ()

    @property
    def scheme(self) -> Scheme:
        """Granularity and symmetry."""
        return Scheme(self.weights, self.activations)
