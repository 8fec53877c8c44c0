"""Records and checklists that were altered on purpose are found out; an honest one passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgekit import outputs, store
from edgekit.cli import app
from edgekit.evaluate import classification
from edgekit.record import Gate, Measurement, Predictions, Record, dumps
from edgekit.report import check, write

if TYPE_CHECKING:
    from tests.report.conftest import Maker

Data = dict[str, Any]
Change = Callable[[Data], object]


def _judged(made: Record, name: str, drop: float) -> list[Gate]:
    """The gates of one artifact; the rejected one of the fixture has lost its own."""
    lost = name == "android-int8"
    asked = "int8" if name.endswith("int8") else "fp32"
    rows = [(f"{name} agrees", "parity/agreement", 0.95, 0.97 if not lost else 0.9, not lost)]
    rows.append((f"a drop of {drop:.4f}", "accuracy_drop", 0.1, drop, True))
    found = [
        Gate(artifact=name, name=kind, limit=limit, value=value, passed=passed, explanation=text)
        for text, kind, limit, value, passed in rows
    ]
    text = f"asked for {asked}, ran {asked} (read from: a test)"
    return [*found, Gate(artifact=name, name="precision", limit=None, value=None, passed=True, explanation=text)]


def _honest(made: Record, folder: Path) -> Record:
    """The record with figures that follow from logits, and with the files of its artifacts in ``folder``."""
    artifacts = []
    for one in made.artifacts:
        home = folder / ("rejected" if one.status == "rejected" else "artifacts") / one.name
        home.mkdir(parents=True)
        (home / "model").write_bytes(one.name.encode() * 10)
        card = {"artifact": one.name, "runtime": one.runtime, "precision": one.precision_requested}
        (home / "model.json").write_text(json.dumps(card), encoding="utf-8")
        path = (home / "model").relative_to(folder).as_posix()
        named = {"path": path, "sha256": outputs.files_sha256(home), "size_bytes": 10 * len(one.name)}
        artifacts.append(one.model_copy(update=named))
    labels = np.asarray(made.labels)
    rng = np.random.default_rng(3)
    classes = list(made.data["classes"])
    ran = {one.artifact for one in made.predictions}
    predictions: list[Predictions] = []
    scores: dict[tuple[str, str], Measurement] = {}
    source = None
    for name in sorted(ran, key=lambda name: (name != "source", name)):
        logits = rng.normal(0, 1, (len(labels), 3)) + 2.5 * np.eye(3)[labels]
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        told = tuple(round(float(share), 6) for share in shares.max(axis=1))
        predicted = tuple(int(one) for one in logits.argmax(axis=1))
        predictions.append(Predictions(artifact=name, predicted=predicted, confidence=told))
        source = logits if source is None else source
        rows = classification.evaluate(name, logits, labels, classes, bootstrap=50, seed=0, source=source)
        scores |= {(name, row.metric): row for row in rows}
    measured = [scores.pop((row.artifact, row.metric), row) for row in made.measurements]
    for row in measured:
        if row.metric == "latency_s" and row.samples:
            took = sum(row.samples)
            row.conditions.update(processes=3, runs=len(row.samples), wall_s=1.5 * took, cpu_s=took, threads=1)
    accuracy = {row.artifact: row.samples[0] for row in measured if row.metric == "accuracy" and row.samples}
    gates = [
        gate
        for name in sorted(ran - {"source"})
        for gate in _judged(made, name, round(accuracy["source"] - accuracy[name], 12))
    ]
    recipe = {**made.recipe, "gates": {"max_accuracy_drop": 0.1, "int8_min_agreement": 0.95, "undecided": "fail"}}
    splits = {name: {**one, "image_sha256": name * 8} for name, one in made.data["splits"].items()}
    splits["test"]["class_counts"] = {one: int((labels == index).sum()) for index, one in enumerate(classes)}
    for split in splits.values():
        split["count"] = sum(split["class_counts"].values())
    return made.model_copy(
        update={
            "artifacts": tuple(artifacts),
            "measurements": tuple(measured),
            "predictions": tuple(predictions),
            "gates": tuple(gates),
            "recipe": recipe,
            "recipe_sha256": store.digest(recipe),
            "data": {**made.data, "splits": splits},
            "warnings": ("the images are few",),
        }
    )


@pytest.fixture(scope="module")
def made(make: Maker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    folder = tmp_path_factory.mktemp("honest")
    record = _honest(make(), folder)
    write(record, folder)
    (folder / "record.json").write_text(dumps(record), encoding="utf-8")
    return record, folder


@pytest.fixture
def honest(made: tuple[Record, Path], tmp_path: Path) -> tuple[Record, Path]:
    """A record whose parts agree, with its reports and the files of its artifacts beside it."""
    record, folder = made
    return record, Path(shutil.copytree(folder, tmp_path / "run"))


def test_an_honest_record_passes(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    assert check.check(record, folder) == []
    for path in (folder, folder / "record.json", folder / "checklist.md", folder / "report.html"):
        said = CliRunner().invoke(app, ["check", str(path)])
        assert said.exit_code == 0, said.output
        assert "nothing found" in said.output


def test_its_checklist_alone_passes_too(honest: tuple[Record, Path], tmp_path: Path) -> None:
    _, folder = honest
    alone = tmp_path / "supplement.md"
    alone.write_bytes((folder / "checklist.md").read_bytes())
    assert check.check_path(alone) == []


def _first(rows: list[Data], **wanted: Any) -> Data:
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


def _row(data: Data, metric: str, artifact: str = "cpu-int8") -> Data:
    return _first(data["measurements"], artifact=artifact, metric=metric)


def _set(part: str, key: str, value: Any, **wanted: Any) -> Change:
    return lambda data: _first(data[part], **wanted).update({key: value})


def _figure(metric: str, value: float, artifact: str = "cpu-int8") -> Change:
    """A figure within its interval, so that only the predictions tell that it is another."""
    return lambda data: _row(data, metric, artifact).update(samples=[value], interval=[0.0, 2.0])


def _less_source(metric: str, **told: Any) -> Change:
    return lambda data: _row(data, metric)["conditions"]["less_source"].update(told)


def _without(metric: str) -> Change:
    def change(data: Data) -> None:
        data["measurements"] = [
            one for one in data["measurements"] if (one["artifact"], one["metric"]) != ("cpu-int8", metric)
        ]

    return change


def _joules(**conditions: Any) -> Change:
    return lambda data: _row(data, "energy_j").update(
        samples=[0.02], not_measured_reason=None, conditions={"source": "RAPL", **conditions}
    )


def _same_images(data: Data) -> None:
    splits = data["data"]["splits"]
    splits["test"]["image_sha256"] = splits["train"]["image_sha256"] = "0" * 64


def _calibration(**told: Any) -> Change:
    return lambda data: data["stages"][-1]["changes"]["calibration"].update(told)


def _gate(kind: str, **told: Any) -> Change:
    return lambda data: _first(data["gates"], artifact="cpu-int8", name=kind).update(told)


def _fewer(data: Data) -> None:
    samples = _row(data, "latency_s")["samples"]
    samples.remove(max(samples))


def _one_process_less(data: Data) -> None:
    data["measurements"].remove(_row(data, "latency_s"))


def _copied(data: Data) -> None:
    _row(data, "latency_s")["samples"] = _row(data, "latency_s", "cpu-fp32")["samples"]


def _scaled(by: float) -> Change:
    def change(data: Data) -> None:
        row = _row(data, "latency_s")
        row["samples"] = [by * sample for sample in row["samples"]]

    return change


def _removed(part: str, **wanted: Any) -> Change:
    """Rows that are all of ``wanted``."""

    def change(data: Data) -> None:
        data[part] = [one for one in data[part] if any(one[key] != value for key, value in wanted.items())]

    return change


def _proof(data: Data) -> None:
    row = {"precision": "fp32", "before_p50_s": 0.01, "after_p50_s": 0.008, "speedup": 2.0, "low": 1.9, "high": 2.1}
    changes = {"pass": "1-prune", "latency": {"cpu": row}}
    data["stages"].append({"name": "prove-1", "kind": "prove", "seconds": 1.0, "cached": False, "changes": changes})


def _label(data: Data) -> None:
    data["labels"][0] = 2


#: What was changed in the record -> the rule that finds it, and the change.
RECORD: dict[str, tuple[str, Change]] = {
    "accuracy": ("figure", _figure("accuracy", 0.99)),
    "accuracy by one image": ("figure", lambda data: _row(data, "accuracy")["samples"].append(0.901)),
    "balanced accuracy": ("figure", _figure("balanced_accuracy", 0.97)),
    "sensitivity of a rare class": ("figure", _figure("sensitivity/rare_lesion", 0.4)),
    "specificity": ("figure", _figure("specificity/adenoma", 0.5)),
    "ECE": ("figure", _figure("ece", 0.001)),
    "NLL that no confidence allows": ("figure", _figure("nll", 0.01)),
    "Brier score that no confidence allows": ("figure", _figure("brier", 0.01)),
    "a prediction": ("figure", lambda data: data["predictions"][3]["predicted"].__setitem__(0, 2)),
    "a confidence": ("figure", lambda data: data["predictions"][3]["confidence"].__setitem__(0, 0.2)),
    "predictions left out": ("figure", lambda data: data["predictions"][3].update(predicted=[0], confidence=[1.0])),
    "predictions of an artifact": ("missing", lambda data: data["predictions"].pop()),
    "a label": ("count", _label),
    "a class that is none": ("figure", lambda data: data["labels"].__setitem__(0, 9)),
    "agreement with the source": (
        "figure",
        _set("artifacts", "details", {"agreement_with_source": {"argmax_agreement": 0.999}}, name="cpu-int8"),
    ),
    "difference from the source": ("figure", _less_source("nll", value=0.5)),
    "images that were lost": ("count", _less_source("accuracy", lost=0, won=0)),
    "McNemar's p": ("figure", _less_source("accuracy", mcnemar_p=0.9999)),
    "hash of a file": ("hash", _set("artifacts", "sha256", "f" * 64, name="cpu-int8")),
    "path out of the folder": ("hash", _set("artifacts", "path", "../other/model", name="cpu-int8")),
    "recipe": ("hash", lambda data: data["recipe"].update(name="another")),
    "recipe hash": ("hash", lambda data: data.update(recipe_sha256="0" * 64)),
    "size": ("count", _set("artifacts", "size_bytes", 7, name="cpu-int8")),
    "size of nothing": ("artifact", _set("artifacts", "size_bytes", 0, name="cpu-int8")),
    "artifact left out": ("artifact", _removed("artifacts", name="cpu-int8")),
    "artifact twice": ("artifact", lambda data: data["artifacts"].append(data["artifacts"][3])),
    "runtime": ("artifact", _set("artifacts", "runtime", "openvino", name="cpu-int8")),
    "latency missing": ("missing", _without("latency_s")),
    "ECE missing": ("missing", _without("ece")),
    "NLL called something else": ("missing", lambda data: _row(data, "nll").update(metric="loss")),
    "classes in another order": ("figure", lambda data: data["data"]["classes"].reverse()),
    "another preprocessing": (
        "figure",
        lambda data: data["data"].update(preprocessing={**data["recipe"]["input"], "mean": [0.1] * 3}),
    ),
    "preprocessing of a file": ("figure", _set("artifacts", "preprocessing", {"size": [32, 32]}, name="cpu-int8")),
    "figure over other images": ("count", lambda data: _row(data, "ece")["conditions"].update(images=50)),
    "warm-up": ("count", lambda data: _row(data, "latency_s")["conditions"].update(warmup=1)),
    "class missing": ("missing", _without("sensitivity/rare_lesion")),
    "blank reason": ("missing", lambda data: _row(data, "energy_j").update(not_measured_reason=" ")),
    "reason of a dash": ("missing", lambda data: _row(data, "energy_j").update(not_measured_reason="-")),
    "reason of a rejected file": ("missing", _set("artifacts", "reason", "", name="android-int8")),
    "explanation of a gate": ("missing", _gate("accuracy_drop", explanation=" ")),
    "a pass without its stage": ("missing", lambda data: data["recipe"]["passes"].append({"kind": "prune"})),
    "FP32 as INT8": ("precision", _set("artifacts", "precision_executed", "fp32", name="cpu-int8")),
    "INT8 as FP32": ("precision", _set("artifacts", "precision_executed", "int8", name="cpu-fp32")),
    "layers in FP32": ("precision", _set("artifacts", "layers", {"fp32": 22}, name="cpu-int8")),
    "MACs in FP32": (
        "precision",
        _set("artifacts", "details", {"macs_by_precision": {"fp32": 10**6}}, name="cpu-int8"),
    ),
    "precision that nobody read": ("precision", _set("artifacts", "precision_executed", None, name="cpu-int8")),
    "precision asked for": ("precision", _set("artifacts", "precision_requested", "fp32", name="cpu-int8")),
    "gate passed beyond its limit": ("gate", _gate("parity/agreement", value=0.5)),
    "gate lost": ("gate", _gate("parity/agreement", value=0.5, passed=False)),
    "gate of another limit": ("gate", _gate("accuracy_drop", limit=0.5)),
    "gate of another drop": ("gate", _gate("accuracy_drop", value=-0.02)),
    "gate of another agreement": (
        "gate",
        _set("artifacts", "details", {"parity": {"argmax_agreement": 0.991}}, name="cpu-int8"),
    ),
    "gate left out": ("gate", _removed("gates", artifact="cpu-int8", name="accuracy_drop")),
    "undecided and passed": ("gate", _gate("accuracy_drop", undecided="few images", value=None)),
    "no gate": ("gate", _removed("gates", artifact="cpu-int8")),
    "rejected and recommended": ("gate", _set("artifacts", "recommended", True, name="android-int8")),
    "two recommended": ("gate", _set("artifacts", "recommended", True, name="cpu-fp32")),
    "rejected and accepted": ("gate", _set("artifacts", "status", "accepted", name="android-int8")),
    "rejected for nothing": ("gate", _set("artifacts", "status", "rejected", name="cpu-int8")),
    "negative latency": ("samples", lambda data: _row(data, "latency_s")["samples"].__setitem__(0, -1.0)),
    "latency that is none": ("samples", lambda data: _row(data, "latency_s")["samples"].__setitem__(0, "NaN")),
    "latencies of another artifact": ("samples", _copied),
    "ten times as fast": ("samples", _scaled(0.1)),
    "slower than their loop": ("samples", _scaled(2.0)),
    "slowest run left out": ("count", _fewer),
    "process left out": ("count", _one_process_less),
    "share above 1": ("samples", lambda data: _row(data, "auc").update(samples=[1.2], interval=None)),
    "unit": ("unit", lambda data: _row(data, "latency_s").update(unit="ms")),
    "unit of NLL": ("unit", lambda data: _row(data, "nll").update(unit="bit")),
    "interval turned round": ("interval", lambda data: _row(data, "ece").update(interval=[0.9, 0.1])),
    "interval beside the figure": ("interval", lambda data: _row(data, "accuracy").update(interval=[0.1, 0.2])),
    "Wilson interval beside the figure": (
        "interval",
        lambda data: _row(data, "sensitivity/rare_lesion")["conditions"].update(wilson_95=[0.0, 0.1]),
    ),
    "Wilson interval of more images": (
        "interval",
        lambda data: _row(data, "sensitivity/healthy")["conditions"].update(wilson_95=[0.0, 1.0]),
    ),
    "positives": ("count", lambda data: _row(data, "sensitivity/healthy")["conditions"].update(positives=900)),
    "images of a class": ("count", lambda data: data["data"]["splits"]["train"]["class_counts"].update(healthy=1)),
    "images of the test split": ("count", lambda data: data["data"]["splits"]["test"].update(count=999)),
    "joules without idle": ("energy", _joules()),
    "joules without a meter": ("energy", _joules(idle_w=1.0, source=None)),
    "joules that no window gives": (
        "energy",
        _joules(windows=[{"idle_w": 10.0, "busy_j": 100.0, "window_s": 4.0, "count": 100}]),
    ),
    "test images among training": ("split", _same_images),
    "calibration on test": ("split", _calibration(split="test")),
    "calibration on validation": ("split", _calibration(split="val")),
    "calibration on more images than there are": ("count", _calibration(images=10**6)),
    "speed-up of a pass": ("speedup", _proof),
    "artifact that is not there": ("artifact", lambda data: _row(data, "accuracy").update(artifact="other")),
    "time": ("text", lambda data: data.update(created_utc="yesterday")),
}


@pytest.mark.parametrize("what", RECORD)
def test_a_change_of_the_record_is_found(honest: tuple[Record, Path], what: str) -> None:
    record, folder = honest
    rule, change = RECORD[what]
    data = json.loads(dumps(record))
    change(data)
    # Without the reports, which would tell of nearly everything.
    for name in ("checklist.md", "checklist.tex", "report.html"):
        (folder / name).unlink()
    found = check.check(Record.model_validate(data), folder)
    assert rule in {one.rule for one in found}


def test_energy_with_its_windows_passes(honest: tuple[Record, Path]) -> None:
    data = json.loads(dumps(honest[0]))
    window = {"idle_w": 10.0, "busy_j": 42.0, "window_s": 4.0, "count": 100}
    _joules(windows=[window])(data)
    assert check.check(Record.model_validate(data)) == []


@pytest.mark.parametrize(
    ("what", "change"),
    {
        "reason removed": lambda data: _row(data, "energy_j").update(not_measured_reason=None),
        "reason beside a figure": lambda data: _row(data, "accuracy").update(not_measured_reason="none"),
        "status that is none": _set("artifacts", "status", "perfect", name="cpu-int8"),
        "key that is none": lambda data: data.update(approved=True),
        "samples removed": lambda data: _row(data, "accuracy").update(samples=[]),
    }.items(),
)
def test_a_record_that_breaks_its_schema_is_found(honest: tuple[Record, Path], what: str, change: Change) -> None:
    record, folder = honest
    data = json.loads(dumps(record))
    change(data)
    (folder / "record.json").write_text(json.dumps(data), encoding="utf-8")
    said = CliRunner().invoke(app, ["check", str(folder)])
    assert said.exit_code == 3
    assert "schema" in said.output


def test_a_changed_file_is_found(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    (folder / "artifacts" / "cpu-int8" / "model").write_bytes(b"another")
    (folder / "artifacts" / "stray").mkdir()
    assert {(one.rule, one.where) for one in check.check(record, folder)} == {
        ("hash", "artifacts.cpu-int8"),
        ("artifact", "artifacts/stray"),
    }


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


#: File, what was changed in it -> the rule that finds it, and the change.
TEXTS: dict[tuple[str, str], tuple[str, Callable[[str], str]]] = {
    ("checklist.md", "figure"): ("figure", _replaced("200 test images", "300 test images")),
    ("checklist.md", "share"): ("figure", _replaced("600 in all", "900 in all")),
    ("checklist.md", "unit"): ("text", _replaced("1.36 ms (", "1.36 s (")),
    ("checklist.md", "hash"): ("figure", _replaced("c0ffee", "c1ffee")),
    ("checklist.md", "precision"): ("figure", _replaced("20 layers int8", "22 layers int8")),
    ("checklist.md", "precision in words"): ("text", _replaced("int8; 20 layers", "fp32; 20 layers")),
    ("checklist.md", "status"): ("text", _replaced("| rejected (", "| accepted (")),
    ("checklist.md", "reason"): ("text", _replaced(": no RAPL counters: this is a virtual machine", "")),
    ("checklist.md", "item"): ("missing", _replaced("- **Batch size:** 1\n", "")),
    ("checklist.md", "line added"): (
        "text",
        _replaced("## Checklist", "The model is safe for patients.\n\n## Checklist"),
    ),
    ("checklist.md", "sentence removed"): ("text", _replaced("Bold: recommended on its target.", "")),
    ("checklist.md", "warning removed"): ("missing", _replaced("> **Warning:** the images are few\n", "")),
    ("checklist.md", "p99 from few runs"): (
        "percentile",
        _replaced("## Checklist", "p99: 2.31 ms\n\n## Checklist"),
    ),
    ("checklist.tex", "figure"): ("figure", _replaced("600 in all", "900 in all")),
    ("checklist.tex", "item"): ("missing", _replaced("Batch size &\n1 \\\\\n", "")),
    ("checklist.tex", "p99 from few runs"): (
        "percentile",
        _replaced("\\addlinespace", "p99 2.31 ms\\\\\n\\addlinespace"),
    ),
    ("report.html", "figure"): ("figure", _replaced("600 in all", "900 in all")),
    ("report.html", "script"): ("text", _replaced("</body>", "<script>alert(1)</script>\n</body>")),
}


@pytest.mark.parametrize(("name", "what"), TEXTS)
def test_a_change_of_a_report_is_found(honest: tuple[Record, Path], name: str, what: str) -> None:
    record, folder = honest
    rule, change = TEXTS[name, what]
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    found = check.check(record, folder)
    assert rule in {one.rule for one in found}
    assert all(one.where.startswith(f"{name}:") for one in found)


def test_a_changed_figure_is_shown_beside_the_right_one(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    path = folder / "checklist.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("| **cpu-int8** |"))
    lines[number] = lines[number].replace("0.000080 MB", "0.000070 MB").replace("8.00e-05 MB", "7.00e-05 MB")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = check.check(record, folder)
    assert [(one.rule, one.where) for one in found] == [("figure", f"checklist.md:{number + 1}")]
    assert found[0].text.endswith("says the record")


def test_a_checklist_under_another_name_is_held_against_the_record(honest: tuple[Record, Path]) -> None:
    _, folder = honest
    other = folder / "supplement.md"
    text = (folder / "checklist.md").read_text(encoding="utf-8")
    other.write_text(text, encoding="utf-8")
    assert check.check_path(other) == []
    other.write_text(text.replace("600 in all", "900 in all"), encoding="utf-8")
    assert {one.rule for one in check.check_path(other)} == {"figure"}
    other.write_text("# Something else\n", encoding="utf-8")
    assert {one.rule for one in check.check_path(other) if one.severity == "error"} == {"missing"}


def test_pictures_that_were_not_copied_are_no_finding(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    shutil.rmtree(folder / "pictures")
    assert check.check(record, folder) == []


def test_the_command_tells_where_and_exits_with_3(honest: tuple[Record, Path]) -> None:
    record, folder = honest
    data = json.loads(dumps(record))
    _row(data, "accuracy").update(samples=[0.5], interval=None)
    (folder / "record.json").write_text(json.dumps(data), encoding="utf-8")
    run = CliRunner()
    plain = run.invoke(app, ["check", str(folder)])
    assert plain.exit_code == 3
    assert "measurements cpu-int8 accuracy: figure: 0.5; its predictions give" in plain.output
    said = run.invoke(app, ["check", str(folder), "--format", "github"]).output
    assert "::error title=figure::" in said
    assert f"::error file={folder.as_posix()}/checklist.md,line=" in said
    listed = json.loads(run.invoke(app, ["check", str(folder), "--format", "json"]).output)
    assert {"rule", "where", "text", "severity"} == set(listed[0])


def test_every_record_of_a_study_is_checked(honest: tuple[Record, Path], tmp_path: Path) -> None:
    _, folder = honest
    for seed in ("seed-0", "seed-1"):
        shutil.copytree(folder, tmp_path / "study" / "net" / seed)
    assert check.check_path(tmp_path / "study") == []
    (tmp_path / "study" / "net" / "seed-1" / "artifacts" / "cpu-int8" / "model").write_bytes(b"another")
    assert [one.where for one in check.check_path(tmp_path / "study")] == ["net/seed-1/artifacts.cpu-int8"]
