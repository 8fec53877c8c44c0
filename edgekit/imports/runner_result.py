"""``result.json``, which the runner writes: raw samples of every process, and the machine."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from edgekit.errors import DeviceError, InputError
from edgekit.imports.base import Imported, JobOf, checked
from edgekit.measure import answers
from edgekit.measure.latency import measurements
from edgekit.measure.protocol import WorkerResult
from edgekit.recipe import Benchmark


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Process(_Part):
    artifact: str
    round: int = Field(ge=0)
    seconds: float = Field(ge=0)
    result: dict[str, JsonValue]


class _Result(_Part):
    format: Literal[1]
    edgekit_version: str
    written_utc: str
    python: str
    measured_by: str | None = None
    machine: dict[str, JsonValue] = Field(max_length=64)
    processes: int = Field(ge=1)
    warmup: int = Field(ge=1)
    runs: int = Field(ge=1)
    artifacts: dict[str, str] = Field(min_length=1)
    results: list[_Process] = Field(min_length=1)
    failed: dict[str, str]


_RESULT = TypeAdapter(_Result)


def parse(text: str, job_of: JobOf, where: str) -> Imported:
    """The measurements in ``text``.

    Raises:
        InputError: it is no result of the runner, holds a round twice, or samples that cannot be.
    """
    found: _Result = checked(_RESULT, text, where)
    protocol = Benchmark(warmup=found.warmup, runs=found.runs, processes=found.processes)
    rounds: dict[str, dict[int, WorkerResult]] = {}
    for one in found.results:
        if one.artifact not in found.artifacts or one.round in rounds.get(one.artifact, {}):
            raise InputError(f"round {one.round} of '{one.artifact}' is there twice, or unknown", where=where)
        try:
            result = answers.worker_result(json.dumps(one.result), found.runs, f"{where}: {one.artifact}")
        except DeviceError as error:
            raise InputError(error.problem, where=error.where) from None
        rounds.setdefault(one.artifact, {})[one.round] = result
    rows = []
    for name, results in rounds.items():
        rows += measurements(job_of(name), [results[index] for index in sorted(results)], protocol)
    return Imported(
        tool=f"edgekit {found.edgekit_version}, runner.pyz on Python {found.python}",
        measured_utc=found.written_utc,
        measured_by=found.measured_by,
        machine=dict(found.machine),
        artifacts={name: found.artifacts[name] for name in rounds},
        rows=rows,
    )
