"""Processes that are alive side by side and measure in turn, for a moment each. Standard library only.

A shared machine changes its speed from one second to the next. Two files meet different speeds where one process
measures after the other has ended, and the same ones where they take turns several times a second.
"""

from __future__ import annotations

import os
import socket
import time

#: The longest wait for a process's threads to fall asleep, and how long one look at them takes.
_SETTLED_S, _LOOK_S = 0.2, 0.002
#: Of the look, at most: threads that wait busily take all of it.
_ASLEEP = 0.25


class Turns:
    """The measuring process's side of the link over which the one that started it gives the turns."""

    def __init__(self, link: int) -> None:
        """Takes over the file descriptor ``link``."""
        # What a runtime starts must not hold the link open when this process has ended.
        os.set_inheritable(link, False)
        self._link = socket.socket(fileno=link)

    def over(self) -> None:
        """Let the others run; returns when it is this process's turn again."""
        _settle()
        try:
            self._link.sendall(b".")
            there = self._link.recv(1)
        except OSError:
            there = b""
        if not there:
            os._exit(1)  # the process that gives the turns is gone


def _settle() -> None:
    """Wait until no thread of this process works: a runtime's look for work for a while before they sleep."""
    until = time.perf_counter() + _SETTLED_S
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(_LOOK_S)
        if time.process_time() - before < _ASLEEP * _LOOK_S:
            return
