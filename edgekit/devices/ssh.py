"""A device that is reached over SSH: it gets the runner and the artifacts, and gives back raw samples.

Files go over SFTP. The one command is made of the interpreter's name, which the target file's schema restricts, and
of paths that edgekit made. Nothing stays on the device, unless asked, but what its runtime built and cached.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shlex
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import edgekit
from edgekit.devices import archive
from edgekit.devices.base import Sink
from edgekit.devices.connect import connected
from edgekit.devices.conversation import Conversation
from edgekit.devices.files import Upload, planned, uploads
from edgekit.errors import DeviceError
from edgekit.measure import latency
from edgekit.measure.plan import Lock, Plan

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

    from edgekit.measure.latency import Job
    from edgekit.recipe import Benchmark
    from edgekit.target import Ssh

#: Room that is left on the device's disk beside the artifacts, for samples and engines.
_SPARE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class SshDevice:
    """A device behind SSH.

    Attributes:
        target: the target's name, for errors.
        connection: the target's.
        run: name of the folder on the device. A later session with the same name goes on with what is there.
        say: shows the user a line.
        wait_s: how long to wait for a device that another run uses.
        keep: leave the folder there.
    """

    target: str
    connection: Ssh
    run: str
    say: Callable[[str], None]
    wait_s: float = 0.0
    keep: bool = False

    def measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        """See ``Device``."""
        asyncio.run(self._measure(jobs, protocol, sink))

    async def _measure(self, jobs: Sequence[Job], protocol: Benchmark, sink: Sink) -> None:
        files = uploads(jobs)
        async with connected(self.connection, self._where) as (link, sftp):
            import asyncssh

            base = PurePosixPath(str(await sftp.realpath(".")), self.connection.folder)
            folder = base / "runs" / self.run
            plan = self._plan(jobs, protocol, files, str(base / "lock"))
            await sftp.makedirs(str(folder), exist_ok=True)
            try:
                await self._run(link, sftp, folder, plan, files, sink)
            finally:
                # Where the link is gone, a later session with the same name finds the folder and removes it.
                if not self.keep:
                    with contextlib.suppress(asyncssh.Error, OSError):
                        await sftp.rmtree(str(folder), ignore_errors=True)
        if self.keep:
            self.say(f"{self._where}: the runner, its files and samples stay in {folder}")

    @property
    def _where(self) -> str:
        return f"target '{self.target}' ({self.connection.host})"

    def _plan(self, jobs: Sequence[Job], protocol: Benchmark, files: Sequence[Upload], lock: str) -> Plan:
        owner = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"
        return Plan(
            edgekit_version=edgekit.__version__,
            jobs=planned(jobs),
            files={one.name: one.sha256 for one in files},
            processes=protocol.processes,
            warmup=protocol.warmup,
            runs=protocol.runs,
            lock=Lock(lock, owner, self.wait_s),
            linked=True,
            throughput=latency.throughput_of(protocol),
        )

    async def _run(
        self,
        link: SSHClientConnection,
        sftp: SFTPClient,
        folder: PurePosixPath,
        plan: Plan,
        files: Sequence[Upload],
        sink: Sink,
    ) -> None:
        """Put the runner there, start it, and give it what it asks for until it ends."""
        with tempfile.TemporaryDirectory(prefix="edgekit-runner-") as place:
            runner = Path(place) / "runner.pyz"
            archive.build(runner)
            await _put(sftp, [(runner, folder / "runner.pyz")])
            (Path(place) / "plan.json").write_text(plan.to_json(), encoding="utf-8")
            await _put(sftp, [(Path(place) / "plan.json", folder / "plan.json")])

        async def send(needed: set[str], free_bytes: int) -> None:
            wanted = [one for one in files if one.name in needed]
            size = sum(one.path.stat().st_size for one in wanted)
            if size + _SPARE_BYTES > free_bytes:
                raise DeviceError(
                    f"{size / 1e6:.0f} MB do not fit: its disk has {free_bytes / 1e6:.0f} MB left",
                    where=self._where,
                    remedy=f"free some space, or let 'folder' in the target file name another disk than {folder}",
                )
            await _put(sftp, [(one.path, folder / one.name) for one in wanted])

        command = shlex.join(
            [self.connection.python, *(str(folder / name) for name in ("runner.pyz", "plan.json", "result.json"))]
        )
        talk = Conversation(self._where, plan, sink, send, self.connection.architecture, self.say)
        async with link.create_process(command, encoding="utf-8", errors="replace", stderr=_MERGED) as process:
            await talk.hold(process)


#: asyncssh.STDOUT: standard error comes along with standard output, as lines that are no events.
_MERGED = asyncio.subprocess.STDOUT


async def _put(sftp: SFTPClient, files: Sequence[tuple[Path, PurePosixPath]]) -> None:
    for path, place in files:
        await sftp.makedirs(str(place.parent), exist_ok=True)
        await sftp.put(str(path), str(place))
