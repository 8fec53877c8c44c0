"""A fresh process that measures one artifact and ends with the process that started it. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.measure.protocol import Request

#: In the child's environment: whose end is its own end.
PARENT = "EDGEKIT_MEASURED_BY"
_LINES = 5  # of the child's standard error, in the message of an error


@dataclass(frozen=True)
class Order:
    """One process: what it measures, and the artifact's name, for errors."""

    artifact: str
    request: Request


def fresh_processes(
    command: Sequence[str], orders: Sequence[Order], env: Mapping[str, str], timeout_s: float
) -> list[str | DeviceError]:
    """Measure each request in a process of its own; several take turns, see ``pace``.

    Args:
        command: starts ``worker``; the paths of question and answer are added.
        orders: what to measure; begun one after another.
        env: the children's environment.
        timeout_s: seconds at a stretch after which one is ended.

    Returns:
        By order, the answer's text, a ``WorkerResult`` as JSON that is not yet checked; or why there is none: the
        process failed, died or took too long, with the last lines that it wrote.
    """
    found: dict[int, str | DeviceError] = {}
    running: dict[int, _Child] = {}

    def turn(index: int) -> None:
        try:
            if running[index].goes_on(timeout_s):
                return
            found[index] = running[index].answer(timeout_s)
        except DeviceError as error:
            found[index] = error
        # Nothing of it must work beside the others.
        _end(running.pop(index).process)

    with contextlib.ExitStack() as stack:
        for index, order in enumerate(orders):
            try:
                running[index] = stack.enter_context(_started(command, order, env, paced=len(orders) > 1))
            except DeviceError as error:
                found[index] = error
            else:
                turn(index)
        while running:
            for index in [*running]:
                turn(index)
    return [found[index] for index in range(len(orders))]


def fresh_process(
    command: Sequence[str], request: Request, env: Mapping[str, str], timeout_s: float, artifact: str
) -> str:
    """One of ``fresh_processes``.

    Raises:
        DeviceError: it failed, died or took too long; with the last lines that it wrote.
    """
    (found,) = fresh_processes(command, [Order(artifact, request)], env, timeout_s)
    if isinstance(found, DeviceError):
        raise found
    return found


@dataclass
class _Child:
    artifact: str
    process: subprocess.Popen[bytes]
    said: Path
    result: Path
    link: socket.socket
    _begun: bool = False

    def goes_on(self, timeout_s: float) -> bool:
        """Give it its turn; returns when the turn is over, and whether another one is wanted."""
        self.link.settimeout(timeout_s)
        try:
            if self._begun:
                self.link.sendall(b".")
            self._begun = True
            return bool(self.link.recv(1))
        except TimeoutError:
            raise self._late(timeout_s) from None
        except OSError:
            return False  # it has died; its answer says how

    def answer(self, timeout_s: float) -> str:
        """What it answers when it has ended."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self._late(timeout_s) from None
        return _answer(self.artifact, self.result, code, self.said.read_bytes())

    def _late(self, timeout_s: float) -> DeviceError:
        return _failure(self.artifact, f"took longer than {timeout_s:g} s and was ended", self.said.read_bytes())


@contextlib.contextmanager
def _started(command: Sequence[str], order: Order, env: Mapping[str, str], paced: bool) -> Iterator[_Child]:
    """A process that is ended where it has not ended by itself."""
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-measure-")))
            own, other = (stack.enter_context(one) for one in socket.socketpair())
            request = replace(order.request, turns=other.fileno() if paced else None)
            (folder / "request.json").write_text(request.to_json(), encoding="utf-8")
            # A file: nobody reads a pipe while another process has its turn, and a full one would halt the child.
            with (folder / "said").open("wb") as said:
                process = subprocess.Popen(
                    [*command, str(folder / "request.json"), str(folder / "result.json")],
                    env={**env, PARENT: str(os.getpid())},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    pass_fds=[other.fileno()] if paced else [],
                    # A group of its own, so that what a runtime starts ends with it.
                    start_new_session=True,
                )
        except OSError as error:
            problem = f"the measuring process could not be started: {error}"
            raise DeviceError(problem, where=order.artifact) from None
        # Held by the child alone: its end is the end of the link.
        other.close()
        try:
            yield _Child(order.artifact, process, folder / "said", folder / "result.json", own)
        finally:
            _end(process)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End ``child`` and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.poll() is None:
        child.kill()
        child.wait()


def _answer(artifact: str, answer: Path, code: int, said: bytes) -> str:
    try:
        text = answer.read_text(encoding="utf-8")
    except OSError:
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        raise _failure(artifact, f"{how} and gave no result", said) from None
    if code != 0:
        raise _failure(artifact, str(json.loads(text).get("error")), b"")
    return text


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (often: out of memory)" if name == "SIGKILL" else name


def _failure(artifact: str, problem: str, stderr: bytes | None) -> DeviceError:
    lines = (stderr or b"").decode(errors="replace").strip().splitlines()[-_LINES:]
    said = "; it wrote last: " + " | ".join(line.strip() for line in lines) if lines else ""
    return DeviceError(
        f"the process that measured it: {problem}{said}",
        where=artifact,
        remedy="the artifact is reported as failed; run 'edgekit bench' to measure it again",
    )
