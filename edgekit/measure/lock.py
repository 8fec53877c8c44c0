"""The lock of a device: one run at a time measures there. Standard library only.

The system holds it (flock), so it ends with the process that has it, however that ended. The file says who it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.measure.plan import Lock

_POLL_S = 0.5


@contextmanager
def held(lock: Lock, waiting: Callable[[dict[str, str]], None]) -> Iterator[None]:
    """Hold ``lock`` during the block.

    Args:
        lock: who waits how long; a lock that the same owner holds is waited for without limit.
        waiting: told once who has it, as ``{"owner", "since"}``.

    Raises:
        DeviceError: another owner kept it for longer, or the file cannot be used.
    """
    path = Path(lock.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_NOFOLLOW: a link in its place would let somebody choose which file is written.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise DeviceError(f"the device's lock cannot be used: {error.strerror}", where=lock.path) from None
    try:
        _take(handle, lock, waiting)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"owner": lock.owner, "since": since}).encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, lock: Lock, waiting: Callable[[dict[str, str]], None]) -> None:
    started, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            has = _holder(handle)
        except OSError as error:
            raise DeviceError(f"its filesystem has no locks: {error.strerror}", where=lock.path) from None
        if has["owner"] != lock.owner and time.monotonic() - started >= lock.wait_s:
            raise DeviceError(
                f"the device is in use by {has['owner']} since {has['since']}",
                remedy="wait for that run to end, or let this one wait with --wait SECONDS",
            )
        if not told:
            waiting(has)
            told = True
        time.sleep(_POLL_S)


def _holder(handle: int) -> dict[str, str]:
    try:
        found = json.loads(os.pread(handle, 4096, 0))
        return {"owner": str(found["owner"]), "since": str(found["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"owner": "another run", "since": "a moment ago"}
