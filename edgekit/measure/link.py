"""The runner's end of the link to the machine that listens: commands and heartbeats on standard input.

A link that is cut shows as the end of the input, or as silence where the network swallows it. The runner then ends,
and so does the process that measures: nothing stays behind on the device.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import sys
import threading
import time
from typing import NoReturn

#: Seconds between two heartbeats of the other side, and of silence after which it counts as gone.
BEAT_S, SILENCE_S = 5.0, 30.0
_GRACE_S = 10.0


class Link:
    """Listens from its making on."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        """Args: silence_s: without a heartbeat for so long, the runner ends."""
        self._silence_s = silence_s
        self._lines: queue.Queue[str] = queue.Queue()
        # The main thread leaves its 'finally' blocks, which end the measuring process and whatever it started.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        threading.Thread(target=self._listen, daemon=True).start()

    def command(self) -> str:
        """The next line that is no heartbeat; waits for it."""
        return self._lines.get()

    def _listen(self) -> None:
        handle, text = sys.stdin.fileno(), b""
        while True:
            ready, _, _ = select.select([handle], [], [], self._silence_s)
            part = os.read(handle, 65536) if ready else b""
            if not part:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(_GRACE_S)
                os._exit(1)  # the main thread did not come to it
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                if line.strip():
                    self._lines.put(line.decode(errors="replace"))


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)
