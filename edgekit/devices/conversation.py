"""What is said between this machine and the runner on a device, from its start to its end."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from edgekit.devices import events
from edgekit.devices.base import Sink
from edgekit.errors import DeviceError, MissingError
from edgekit.measure import answers
from edgekit.measure.link import BEAT_S
from edgekit.measure.plan import PREPARE_TIMEOUT_S, TIMEOUT_S, Plan, Turn
from edgekit.measure.protocol import FORMAT

if TYPE_CHECKING:
    from asyncssh import SSHClientProcess

#: Exit code of a shell that does not find the command.
_NOT_FOUND = 127
#: A runner that says nothing for so long hangs.
_SILENCE_S = PREPARE_TIMEOUT_S + TIMEOUT_S + 60.0
_LAST_LINES = 5


class Conversation:
    """One session of the runner."""

    def __init__(
        self,
        where: str,
        plan: Plan,
        sink: Sink,
        send: Callable[[set[str], int], Awaitable[None]],
        architecture: str | None,
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            where: for errors.
            plan: what the runner was given.
            sink: takes the results.
            send: puts the files of these names on the device, which has so many bytes free.
            architecture: what the device must be; anything when absent.
            say: shows the user a line.
        """
        self._where = where
        self._plan = plan
        self._sink = sink
        self._send = send
        self._architecture = architecture
        self._say = say
        self._turns: Sequence[Turn] = ()
        self._ready = self._done = False

    async def hold(self, process: SSHClientProcess[str]) -> None:
        """Listen and answer until every turn was taken.

        Raises:
            MissingError: the device lacks Python, numpy or a runtime.
            DeviceError: it is in use, says what it may not, or ends before it is done.
        """
        said = deque[str](maxlen=_LAST_LINES)
        beat = asyncio.create_task(_beat(process))
        try:
            async for line in self._lines(process):
                event = events.parse(line, self._where)
                if event is None:
                    said.append(line.strip())
                elif isinstance(event, events.Ready):
                    await self._begin(event)
                    process.stdin.write(json.dumps({"turns": [asdict(one) for one in self._turns]}) + "\n")
                else:
                    self._hear(event)
        finally:
            beat.cancel()
        await process.wait()
        if not self._done:
            raise self._ended(process.exit_status, "; it wrote last: " + " | ".join(said) if said else "")

    async def _lines(self, process: SSHClientProcess[str]) -> AsyncIterator[str]:
        rest = ""
        while True:
            try:
                part = await asyncio.wait_for(process.stdout.read(65536), _SILENCE_S)
            except TimeoutError:
                raise DeviceError(f"said nothing for {_SILENCE_S:g} s", where=self._where) from None
            if not part:
                return
            *lines, rest = (rest + part).split("\n")
            for line in lines:
                yield line
            if len(rest) > events.LONGEST:
                raise DeviceError("the runner sent a line without an end", where=self._where)

    async def _begin(self, event: events.Ready) -> None:
        if self._ready:
            raise DeviceError("the runner was ready twice", where=self._where)
        self._ready = True
        if event.format != FORMAT:
            raise DeviceError(f"the runner speaks format {event.format}, not {FORMAT}", where=self._where)
        found = event.machine.get("architecture")
        if self._architecture is not None and found != self._architecture:
            raise DeviceError(
                f"the device is {found}, the target file says {self._architecture}",
                where=self._where,
                remedy="correct 'host' or 'architecture' in the target file",
            )
        if event.lacks:
            raise MissingError(
                f"cannot run there: {event.lacks}",
                where=self._where,
                remedy="install it on the device, or name the Python that has it: 'python' of the connection",
            )
        self._turns = self._sink.begin(dict(event.machine))
        jobs = [self._plan.jobs[one.job] for one in self._turns]
        folders = {PurePosixPath(one.path).parts[:2] for one in jobs}
        inputs = {one.inputs for one in jobs}
        needed = {
            name
            for name, sha256 in self._plan.files.items()
            if event.present.get(name) != sha256 and (name in inputs or PurePosixPath(name).parts[:2] in folders)
        }
        await self._send(needed, event.free_bytes)

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.Refused):
            raise DeviceError(event.problem, where=self._where, remedy=event.remedy or None)
        if isinstance(event, events.Busy):
            self._say(f"{self._where}: waits for {event.owner}, who has the device since {event.since}")
        elif isinstance(event, events.Note):
            self._say(f"{self._where}: {event.text}")
        elif isinstance(event, events.Done):
            self._done = True
        elif isinstance(event, events.Started):
            self._sink.started(self._turn(event.turn))
        elif isinstance(event, events.Failed):
            turn = self._turn(event.turn)
            artifact = self._plan.jobs[turn.job].artifact
            self._sink.failed(turn, f"{artifact}: {event.problem} (on the device of {self._where})")
        elif isinstance(event, events.Result):
            turn = self._turn(event.turn)
            job = self._plan.jobs[turn.job]
            result = answers.worker_result(
                json.dumps(event.result), self._plan.runs, f"{self._where}: {job.artifact}"
            )
            self._sink.take(turn, result, event.seconds)

    def _turn(self, number: int) -> Turn:
        if not 0 <= number < len(self._turns):
            raise DeviceError(f"the runner named turn {number}, which it was not asked for", where=self._where)
        return self._turns[number]

    def _ended(self, code: int | None, said: str) -> MissingError | DeviceError:
        if code == _NOT_FOUND:
            return MissingError(
                f"its shell does not find Python{said}",
                where=self._where,
                remedy="install Python 3.10 or newer there, or name it: 'python' of the connection",
            )
        if code == MissingError.exit_code:
            return MissingError(
                f"its Python is too old{said}",
                where=self._where,
                remedy="name a newer one: 'python' of the connection",
            )
        if code is None:
            return DeviceError(
                f"the connection was lost{said}",
                where=self._where,
                remedy="what was measured is kept: run the same command to go on",
            )
        return DeviceError(f"the runner ended with exit code {code}{said}", where=self._where)


async def _beat(process: SSHClientProcess[str]) -> None:
    """Say that this machine still listens, until cancelled."""
    while True:
        await asyncio.sleep(BEAT_S)
        process.stdin.write("\n")
