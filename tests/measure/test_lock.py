"""One run at a time on a device, whoever died."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure.lock import held
from edgekit.measure.plan import Lock


def test_held_named_and_given_free(tmp_path: Path) -> None:
    path, told = tmp_path / "below" / "lock", list[dict[str, str]]()
    ada, grace = Lock(str(path), "ada@a (process 1)", 0.0), Lock(str(path), "grace@g (process 2)", 0.0)
    with held(ada, told.append):
        assert json.loads(path.read_text())["owner"] == "ada@a (process 1)"
        with pytest.raises(DeviceError, match=r"in use by ada@a \(process 1\)"), held(grace, told.append):
            pass
    with held(grace, told.append):
        pass
    assert told == []
    assert path.read_text() == "", "nobody has it"


def test_an_owner_waits_for_itself(tmp_path: Path) -> None:
    told = list[dict[str, str]]()
    mine = Lock(str(tmp_path / "lock"), "ada@a (process 1)", 0.0)
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with held(mine, told.append):
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    threading.Timer(0.2, go.set).start()
    with held(mine, told.append):
        assert told[0]["owner"] == "ada@a (process 1)"
    thread.join()


def test_a_file_left_by_a_dead_owner_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text('{"owner": "ghost", "since": "long ago"}')
    with held(Lock(str(path), "ada", 0.0), lambda has: None):
        assert "ghost" not in path.read_text()


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(DeviceError, match="lock cannot be used"),
        held(Lock(str(tmp_path / "lock"), "ada", 0.0), print),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "data"
