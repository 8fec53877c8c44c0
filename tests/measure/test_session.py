"""The runner's session in this process, with a measuring process that answers at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import runner, session
from edgekit.measure.plan import Plan, PlannedJob, in_turn
from edgekit.measure.protocol import Request, Setting
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.store import file_sha256

Asked = list[tuple[str, bool]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Artifacts that were measured, or prepared, in their order."""
    found: Asked = []

    def fresh(command: Sequence[str], request: Request, env: object, timeout_s: float, artifact: str) -> str:
        found.append((artifact, request.prepare))
        if artifact == "broken":
            raise DeviceError("it died", where=artifact)
        return json.dumps({"samples_s": [0.5], "of": str(request.path.name)})

    monkeypatch.setattr(session, "fresh_process", fresh)
    return found


def plan(folder: Path, *names: str) -> Plan:
    setting = Setting("cpu", "onnxruntime", "CPU", ("fp32",), 1, None, "none", {})
    files = {}
    for name in (*(f"artifacts/{index}/model.onnx" for index in range(len(names))), "inputs/a.npy"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        files[name] = file_sha256(folder / name)
    jobs = tuple(
        PlannedJob(name, "0" * 64, f"artifacts/{index}/model.onnx", setting, "fp32", "inputs/a.npy")
        for index, name in enumerate(names)
    )
    return Plan("0.1", jobs, files, processes=2, warmup=1, runs=1, lock=None, linked=False)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_round_begins_with_another_job() -> None:
    assert list(in_turn(range(3), range(2))) == [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (0, 1)]
    assert list(in_turn([4, 7], range(3, 5))) == [(7, 3), (4, 3), (4, 4), (7, 4)]
    assert list(in_turn([], range(3))) == []


def test_rounds_in_turn_kept_and_told(tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    one, result = plan(tmp_path, "a", "b"), tmp_path / "result.json"
    assert session.run(one, tmp_path, result, ["python"]) == 0
    assert asked == [("a", False), ("b", False), ("b", False), ("a", False)]
    events = [event["event"] for event in said(capsys)]
    assert events == ["ready", *["started", "result"] * 4, "done"]
    whole = json.loads(result.read_text())
    assert [(row["artifact"], row["round"]) for row in whole["results"]] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert whole["results"][0]["result"]["samples_s"] == [0.5]
    assert whole["artifacts"] == {"a": "0" * 64, "b": "0" * 64}
    # A second session in the same folder measures nothing again.
    asked.clear()
    assert session.run(one, tmp_path, result, ["python"]) == 0
    assert asked == []
    assert len(json.loads(result.read_text())["results"]) == 4


def test_one_that_fails_is_told_and_not_tried_again(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert session.run(plan(tmp_path, "broken", "b"), tmp_path, tmp_path / "result.json", ["python"]) == 5
    assert asked == [("broken", False), ("b", False), ("b", False)]
    assert {"event": "failed", "turn": 0, "problem": "it died"} in said(capsys)
    assert json.loads((tmp_path / "result.json").read_text())["failed"] == {"broken": "it died"}


def test_what_a_runtime_builds_is_built_once_in_a_process_of_its_own(
    tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntime, "prepares", True)
    assert session.run(plan(tmp_path, "a"), tmp_path, tmp_path / "result.json", ["python"]) == 0
    assert asked == [("a", True), ("a", False), ("a", False)]


def test_an_altered_file_is_not_measured(tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    one = plan(tmp_path, "a", "b")
    (tmp_path / "artifacts/1/model.onnx").write_text("x")
    assert session.run(one, tmp_path, tmp_path / "result.json", ["python"]) == 5
    assert said(capsys)[-1]["problem"] == "arrived altered: artifacts/1/model.onnx"
    assert asked == []


def test_a_full_disk_costs_the_file_and_not_the_samples(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert session.run(plan(tmp_path, "a"), tmp_path, tmp_path / "result.json", ["python"]) == 0
    events = said(capsys)
    assert [one["result"]["samples_s"] for one in events if one["event"] == "result"] == [[0.5], [0.5]]
    assert any("No space left" in one["text"] for one in events if one["event"] == "note")
    assert not (tmp_path / "result.json").exists()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": 2}, "the plan's format is not 1"),
        ({"files": {"../x": "0"}}, "'../x' leaves the folder"),
        ({"files": {"/x": "0"}}, "'/x' leaves the folder"),
    ],
)
def test_plans_that_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], match: str
) -> None:
    path = tmp_path / "plan.json"
    text = plan(tmp_path, "a").to_json()
    assert Plan.from_json(text).to_json() == text
    path.write_text(json.dumps(json.loads(text) | change))
    assert runner.main([str(path), str(tmp_path / "result.json")]) == 2
    assert match in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"jobs": 3}'])
def test_requests_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert runner.main([str(tmp_path / "x.json"), str(tmp_path / "y.json")]) in (2, 5)
    assert runner.main(["one"]) == 2
    assert "usage: python3 runner.pyz" in capsys.readouterr().err
