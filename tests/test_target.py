from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import runtimes, target
from edgekit.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
TEXT = """\
schema_version: 1
name: mine
description: a test
runtime: onnxruntime
device: CPU
precisions: [fp32, int8]
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, whose ``targets/`` is looked into first."""
    monkeypatch.chdir(tmp_path)


def saved(text: str, name: str = "mine") -> str:
    path = Path("targets") / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("path", sorted((ROOT / "targets").glob("*.yaml")), ids=lambda path: path.stem)
def test_targets_of_the_repository_are_valid(path: Path) -> None:
    found = target.load(path.stem)
    assert found.name == path.stem
    assert runtimes.get(found.runtime) is not None
    assert path.read_text(encoding="utf-8").startswith(f"# edgekit bench --target {path.stem}\n")


def test_repository_has_the_promised_targets() -> None:
    runtime = {name: target.load(name).runtime for name in target.available()}
    assert runtime.items() >= {
        "intel-cpu": "openvino", "cpu": "onnxruntime", "android": "litert", "iphone": "coreml",
        "jetson": "tensorrt", "rtx": "tensorrt",
    }.items()  # fmt: skip


def test_by_name_and_by_path() -> None:
    path = saved(TEXT)
    assert target.load("mine") == target.load(path)
    assert target.load("mine").precisions == ("fp32", "int8")


def test_own_folder_comes_before_edgekit_s() -> None:
    saved(TEXT.replace("mine", "cpu").replace("a test", "my own"), "cpu")
    assert target.load("cpu").description == "my own"


def test_unknown_name_gives_the_nearest_and_all() -> None:
    with pytest.raises(InputError) as caught:
        target.load("ihpone")
    assert "unknown target 'ihpone', did you mean 'iphone'?" in str(caught.value)
    assert "jetson" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "name: mine",
            "name: yours",
            "targets/mine.yaml:2: name: the name 'yours' differs from the file's name 'mine'",
        ),
        ("[fp32, int8]", "[fp32, fp32]", "targets/mine.yaml:1: a precision is named twice"),
        ("[fp32, int8]", "[]", "targets/mine.yaml:6: precisions: list should have at least 1 item"),
        (
            "device: CPU",
            "device: CPU\nconnection: {kind: ssh, host: h}",
            "targets/mine.yaml:6: connection.user: this key",
        ),
        ("device: CPU", "device: CPU\nconnection: {kind: telnet}", "connection.kind: 'telnet' is not allowed"),
        (
            "device: CPU",
            "device: CPU\nenergy_meter: watt",
            "targets/mine.yaml:6: energy_meter: 'watt' is not allowed",
        ),
    ],
)
def test_malformed_target_file(before: str, after: str, expected: str) -> None:
    path = saved(TEXT.replace(before, after))
    with pytest.raises(InputError) as caught:
        target.load(path)
    assert expected in str(caught.value)


def test_missing_target_file() -> None:
    with pytest.raises(InputError, match=r"targets/gone\.yaml: no such file"):
        target.load("targets/gone.yaml")
