"""The record: everything that a run did and measured, as one versioned JSON document.

Every report is a view of it. Nothing here needs torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgekit.errors import InputError

SCHEMA_VERSION = 1
SOURCE = "source"
#: What the reports read of the recipe, which is kept as plain data so that old records load for ever.
_RECIPE_KEYS = ("name",)
Status = Literal[
    "accepted", "rejected", "checked, not run here", "exported, not run here", "not exported", "failed"
]


class AlteredError(InputError):
    """A record breaks its schema: it was altered after edgekit wrote it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Stage(_Part):
    """One step of the pipeline. ``changes`` is what a pass did: layers, parameters, MACs, agreement."""

    name: str
    kind: str
    seconds: float
    cached: bool
    changes: dict[str, Any] = Field(default_factory=dict)


class TensorSpec(_Part):
    """Shape, type and meaning of an input or output."""

    name: str
    shape: tuple[int, ...] = Field(description="-1: as many as there are")
    dtype: str
    layout: str


class Artifact(_Part):
    """One exported file (or folder), or the model in PyTorch that it is compared with."""

    name: str
    target: str
    runtime: str
    precision_requested: str
    precision_executed: str | None = Field(description="read back from the runtime; none where it did not run")
    path: str = Field(description="relative to the folder of the record; empty where it was not exported")
    sha256: str
    size_bytes: int
    status: Status
    reason: str | None = Field(default=None, description="why it is not 'accepted'")
    recommended: bool = False
    alternative: bool = Field(
        default=False, description="a candidate that the recipe did not ask for: its loss is no failure of the run"
    )
    advice: str | None = Field(default=None, description="why it is, or is not, the one to use on its target")
    options: dict[str, str] = Field(default_factory=dict, description="of the runtime, beside its target's own")
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    stages: tuple[str, ...] = Field(default=(), description="names of the stages that made it")
    layers: dict[str, int] = Field(
        default_factory=dict, description="executed layers by precision, where the runtime tells"
    )
    details: dict[str, Any] = Field(default_factory=dict, description="exporter, options, parity figures")


class Measurement(_Part):
    """Raw samples of one metric of one artifact, or the reason why there are none."""

    artifact: str
    metric: str
    unit: str
    samples: tuple[float, ...] | None = None
    not_measured_reason: str | None = None
    method: str
    conditions: dict[str, Any] = Field(default_factory=dict)
    interval: tuple[float, float] | None = Field(
        default=None, description="95 %, for a figure over the images of the test split"
    )

    @model_validator(mode="after")
    def _samples_or_reason(self) -> Measurement:
        if (self.samples is None) == (self.not_measured_reason is None):
            raise ValueError("exactly one of 'samples' and 'not_measured_reason' must be given")
        if self.samples is not None and not self.samples:
            raise ValueError("'samples' must not be empty; give 'not_measured_reason' instead")
        return self


class Gate(_Part):
    """One rule that an artifact had to keep."""

    artifact: str
    name: str
    limit: float | None
    value: float | None
    passed: bool
    explanation: str
    undecided: str | None = Field(
        default=None, description="why the data cannot decide it; 'passed' is then what the recipe makes of that"
    )
    interval: tuple[float, float] | None = Field(default=None, description="95 %, of the value")


class Predictions(_Part):
    """What one artifact said about every image of the test split, in the split's order."""

    artifact: str
    predicted: tuple[int, ...]
    confidence: tuple[float, ...] = Field(description="probability of the predicted class, 0 to 1")


class ChangedImage(_Part):
    """One image of the test split of which an artifact says something else than the source."""

    image: int = Field(description="its place in the test split, from 0")
    id: str = Field(description="what it is called in its source")
    before: int = Field(description="the class that the source predicts")
    after: int
    true_before: float = Field(description="probability that the source gives to the true class")
    true_after: float


class Changed(_Part):
    """The changed predictions of one artifact, the greatest loss of the true class's probability first."""

    artifact: str
    count: int = Field(description="of all; 'images' holds the worst")
    images: tuple[ChangedImage, ...]


class Exemplars(_Part):
    """Compression-identified exemplars of one artifact, over the seeds of a study."""

    artifact: str
    definition: Literal["hooker", "holste"]
    seeds: tuple[int, ...]
    images: tuple[int, ...] | None = Field(default=None, description="places in the test split")
    not_found_reason: str | None = None


class Record(_Part):
    """One run."""

    schema_version: Literal[1] = 1
    edgekit_version: str
    git_commit: str | None
    git_dirty: bool | None
    created_utc: str
    command: str
    recipe: dict[str, Any]
    recipe_sha256: str
    data: dict[str, Any]
    machine: dict[str, Any]
    targets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    gates: tuple[Gate, ...] = ()
    labels: tuple[int, ...] = Field(default=(), description="true classes of the test split")
    predictions: tuple[Predictions, ...] = ()
    changed: tuple[Changed, ...] = ()
    thumbnails: dict[str, str] = Field(
        default_factory=dict, description="place in the test split -> small PNG, base64; only where a recipe asks"
    )
    subgroups: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="column of the data's table -> subgroup of each image of the test split"
    )
    exemplars: tuple[Exemplars, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, artifact: str, metric: str) -> list[Measurement]:
        """All measurements of ``metric`` on ``artifact``, in the order in which they were made."""
        return [m for m in self.measurements if m.artifact == artifact and m.metric == metric]

    def value(self, artifact: str, metric: str) -> Measurement | None:
        """The newest measurement of ``metric`` on ``artifact`` that has samples."""
        found = [m for m in self.of(artifact, metric) if m.samples is not None]
        return found[-1] if found else None


def find(path: Path) -> list[Path]:
    """The record at ``path``, or the records in its folders and theirs, such as those of a study.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [path]
    if (path / "record.json").exists():
        return [path / "record.json"]
    inside = sorted([*path.glob("*/record.json"), *path.glob("*/*/record.json")])
    if not inside:
        raise InputError(
            "no record here",
            where=str(path),
            remedy="name a record.json, or a folder that 'edgekit compress' wrote",
        )
    return inside


def read(path: Path) -> Record:
    """Load ``record.json``; every earlier schema version still loads.

    Raises:
        AlteredError: it breaks the schema.
        InputError: the file is missing, or is no JSON.
    """
    file = path / "record.json" if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such record", where=str(file), remedy="run 'edgekit compress' first") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"is not a readable JSON document: {error}", where=str(file)) from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"schema_version is {version!r}, this edgekit reads {SCHEMA_VERSION}",
            where=str(file),
            remedy="use the edgekit that wrote it, or a newer one",
        )
    try:
        loaded = Record.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise AlteredError(f"{first['msg']}", where=f"{file}: {key}", remedy="the record was altered") from None

    absent = [key for key in _RECIPE_KEYS if key not in loaded.recipe]
    splits = loaded.data.get("splits", {})
    if absent or not isinstance(splits, dict) or not all(isinstance(one, dict) for one in splits.values()):
        key = f"recipe.{absent[0]}" if absent else "data.splits"
        raise AlteredError("missing or malformed", where=f"{file}: {key}", remedy="the record was altered")
    return loaded


def dumps(record: Record) -> str:
    """The record as JSON text, stable in its order."""
    # Through pydantic's own JSON, which writes a figure that is not finite as text; JSON has no form for it.
    return json.dumps(json.loads(record.model_dump_json()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
