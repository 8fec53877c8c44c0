"""A device behind SSH, for real: OpenSSH's server on the loopback interface."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from edgekit import record
from edgekit.devices import ssh
from edgekit.errors import DeviceError, EdgekitError, InputError, MissingError
from tests.devices.conftest import Run, Server, left_behind, serve, target


def sessions(made: record.Record) -> Counter[tuple[str, str]]:
    """How many processes each artifact has in each session."""
    rows = [one for one in made.measurements if one.metric == "latency_s"]
    return Counter((one.artifact, str(one.conditions["session"])) for one in rows)


def test_a_target_s_artifacts_are_measured_on_its_device(run: Run, server: Server, tmp_path: Path) -> None:
    base = tmp_path / "device"
    run.add(target("board", server.connection(base)))
    made = run.bench("board")
    assert sorted(sessions(made).values()) == [2, 2]
    for one in made.of("board-0", "latency_s"):
        assert len(one.samples or ()) == 12
        assert one.conditions["connection"] == "ssh"
        assert one.conditions["machine"]["architecture"] == os.uname().machine
        assert one.conditions["precision_executed"] == "fp32"
    assert made.artifacts[0].precision_executed == "fp32"
    # Nothing of how the device is reached is in the record, and nothing is left there or here.
    text = (run.folder / "record.json").read_text()
    assert str(server.port) not in text
    assert str(base) not in text
    assert not list((base / "runs").iterdir())
    assert not list(run.folder.glob(".bench-*"))
    assert left_behind(base) == []
    # Another time is another session, and the target's file may be named.
    again = run.bench(str(tmp_path / "targets" / "board.yaml"), keep=True)
    assert len({session for _, session in sessions(again)}) == 2
    (kept,) = (base / "runs").iterdir()
    assert {"runner.pyz", "plan.json", "result.json", "results"} <= {one.name for one in kept.iterdir()}


def test_what_is_undecided_gets_more_rounds_in_the_same_session(
    server: Server, tmp_path: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgekit.rebench.undecided", lambda artifacts, rows: {"board-0", "board-2"})
    run = Run(tmp_path, tiny_onnx, most_processes=3)
    run.add(target("board", server.connection(tmp_path / "device")), artifacts=3)
    found = sessions(run.bench("board"))
    assert len({session for _, session in found}) == 1
    assert {name: count for (name, _), count in found.items()} == {"board-0": 3, "board-1": 2, "board-2": 3}
    assert not list((tmp_path / "device" / "runs").iterdir())


def cut_soon(server: Server, after_s: float) -> threading.Timer:
    timer = threading.Timer(after_s, server.cut)
    timer.start()
    return timer


def cut_at_the_next(server: Server, run: Run) -> threading.Timer:
    """As soon as one more process is kept here, however fast the machine is."""
    before, until = run.processes(), time.monotonic() + 60

    def watch() -> None:
        while run.processes() == before and time.monotonic() < until:
            time.sleep(0.005)
        server.cut()

    timer = threading.Timer(0, watch)
    timer.start()
    return timer


def interrupted(run: Run, server: Server, base: Path, delays: list[float | None]) -> int:
    """Cut the link after each delay, or at the next process; returns how often that met a session."""
    met = 0
    for delay in delays:
        before = run.processes()
        timer = cut_at_the_next(server, run) if delay is None else cut_soon(server, delay)
        try:
            run.bench("board")
        except DeviceError:
            met += 1
        finally:
            timer.cancel()
            timer.join()
        assert run.processes() >= before, "what was measured is kept"
        assert left_behind(base) == []
    return met


def test_a_cut_link_loses_nothing_and_leaves_nothing(run: Run, server: Server, tmp_path: Path) -> None:
    base = tmp_path / "device"
    run.add(target("board", server.connection(base)))
    # While it connects or at its first process, and between two processes.
    assert interrupted(run, server, base, [0.15, None]) >= 1
    kept, folders = run.processes(), [one.name for one in (base / "runs").iterdir()]
    made = run.bench("board")
    assert run.processes() == 4 >= kept
    assert list(sessions(made).values()) == [2, 2], "one session, each process once"
    assert len(folders) <= 1
    assert not list((base / "runs").iterdir()), "the folder that the cut link left is used again and removed"


@pytest.mark.slow
def test_ten_cuts_at_random_moments(run: Run, server: Server, tmp_path: Path) -> None:
    base, chance = tmp_path / "device", random.Random(0)
    run.add(target("board", server.connection(base)), artifacts=8)
    started = time.monotonic()
    run.bench("board")
    whole = time.monotonic() - started
    assert interrupted(run, server, base, [chance.uniform(0.05, 0.5) * whole for _ in range(10)]) >= 5
    made = run.bench("board")
    assert set(sessions(made).values()) == {2}
    assert run.processes() % 16 == 0


def test_samples_that_the_device_has_are_not_measured_again(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "device"
    run.add(target("board", server.connection(base)), artifacts=1)

    def deaf(self: object, *_: object) -> None:
        raise DeviceError("the connection was lost")

    # The first result reaches the device's disk, and nobody.
    with monkeypatch.context() as patch:
        patch.setattr("edgekit.measure.bench.Bench.take", deaf)
        with pytest.raises(DeviceError, match="lost"):
            run.bench("board", keep=True)
    assert run.processes() == 0
    (result,) = base.glob("runs/*/results/*.json")
    samples = tuple(json.loads(result.read_text())["result"]["samples_s"])
    assert run.bench("board").of("board-0", "latency_s")[0].samples == samples
    assert run.processes() == 2


def test_the_second_run_is_refused_or_waits(run: Run, server: Server, tmp_path: Path) -> None:
    base = tmp_path / "device"
    base.mkdir()
    run.add(target("board", server.connection(base)), artifacts=1)
    program = (
        "import sys, time; from edgekit.measure.lock import held; from edgekit.measure.plan import Lock\n"
        "with held(Lock(sys.argv[1], 'ada@laptop (process 7)', 0.0), print):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(base / "lock")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DeviceError, match=r"in use by ada@laptop \(process 7\) since 2.* UTC.*--wait"):
            run.bench("board")
        # Killed, it takes its lock along, and the run that waits goes on.
        threading.Timer(1.0, other.kill).start()
        assert run.bench("board", wait_s=60.0).of("board-0", "latency_s")


@pytest.mark.parametrize(
    ("changes", "kind", "match"),
    [
        (
            {"python": "/nowhere/python3"},
            MissingError,
            "its shell does not find Python.*'python' of",
        ),
        ({"python": "/bin/false"}, DeviceError, "the runner ended with exit code 1"),
        ({"architecture": "riscv64"}, DeviceError, r"the device is \w+, the target file says riscv64"),
        ({"key": "/nowhere/key"}, DeviceError, "there is no key file"),
        ({"known_hosts": "/nowhere/hosts"}, DeviceError, "there is no file .*/nowhere/hosts.*ssh-keyscan -p"),
        ({"user": "nobody-of-that-name"}, DeviceError, "refuses the login of 'nobody-of-that-name'"),
        ({"port": 1}, DeviceError, "cannot be reached at 127.0.0.1, port 1"),
        ({"folder": "/proc/nowhere"}, DeviceError, "files cannot be written there"),
    ],
)
def test_what_can_be_wrong_with_a_device(
    run: Run, server: Server, tmp_path: Path, changes: dict[str, str], kind: type[EdgekitError], match: str
) -> None:
    run.add(target("board", server.connection(tmp_path / "device", **changes)), artifacts=1)
    with pytest.raises(kind, match=match):
        run.bench("board")
    assert left_behind(tmp_path / "device") == []


def test_a_host_that_is_unknown_or_another_one(run: Run, server: Server, tmp_path: Path) -> None:
    hosts = tmp_path / "known_hosts"
    run.add(target("board", server.connection(tmp_path / "device", known_hosts=hosts)), artifacts=1)
    hosts.write_text("")
    with pytest.raises(DeviceError, match=r"the host key of 127.0.0.1 is unknown.*ssh-keyscan"):
        run.bench("board")
    kind, key = (server.folder / "user.pub").read_text().split()[:2]
    hosts.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
    with pytest.raises(DeviceError, match=r"is not the one in .*known_hosts: another machine"):
        run.bench("board")


def test_a_runtime_that_the_device_lacks(run: Run, server: Server, tmp_path: Path) -> None:
    # A Python of its own, which has nothing installed.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = server.connection(tmp_path / "device", python=str(tmp_path / "bare" / "bin" / "python"))
    run.add(target("board", bare), artifacts=1)
    with pytest.raises(MissingError, match=r"numpy is not installed for .*bare/bin/python"):
        run.bench("board")
    jetson = target("jetson", server.connection(tmp_path / "device")).model_copy(update={"runtime": "tensorrt"})
    run.add(jetson, artifacts=1)
    with pytest.raises(MissingError, match="cannot run there: not installed: tensorrt"):
        run.bench("jetson")


def test_files_that_arrive_altered_or_do_not_fit(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "device"
    run.add(target("board", server.connection(base)), artifacts=1)
    put = ssh._put

    async def garble(sftp: object, files: list[tuple[Path, Path]]) -> None:
        bad = tmp_path / "bad"
        bad.write_bytes(b"not what was sent")
        await put(sftp, [(bad if path.suffix == ".onnx" else path, place) for path, place in files])  # type: ignore[arg-type,misc]

    with monkeypatch.context() as patch:
        patch.setattr(ssh, "_put", garble)
        with pytest.raises(DeviceError, match=r"arrived altered: artifacts/0-board-0/model.onnx"):
            run.bench("board")
    monkeypatch.setattr(ssh, "_SPARE_BYTES", 2**62)
    with pytest.raises(DeviceError, match=r"MB do not fit: its disk has .* MB left"):
        run.bench("board")
    assert run.processes() == 0


def test_several_devices_at_once(run: Run, server: Server, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = serve(tmp_path / "second")
    try:
        run.add(target("here"), artifacts=1)
        run.add(target("left", server.connection(tmp_path / "a")), artifacts=1)
        run.add(target("right", other.connection(tmp_path / "b")), artifacts=1)
        made = run.bench("all")
        assert set(sessions(made).values()) == {2}
        assert len({session for _, session in sessions(made)}) == 3, "each device has a session of its own"
        # One that is gone does not cost the others.
        other.cut()
        other.process.kill()
        other.process.wait()
        with pytest.raises(DeviceError, match=r"1 of 3 targets were not measured.*'right'.*cannot be reached"):
            run.bench("all")
        after = sessions(record.read(run.folder))
        assert Counter(name for name, _ in after) == {"here-0": 2, "left-0": 2, "right-0": 1}
    finally:
        other.process.kill()
        other.process.wait()


def test_a_target_whose_device_is_not_named_any_more(run: Run, server: Server, tmp_path: Path) -> None:
    run.add(target("board", server.connection(tmp_path / "device")), artifacts=1)
    (tmp_path / "targets" / "board.yaml").unlink()
    with pytest.raises(InputError, match="does not keep how the device of 'board' is reached"):
        run.bench("board")


def test_a_killed_edgekit_leaves_nothing_behind(run: Run, server: Server, tmp_path: Path) -> None:
    base = tmp_path / "device"
    run.add(target("board", server.connection(base)))
    command = [sys.executable, "-m", "edgekit.cli", "bench", "--target", "board", "--run", "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        for _ in range(400):
            if list(base.glob("runs/*/results/*.json")):
                break
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    assert left_behind(base) == []
