"""What the runner of a device says, line by line. Nothing is believed before it was checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from edgekit.errors import DeviceError

#: Longest line that is read: a result of a million samples has about twenty million characters.
LONGEST = 64 * 2**20
_Text = Annotated[str, Field(max_length=4096)]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Busy(_Event):
    """Another run holds the device's lock; the runner waits."""

    event: Literal["busy"]
    owner: _Text
    since: _Text


class Refused(_Event):
    """The session cannot go on."""

    event: Literal["refused"]
    problem: _Text
    remedy: _Text


class Ready(_Event):
    """The device is this session's: what it is, what it lacks, and which of the plan's files are there already."""

    event: Literal["ready"]
    format: int
    machine: dict[str, JsonValue] = Field(max_length=64)
    lacks: _Text
    free_bytes: int
    present: dict[str, str]


class Started(_Event):
    """A process begins."""

    event: Literal["started"]
    turn: int


class Result(_Event):
    """A process has measured; ``result`` is a ``WorkerResult``, checked by ``answers``."""

    event: Literal["result"]
    turn: int
    seconds: float = Field(ge=0)
    result: dict[str, JsonValue]


class Failed(_Event):
    """A process failed; its artifact is not measured any more."""

    event: Literal["failed"]
    turn: int
    problem: _Text


class Note(_Event):
    """Something that the user should know."""

    event: Literal["note"]
    text: _Text


class Done(_Event):
    """Every turn was taken."""

    event: Literal["done"]


Event = Busy | Refused | Ready | Started | Result | Failed | Note | Done
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse(line: str, where: str) -> Event | None:
    """The event in ``line``; none where it is something else that the device's shell printed.

    Raises:
        DeviceError: it claims to be one and is not.
    """
    if not line.startswith('{"event":'):
        return None
    try:
        return _EVENT.validate_json(line)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise DeviceError(f"the runner said what it may not: {key}: {first['msg']}", where=where) from None
