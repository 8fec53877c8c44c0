"""What a target may say of its energy meter: a kind by its name, or a kind with options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from edgekit.schema import Frozen

#: Kinds that need no options.
MeterName = Literal["auto", "rapl", "hwmon", "nvml", "jetson", "powermetrics", "none"]


class Rapl(Frozen):
    """CPU packages through Linux' powercap tree, or other domains of it."""

    kind: Literal["rapl"]
    domains: tuple[Literal["package", "dram", "core", "uncore", "psys"], ...] = Field(
        default=("package",), min_length=1, description="that are added"
    )

    @model_validator(mode="after")
    def _no_overlap(self) -> Rapl:
        parts = {"package", "core", "uncore"} & set(self.domains)
        if len(parts) > 1 or ("psys" in self.domains and len(self.domains) > 1):
            raise ValueError("domains that contain one another cannot be added: psys > package > core, uncore")
        return self


class Hwmon(Frozen):
    """A chip in Linux' hwmon tree."""

    kind: Literal["hwmon"]
    chip: str | None = Field(
        default=None,
        min_length=1,
        description="what the chip's file 'name' says, such as ina226; a CPU's own if absent",
    )
    label: str | None = Field(default=None, description="of its channel; not needed where it has one only")


class Nvml(Frozen):
    """One NVIDIA GPU."""

    kind: Literal["nvml"]
    gpu: int = Field(default=0, ge=0, description="its index")


class Jetson(Frozen):
    """One rail of a Jetson's power monitor."""

    kind: Literal["jetson"]
    rail: str | None = Field(
        default=None,
        min_length=1,
        description="for boards that do not monitor their input; the input rail if absent",
    )


class Csv(Frozen):
    """An external meter, whose own software writes a CSV file while edgekit measures."""

    kind: Literal["csv"]
    path: Path = Field(description="the file, on the machine where edgekit runs")
    time_column: str = Field(default="time", description="seconds since 1970 (UTC), or ISO 8601")
    power_column: str = Field(default="watts", description="watts")
    offset_s: float = Field(default=0.0, description="added to the file's times to give the device's UTC")
    period_s: float = Field(gt=0, le=60, description="between two rows; a window is twenty of them")


class Estimated(Frozen):
    """No meter: an estimate from the CPU's rated power, called an estimate wherever it is shown."""

    kind: Literal["estimated"]
    tdp_w: float = Field(gt=0, description="thermal design power of the CPU in watts")


def _form(value: Any) -> str:
    return "name" if isinstance(value, str) else "options"


EnergyMeter = Annotated[
    Annotated[MeterName, Tag("name")]
    | Annotated[
        Annotated[Rapl | Hwmon | Nvml | Jetson | Csv | Estimated, Field(discriminator="kind")], Tag("options")
    ],
    Discriminator(_form),
]
