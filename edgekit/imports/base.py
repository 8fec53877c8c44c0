"""What a file of measurements holds, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgekit.errors import InputError
from edgekit.measure.latency import Job
from edgekit.record import Measurement

#: Gives the record's artifact of a name as a job; raises ``InputError`` where there is none.
JobOf = Callable[[str], Job]


@dataclass(frozen=True)
class Imported:
    """One file.

    Attributes:
        tool: what measured.
        measured_utc: when, as the file says; none where it does not.
        measured_by: who, as the file says; none where it does not.
        machine: the device, as ``measure.machine.describe`` gives it, or as much of it as is known.
        artifacts: sha256 of what was measured, by the artifact's name.
        rows: the measurements.
    """

    tool: str
    measured_utc: str | None
    measured_by: str | None
    machine: dict[str, Any]
    artifacts: dict[str, str]
    rows: list[Measurement]


def checked(adapter: TypeAdapter[Any], text: str, where: str) -> Any:
    """``text`` by ``adapter``, or the first thing that is wrong with it as an ``InputError``."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{key}: {first['msg']}" if key else first["msg"], where=where) from None
