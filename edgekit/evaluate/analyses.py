"""What a recipe may ask for beyond the figures of the test split as it is; nothing runs unless it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edgekit.data.corruptions import Name
from edgekit.schema import Frozen

#: Their keys in a recipe's ``evaluation``: no other stage depends on them.
ANALYSES = {"robustness", "out_of_distribution", "saliency"}
Severity = Annotated[int, Field(ge=1, le=5)]


class Robustness(Frozen):
    """The error on corrupted test images, of the source and of each artifact."""

    corruptions: Literal["auto"] | tuple[Name, ...] = Field(
        default="auto", description="auto: those that suit 'task.modality'; or their names"
    )
    severities: tuple[Severity, ...] = Field(default=(1, 2, 3, 4, 5), min_length=1)
    images: int = Field(
        default=200,
        ge=20,
        description="of the test split, the same for every corruption, as many of each class as can be; cases in "
        "segmentation",
    )

    @field_validator("corruptions", "severities")
    @classmethod
    def _distinct(cls, value: str | tuple[str | int, ...]) -> str | tuple[str | int, ...]:
        if not isinstance(value, str) and (not value or len(set(value)) != len(value)):
            raise ValueError("name at least one, and each once")
        return value


class OutOfDistribution(Frozen):
    """The confidence on images that the model was not made for; classification only."""

    path: Path | None = Field(
        default=None, description="other images: a folder or zip of image files, or an npz in MedMNIST's format"
    )
    generated: tuple[Literal["noise", "flat", "permuted"], ...] = Field(
        default=("noise", "flat", "permuted"),
        description="noise: random pixels; flat: one gray a picture; permuted: the pixels of test images, shuffled",
    )
    images: int = Field(default=200, ge=20, description="of each of these sets, at most")

    @model_validator(mode="after")
    def _something(self) -> OutOfDistribution:
        if self.path is None and not self.generated:
            raise ValueError("give 'path', or name what is to be 'generated'")
        if len(set(self.generated)) != len(self.generated):
            raise ValueError("'generated' names a set twice; name each once")
        return self


class Saliency(Frozen):
    """Whether an artifact looks where its source looks; classification only."""

    images: int = Field(
        default=16, ge=4, le=1000, description="of the test split, as many of each class as can be; 50 answers each"
    )
