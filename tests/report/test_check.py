"""Records and checklists that were altered on purpose are found out; an honest one passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from edgekit import outputs, store
from edgekit.cli import app
from edgekit.record import Measurement, Record, dumps
from edgekit.report import check, write

if TYPE_CHECKING:
    from tests.report.conftest import Maker

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def honest(make: Maker, tmp_path: Path) -> tuple[Record, Path]:
    """A record whose parts agree, with its checklist and the files of its artifacts beside it."""
    made = make()
    artifacts = []
    for one in made.artifacts:
        home = tmp_path / ("rejected" if one.status == "rejected" else "artifacts") / one.name
        home.mkdir(parents=True)
        (home / "model").write_bytes(one.name.encode())
        path = (home / "model").relative_to(tmp_path).as_posix()
        artifacts.append(one.model_copy(update={"path": path, "sha256": outputs.files_sha256(home)}))
    labels, told = made.labels, {one.artifact: one.predicted for one in made.predictions}
    rows = []
    for row in made.measurements:
        share = None
        if row.artifact in told and row.samples and row.metric == "accuracy":
            share = _share(labels, told[row.artifact], None)
        elif row.artifact in told and row.samples and row.metric.startswith("sensitivity/"):
            names = [one["name"] if isinstance(one, dict) else one for one in made.recipe["task"]["classes"]]
            share = _share(labels, told[row.artifact], names.index(row.metric.partition("/")[2]))
        rows.append(row if share is None else row.model_copy(update={"samples": (share,)}))
    splits = {name: {**one, "image_sha256": name} for name, one in made.data["splits"].items()}
    made = made.model_copy(
        update={
            "artifacts": tuple(artifacts),
            "measurements": tuple(rows),
            "recipe_sha256": store.digest(made.recipe),
            "data": {**made.data, "splits": splits},
            "warnings": ("the images are few",),
        }
    )
    write(made, tmp_path)
    (tmp_path / "record.json").write_text(dumps(made), encoding="utf-8")
    return made, tmp_path


def _share(labels: tuple[int, ...], predicted: tuple[int, ...], of: int | None) -> float:
    pairs = [(y, p) for y, p in zip(labels, predicted, strict=True) if of is None or y == of]
    return sum(y == p for y, p in pairs) / len(pairs)


def test_an_honest_record_passes(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    assert check.check(record, folder) == []
    said = CliRunner().invoke(app, ["check", str(folder)])
    assert said.exit_code == 0
    assert "nothing found" in said.output


def _first(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


def _row(data: dict[str, Any], metric: str, artifact: str = "cpu-int8") -> dict[str, Any]:
    return _first(data["measurements"], artifact=artifact, metric=metric)


def _set(part: str, key: str, value: Any, **wanted: Any) -> Change:
    return lambda data: _first(data[part], **wanted).update({key: value})


def _without(metric: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        data["measurements"] = [
            one for one in data["measurements"] if (one["artifact"], one["metric"]) != ("cpu-int8", metric)
        ]

    return change


def _joules(data: dict[str, Any]) -> None:
    _row(data, "energy_j").update(samples=[0.02], not_measured_reason=None, conditions={})


def _same_images(data: dict[str, Any]) -> None:
    splits = data["data"]["splits"]
    splits["test"]["image_sha256"] = splits["train"]["image_sha256"] = "0" * 64


def _calibrated_on_test(data: dict[str, Any]) -> None:
    stage = data["stages"][-1]
    stage["changes"] = {**(stage.get("changes") or {}), "calibration": {"split": "test", "images": 8}}


def _gate(data: dict[str, Any]) -> None:
    data["gates"].append(
        {
            "artifact": "cpu-int8",
            "name": "accuracy_drop",
            "limit": 0.01,
            "value": 0.04,
            "passed": True,
            "explanation": "a drop of 4 points",
        }
    )


#: What was changed in the record -> the rule that finds it, and the change.
RECORD: dict[str, tuple[str, Change]] = {
    "accuracy": ("figure", lambda data: _row(data, "accuracy").update(samples=[0.99])),
    "sensitivity of a rare class": (
        "figure",
        lambda data: _row(data, "sensitivity/rare_lesion").update(samples=[1.0]),
    ),
    "a prediction": ("figure", lambda data: data["predictions"][3].update(predicted=[0] * len(data["labels"]))),
    "predictions left out": ("figure", lambda data: data["predictions"][3].update(predicted=[0], confidence=[1.0])),
    "hash of a file": ("hash", _set("artifacts", "sha256", "f" * 64, name="cpu-int8")),
    "path out of the folder": ("hash", _set("artifacts", "path", "../other/model", name="cpu-int8")),
    "recipe": ("hash", lambda data: data["recipe"].update(name="another")),
    "latency missing": ("missing", _without("latency_s")),
    "ECE missing": ("missing", _without("ece")),
    "class missing": ("missing", _without("sensitivity/rare_lesion")),
    "blank reason": ("missing", lambda data: _row(data, "energy_j").update(not_measured_reason=" ")),
    "FP32 as INT8": ("precision", _set("artifacts", "precision_executed", "fp32", name="cpu-int8")),
    "lost gate": ("gate", _gate),
    "rejected and recommended": ("gate", _set("artifacts", "recommended", True, name="android-int8")),
    "negative latency": ("samples", lambda data: _row(data, "latency_s")["samples"].__setitem__(0, -1.0)),
    "unit": ("unit", lambda data: _row(data, "latency_s").update(unit="ms")),
    "interval": ("interval", lambda data: _row(data, "accuracy").update(interval=[0.9, 0.1])),
    "joules without idle": ("energy", _joules),
    "test images among training": ("split", _same_images),
    "calibration on test": ("split", _calibrated_on_test),
    "artifact that is not there": ("artifact", lambda data: _row(data, "accuracy").update(artifact="other")),
}


@pytest.mark.parametrize("what", RECORD)
def test_a_change_of_the_record_is_found(honest: tuple[Record, Path], what: str) -> None:
    record, folder = honest
    rule, change = RECORD[what]
    data = json.loads(dumps(record))
    change(data)
    found = check.check(Record.model_validate(data), folder)
    assert rule in {one.rule for one in found}


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


#: What was changed in the Markdown -> the rule that finds it, and the change.
MARKDOWN: dict[str, tuple[str, Callable[[str], str]]] = {
    "figure": ("figure", _replaced("8.42 MB", "7.42 MB")),
    "line added": ("text", _replaced("## Checklist", "The model is safe for patients.\n\n## Checklist")),
    "sentence removed": ("text", _replaced("Bold: recommended on its target.", "")),
    "warning removed": ("missing", _replaced("> **Warning:** the images are few\n", "")),
    "p99 from few runs": ("percentile", _replaced("## Checklist", "p99: 2.31 ms\n\n## Checklist")),
}


@pytest.mark.parametrize("what", MARKDOWN)
def test_a_change_of_the_checklist_is_found(honest: tuple[Record, Path], what: str) -> None:
    record, folder = honest
    rule, change = MARKDOWN[what]
    path = folder / "checklist.md"
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")
    found = check.check(record, folder)
    assert rule in {one.rule for one in found}
    assert all(one.where.startswith("checklist.md:") for one in found)


def test_a_changed_figure_is_shown_beside_the_right_one(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    path = folder / "checklist.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("| **cpu-int8** |"))
    lines[number] = lines[number].replace("2.21 MB", "1.21 MB")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert check.check(record, folder) == [
        check.Finding("figure", f"checklist.md:{number + 1}", "1.21 for 2.21, says the record")
    ]


def test_the_command_tells_where_and_exits_with_3(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    row = next(one for one in record.measurements if (one.artifact, one.metric) == ("cpu-int8", "accuracy"))
    changed = tuple(
        Measurement.model_validate({**one.model_dump(), "samples": (0.5,)}) if one is row else one
        for one in record.measurements
    )
    (folder / "record.json").write_text(
        dumps(record.model_copy(update={"measurements": changed})), encoding="utf-8"
    )
    run = CliRunner()
    plain = run.invoke(app, ["check", str(folder)])
    assert plain.exit_code == 3
    assert "measurements cpu-int8 accuracy: figure: 0.5; its predictions give" in plain.output
    assert "::error title=figure::" in run.invoke(app, ["check", str(folder), "--format", "github"]).output
    listed = json.loads(run.invoke(app, ["check", str(folder), "--format", "json"]).output)
    assert {"rule", "where", "text"} == set(listed[0])
