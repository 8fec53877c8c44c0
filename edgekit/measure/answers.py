"""What measuring processes answer, checked before anything is believed: the process may have run elsewhere."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgekit.errors import DeviceError
from edgekit.measure.protocol import WorkerResult

_RESULT = TypeAdapter(WorkerResult)


def worker_result(text: str, runs: int, where: str) -> WorkerResult:
    """The result in ``text``.

    Args:
        text: JSON.
        runs: how many timed runs were asked for.
        where: whose result it is, for the error.

    Raises:
        DeviceError: it is no result, or not one that can be.
    """
    try:
        found = _RESULT.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise DeviceError(f"gave a result that is not valid: {key}: {first['msg']}", where=where) from None
    if len(found.samples_s) != runs:
        raise DeviceError(f"gave {len(found.samples_s)} samples, {runs} were asked for", where=where)
    if min(found.samples_s) < 0 or sum(found.samples_s) > found.wall_s:
        raise DeviceError("gave samples that do not fit into the time they took together", where=where)
    return found


def plain(result: WorkerResult) -> dict[str, Any]:
    """``result`` as plain data, as a stage keeps it."""
    data: dict[str, Any] = _RESULT.dump_python(result, mode="json")
    return data


def kept(data: Any) -> WorkerResult:
    """What ``plain`` gave."""
    return _RESULT.validate_python(data, strict=False)
