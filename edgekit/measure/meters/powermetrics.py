"""Apple's ``powermetrics``: the power of CPU, GPU and neural engine as macOS models it."""

from __future__ import annotations

import contextlib
import os
import platform
import plistlib
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any
from xml.parsers.expat import ExpatError

from edgekit.errors import DeviceError
from edgekit.measure.meters.base import Absent, Reading

PERIOD_MS = 200
_ARGUMENTS = ("--samplers", "cpu_power", "-i", str(PERIOD_MS), "-f", "plist")
_REMEDY = (
    "it needs root: run edgekit as root, or let an administrator allow it without a password, with "
    "'USER ALL=(root) NOPASSWD: /usr/bin/powermetrics' in sudoers"
)
_END_S = 5.0


class Powermetrics:
    """One process of ``powermetrics`` a window; its property lists are read as they come."""

    estimated = False
    source = f"powermetrics (Apple's model, no sensor), power sampled every {PERIOD_MS} ms"
    scope = "CPU, GPU and neural engine, without memory and display"
    update_period_s = PERIOD_MS / 1e3

    def __init__(self, command: Sequence[str]) -> None:
        """Args: command: that starts it, with its arguments."""
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._output = bytearray()
        self._reader: threading.Thread | None = None
        self._done = threading.Event()
        self._started_s = 0.0

    def start(self) -> None:
        """See ``Meter``; returns when the first sample came, which belongs to the time before the window."""
        self._output = bytearray()
        self._done.clear()
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise DeviceError(f"powermetrics cannot be started: {error}") from error
        self._reader = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._reader.start()
        give_up = time.monotonic() + _END_S
        while not _whole(self._output):
            if self._process.poll() is not None or time.monotonic() > give_up:
                self._end()
                raise DeviceError(f"powermetrics gave no sample; {_REMEDY}")
            time.sleep(0.01)
        self._before = len(_whole(self._output))
        self._started_s = time.monotonic()

    def keep(self) -> None:
        """See ``Meter``."""

    def stop(self) -> Reading:
        """See ``Meter``."""
        seconds = time.monotonic() - self._started_s
        self._end()
        found = [_power(one) for one in _whole(self._output)[self._before :]]
        elapsed_s = sum(span for span, _ in found)
        if not found or elapsed_s <= 0:
            raise DeviceError(f"powermetrics gave no sample in a window of {seconds:.1f} s")
        mean_w = sum(span * watts for span, watts in found) / elapsed_s
        return Reading(mean_w * seconds, len({watts for _, watts in found}) > 1)

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while not self._done.is_set() and (part := os.read(process.stdout.fileno(), 1 << 16)):
            self._output += part

    def _end(self) -> None:
        if self._process is None:
            return
        # Started through sudo it is root's, and no signal reaches it: SIGPIPE at its next sample does.
        self._done.set()
        with contextlib.suppress(PermissionError):
            self._process.terminate()
        if self._reader is not None:
            self._reader.join(_END_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise DeviceError("powermetrics does not end") from None
        finally:
            self._process = None


def find() -> Powermetrics | Absent:
    """``powermetrics`` of this Mac."""
    if platform.system() != "Darwin":
        return Absent("powermetrics is part of macOS, and this is another system")
    program = shutil.which("powermetrics", path="/usr/bin")
    if program is None:
        return Absent("/usr/bin/powermetrics is not there")
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    allowed = subprocess.run([*as_root, program, "--help"], capture_output=True, check=False, timeout=20)
    if allowed.returncode != 0:
        return Absent(f"powermetrics may not be run; {_REMEDY}")
    return Powermetrics([*as_root, program, *_ARGUMENTS])


def _whole(output: bytes | bytearray) -> list[bytes]:
    """The complete property lists so far: each but the first begins with a zero byte."""
    parts = [part.strip() for part in bytes(output).split(b"\0")]
    return [part for part in parts if part.endswith(b"</plist>")]


def _power(text: bytes) -> tuple[float, float]:
    """Length in seconds and mean power in watts of one sample."""
    try:
        sample: dict[str, Any] = plistlib.loads(text)
        processor = sample["processor"]
        seconds = float(sample["elapsed_ns"]) / 1e9
        if "combined_power" in processor:
            return seconds, float(processor["combined_power"]) / 1e3
        energies = [float(processor[f"{part}_energy"]) for part in ("cpu", "gpu", "ane")]
        return seconds, sum(energies) / 1e3 / seconds
    except (plistlib.InvalidFileException, ExpatError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DeviceError(f"a sample of powermetrics has another form than expected: {error!r}") from None
