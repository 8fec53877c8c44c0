"""A network of one multiplication, a run of it, and OpenSSH's server on this machine."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from edgekit.measure.machine import describe
from edgekit.outputs import files_sha256
from edgekit.progress import Reporter
from edgekit.rebench import rebench
from edgekit.record import Artifact, Record, dumps
from edgekit.target import Local, Ssh, Target


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    """Logits of two classes from ``float32[1, 3, 4, 4]``."""
    weights = numpy_helper.from_array(np.full((48, 2), 0.5, np.float32), "weights")
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 4, 4])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph(nodes, "tiny", [given], [made], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = tmp_path / "tiny.onnx"
    onnx.save(model, path)
    return path


SSHD = Path("/usr/sbin/sshd")


@dataclass(frozen=True)
class Server:
    """An OpenSSH server on the loopback interface, with keys of its own."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def connection(self, base: Path, **changes: str | Path) -> Ssh:
        """A connection whose runs lie below ``base``, in this Python."""
        settings = {
            "kind": "ssh",
            "host": "127.0.0.1",
            "user": getpass.getuser(),
            "port": self.port,
            "key": self.folder / "user",
            "known_hosts": self.folder / "known_hosts",
            "python": sys.executable,
            "folder": str(base),
        }
        return Ssh.model_validate(settings | changes)

    def cut(self) -> None:
        """End the server's side of every connection, as a crash or a pulled cable would."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def serve(folder: Path) -> Server:
    """Start a server; its files lie in ``folder``."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "MaxStartups": "100",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of the system user asks for it
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    kind, key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Server(port, folder, process)
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"sshd does not listen: {(folder / 'log').read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not SSHD.exists():
        pytest.skip(f"{SSHD} is missing (apt-get install openssh-server)")
    made = serve(tmp_path_factory.mktemp("sshd"))
    yield made
    made.cut()
    made.process.kill()
    made.process.wait()


def target(name: str, connection: Ssh | Local | None = None) -> Target:
    return Target(
        schema_version=1,
        name=name,
        description="a board",
        runtime="onnxruntime",
        device="CPU",
        precisions=("fp32",),
        threads=1,
        energy_meter="none",
        connection=connection or Local(),
    )


@pytest.fixture
def run(tmp_path: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run in the working folder, made without any training."""
    monkeypatch.chdir(tmp_path)
    return Run(tmp_path, tiny_onnx)


class Run:
    """A run of tiny artifacts, two a target, and the target files beside it."""

    def __init__(self, root: Path, network: Path, most_processes: int = 2) -> None:
        self.folder = root / "run"
        self._network = network
        (root / "targets").mkdir()
        (self.folder / "stages" / "inputs-0").mkdir(parents=True)
        np.save(self.folder / "stages" / "inputs-0" / "inputs.npy", np.ones((2, 3, 4, 4), np.float32))
        (self.folder / ".edgekit.json").write_text(json.dumps({"recipe": "tiny"}))
        self._record = Record(
            edgekit_version="0",
            git_commit=None,
            git_dirty=None,
            created_utc="2026-01-01T00:00:00+00:00",
            command="edgekit compress tiny.yaml",
            recipe={
                "name": "tiny",
                "benchmark": {"warmup": 2, "runs": 12, "processes": 2, "most_processes": most_processes},
            },
            recipe_sha256="0",
            data={},
            machine=describe(),
        )

    def add(self, one: Target, artifacts: int = 2) -> None:
        """Two artifacts of a target, in the record and in the folder."""
        connection = {key: str(value) for key, value in vars(one.connection).items() if value is not None}
        text = one.model_dump(mode="json") | {"connection": connection | {"kind": one.connection.kind}}
        (self.folder.parent / "targets" / f"{one.name}.yaml").write_text(json.dumps(text))
        made = []
        for index in range(artifacts):
            name = f"{one.name}-{index}"
            place = self.folder / "artifacts" / name
            place.mkdir(parents=True)
            shutil.copy(self._network, place / "model.onnx")
            made.append(
                Artifact(
                    name=name,
                    target=one.name,
                    runtime=one.runtime,
                    precision_requested="fp32",
                    precision_executed=None,
                    path=f"artifacts/{name}/model.onnx",
                    sha256=files_sha256(place),
                    size_bytes=1,
                    status="accepted",
                )
            )
        self._record = self._record.model_copy(
            update={
                "artifacts": (*self._record.artifacts, *made),
                "targets": {**self._record.targets, one.name: one.model_dump(mode="json")},
            }
        )
        (self.folder / "record.json").write_text(dumps(self._record))

    def bench(self, name: str, **options: Any) -> Record:
        """``edgekit bench``."""
        return rebench(self.folder, name, None, Reporter(Console(file=io.StringIO())), **options)

    def processes(self) -> int:
        """Finished measuring processes that are kept."""
        return len(list(self.folder.glob("stages/measure-*/stage.json")))


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have tests of their own."""
    monkeypatch.setattr("edgekit.report.write", lambda record, folder, redraw: [])


def left_behind(base: Path) -> list[str]:
    """Command lines of processes that work below ``base``, once they had time to end."""
    for _ in range(100):
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found += [words] if str(base) in words else []
        if not found:
            return []
        time.sleep(0.1)
    return found
