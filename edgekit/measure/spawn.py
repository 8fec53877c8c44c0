"""A fresh process that measures one artifact and ends with the process that started it. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.measure.protocol import Request

#: In the child's environment: whose end is its own end.
PARENT = "EDGEKIT_MEASURED_BY"
_LINES = 5  # of the child's standard error, in the message of an error


def fresh_process(
    command: Sequence[str], request: Request, env: Mapping[str, str], timeout_s: float, artifact: str
) -> str:
    """Measure ``request`` in a process of its own.

    Args:
        command: starts ``worker``; the paths of question and answer are added.
        request: what to measure.
        env: the child's environment.
        timeout_s: seconds after which it is ended.
        artifact: its name, for errors.

    Returns:
        The answer's text: a ``WorkerResult`` as JSON, not yet checked.

    Raises:
        DeviceError: it failed, died or took too long; with the last lines that it wrote.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-measure-"))
            question, answer = Path(folder) / "request.json", Path(folder) / "result.json"
            question.write_text(request.to_json(), encoding="utf-8")
            child = subprocess.Popen(
                [*command, str(question), str(answer)],
                env={**env, PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # A group of its own, so that what a runtime starts ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"the measuring process could not be started: {error}", where=artifact) from None
        with child:
            try:
                _, said = child.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                raise _failure(artifact, f"took longer than {timeout_s:g} s and was ended", error.stderr) from None
            finally:
                _end(child)
        return _answer(artifact, answer, child.returncode, said)


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
