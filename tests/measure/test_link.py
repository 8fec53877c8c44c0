"""The runner ends, and leaves its 'finally' blocks, when nobody listens any more."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

_PROGRAM = """
import sys, time
from edgekit.measure.link import Link
try:
    link = Link(silence_s={silence})
    print(link.command(), flush=True)
    time.sleep(60)
finally:
    print("left", flush=True)
"""


def start(silence: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM.format(silence=silence)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("silent", [True, False])
def test_it_ends_with_the_link(silent: bool) -> None:
    with start(1.0 if silent else 60.0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n\ngo\n")
        child.stdin.flush()
        assert child.stdout.readline() == "go\n", "heartbeats are no commands"
        started = time.monotonic()
        if not silent:
            child.stdin.close()
        assert child.stdout.readline() == "left\n"
        assert child.wait() == 128 + 15
        assert time.monotonic() - started < 30
