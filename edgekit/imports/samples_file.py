"""The form of a bundle's README: raw samples of another tool, or the summary that is all it gives."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from edgekit.imports.base import Imported, JobOf, checked
from edgekit.measure.latency import Job
from edgekit.record import Measurement


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Artifact(_Part):
    artifact: str
    sha256: str
    processes: tuple[tuple[float, ...], ...] | None = None
    summary: dict[str, float] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> _Artifact:
        if (self.processes is None) == (self.summary is None):
            raise ValueError("exactly one of 'processes' and 'summary' must be given")
        if self.processes is not None and not (self.processes and all(self.processes)):
            raise ValueError("'processes' must hold samples, at least one in each")
        if any(sample <= 0 for process in self.processes or () for sample in process):
            raise ValueError("a sample is not above 0 s")
        return self


class _Samples(_Part):
    format: Literal[1]
    measured_by: str = Field(min_length=1)
    measured_utc: str = Field(min_length=10)
    device: str = Field(min_length=1)
    os: str = Field(min_length=1)
    method: str = Field(min_length=1)
    warmup: int = Field(ge=0)
    artifacts: tuple[_Artifact, ...] = Field(min_length=1)


_SAMPLES = TypeAdapter(_Samples)


def parse(text: str, job_of: JobOf, where: str) -> Imported:
    """The measurements in ``text``.

    Raises:
        InputError: it does not have the form.
    """
    found: _Samples = checked(_SAMPLES, text, where)
    rows = []
    for one in found.artifacts:
        job = job_of(one.artifact)
        common = {**shared(job), "warmup": found.warmup}
        if one.summary is not None:
            rows.append(summary(one.artifact, found.method, one.summary, common))
            continue
        for index, samples in enumerate(one.processes or ()):
            conditions = {"process": index, "processes": len(one.processes or ()), "runs": len(samples)}
            rows.append(
                Measurement(
                    artifact=one.artifact,
                    metric="latency_s",
                    unit="s",
                    samples=samples,
                    method=found.method,
                    conditions={**common, **conditions, "timed": "as the method says"},
                )
            )
    return Imported(
        tool=found.method,
        measured_utc=found.measured_utc,
        measured_by=found.measured_by,
        machine={"cpu": found.device, "os": found.os},
        artifacts={one.artifact: one.sha256 for one in found.artifacts},
        rows=rows,
    )


def shared(job: Job) -> dict[str, object]:
    """What the target says of the conditions."""
    return {"batch": 1, "device": job.target.device, "power_mode": job.target.power_mode}


def summary(artifact: str, method: str, figures: dict[str, float], conditions: dict[str, object]) -> Measurement:
    """A latency of which only summary figures are known: not a measurement that percentiles could be made of."""
    shown = ", ".join(f"{name} {value:.6g}" for name, value in figures.items())
    return Measurement(
        artifact=artifact,
        metric="latency_s",
        unit="s",
        not_measured_reason=f"the tool gave a summary and no samples ({shown}), so no percentile is known",
        method=method,
        conditions={**conditions, "summary": figures},
    )
