from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.errors import InputError
from edgekit.record import SCHEMA_VERSION, Artifact, Measurement, Record, dumps, read


def measured(metric: str = "latency_s", **fields: Any) -> Measurement:
    return Measurement(**({"artifact": "a", "metric": metric, "unit": "s", "method": "clock"} | fields))


def small(**fields: Any) -> Record:
    base: dict[str, Any] = {
        "edgekit_version": "0.1.0",
        "git_commit": None,
        "git_dirty": None,
        "created_utc": "2025-01-02T03:04:05Z",
        "command": "edgekit compress r.yaml",
        "recipe": {"name": "r"},
        "recipe_sha256": "0" * 64,
        "data": {},
        "machine": {},
    }
    return Record(**(base | fields))


def save(folder: Path, change: Callable[[dict[str, Any]], object] = lambda data: None) -> Path:
    data = json.loads(dumps(small(measurements=(measured(samples=(0.1,)),))))
    change(data)
    path = folder / "record.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    artifact = Artifact(
        name="cpu-int8",
        target="cpu",
        runtime="onnxruntime",
        precision_requested="int8",
        precision_executed=None,
        path="artifacts/x",
        sha256="f" * 64,
        size_bytes=12,
        status="exported, not run here",
        reason="no such runtime: ünïcode",
    )
    samples = (0.1, 1 / 3, 2.5e-9)
    one = small(artifacts=(artifact,), measurements=(measured(samples=samples, interval=(0.1, 0.2)),))
    (tmp_path / "record.json").write_text(dumps(one), encoding="utf-8")
    assert read(tmp_path) == one
    assert read(tmp_path / "record.json").measurements[0].samples == samples


def test_the_text_is_stable_and_names_the_fixed_keys() -> None:
    one = small(measurements=(measured(samples=(0.1,)),))
    assert dumps(one) == dumps(one)
    data = json.loads(dumps(one))
    assert {"schema_version", "recipe", "machine", "stages", "artifacts", "measurements"} <= set(data)
    assert data["schema_version"] == SCHEMA_VERSION
    assert {"artifact", "metric", "unit", "samples", "not_measured_reason", "method", "conditions"} <= set(
        data["measurements"][0]
    )


@pytest.mark.parametrize("fields", [{}, {"samples": (1.0,), "not_measured_reason": "why"}], ids=["neither", "both"])
def test_a_measurement_holds_samples_or_a_reason(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of 'samples' and 'not_measured_reason'"):
        measured(**fields)


def test_a_measurement_without_a_sample_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="'samples' must not be empty"):
        measured(samples=())


def test_of_keeps_the_order_and_value_is_the_newest_with_samples() -> None:
    old, new = measured(samples=(1.0,)), measured(samples=(2.0,))
    failed = measured(not_measured_reason="the device is gone")
    other = measured("ece", samples=(3.0,))
    one = small(measurements=(old, other, new, failed))
    assert one.of("a", "latency_s") == [old, new, failed]
    assert one.value("a", "latency_s") == new
    assert one.value("a", "nll") is None
    assert small(measurements=(failed,)).value("a", "latency_s") is None


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        small().command = "other"  # type: ignore[misc]


def test_a_missing_record_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"record\.json: no such record \(run 'edgekit compress' first\)"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""], ids=["cut off", "no text", "empty"])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(InputError, match="is not a readable JSON document"):
        read(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"schema_version": 99}', "{}"])
def test_another_schema_version_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"schema_version is .*, this edgekit reads 1 \(use the edgekit that wrote"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("command"), r"record\.json: command: Field required"),
        (lambda data: data.update(extra=1), r"record\.json: extra: .*not permitted"),
        (
            lambda data: data["measurements"][0].update(samples=None),
            r"record\.json: measurements\.0: .*exactly one",
        ),
        (
            lambda data: data["measurements"][0].update(samples=["x"]),
            r"measurements\.0\.samples\.0: .*valid number",
        ),
    ],
    ids=["key missing", "key unknown", "samples removed", "samples not numbers"],
)
def test_an_altered_record_names_the_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = save(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert caught.value.remedy == "the record was altered"
    assert caught.value.exit_code == 2
