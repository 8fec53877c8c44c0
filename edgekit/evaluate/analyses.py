"""What a recipe may ask for beyond the figures of the test split as it is; nothing runs unless it is named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edgekit.data.corruptions import Name
from edgekit.schema import Frozen

#: Their keys in a recipe's ``evaluation``: no other stage depends on them.
ANALYSES = {"robustness"}
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
