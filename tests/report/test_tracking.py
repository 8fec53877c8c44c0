"""Records in MLflow: what is logged, and what is said where it cannot be."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgekit import environment
from edgekit.cli import app
from edgekit.errors import DeviceError, InputError, MissingError
from edgekit.record import Record, dumps
from edgekit.report import tracking


class Refused(Exception):  # noqa: N818 -- stands for MLflow's own exception
    pass


class Client:
    """A store that keeps what it is given."""

    def __init__(self, tracking_uri: str) -> None:
        if "nowhere" in tracking_uri:
            raise Refused("no such store\nand more")
        self.params: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = {}
        self.files: list[str] = []
        self.ended = False

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        self.experiment = name
        return "7"

    def create_run(self, experiment: str, run_name: str) -> Any:
        assert experiment == "7"
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="run-1"))

    def log_batch(self, run: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        assert max(map(len, (metrics, params, tags))) <= 100
        self.metrics |= {one[0]: one[1] for one in metrics}
        self.params |= dict(params)
        self.tags |= dict(tags)

    def log_artifact(self, run: str, path: str) -> None:
        if "full" in path:
            raise Refused("no space")
        self.files.append(Path(path).name)

    def set_terminated(self, run: str) -> None:
        self.ended = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in MLflow's place."""
    monkeypatch.setattr(environment, "no_telemetry", lambda: None)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    package, entities, exceptions = (types.ModuleType(f"mlflow{name}") for name in ("", ".entities", ".exceptions"))
    package.MlflowClient = Client  # type: ignore[attr-defined]
    exceptions.MlflowException = Refused  # type: ignore[attr-defined]
    for name in ("Metric", "Param", "RunTag"):
        setattr(entities, name, lambda *values: values)
    for module in (package, entities, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("fake")
def test_figures_reasons_and_reports_are_logged(record: Record, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(dumps(record), encoding="utf-8")
    to: Any = tracking.client("here")
    assert tracking.log(record, tmp_path, to, "here") == "run-1"
    assert to.experiment == "liver"
    assert to.ended
    assert to.files == ["record.json"]
    pooled = [sample for row in record.of("cpu-int8", "latency_s") for sample in row.samples or ()]
    assert to.metrics["cpu-int8/latency_p90_s"] == pytest.approx(np.quantile(pooled, 0.9))
    assert "cpu-int8/latency_p99_s" not in to.metrics
    row = record.value("cpu-int8", "sensitivity/rare_lesion")
    assert row is not None
    assert row.samples is not None
    assert to.metrics["cpu-int8/sensitivity/rare_lesion"] == row.samples[-1]
    assert to.params["model.architecture"] == "mobileone_s0"
    assert to.params["passes.0.kind"] == "finetune"
    assert to.params["task.classes"] == "healthy, adenoma, rare_lesion"
    assert to.tags["status/android-int8"] == "rejected: accuracy dropped by 3.1 points"
    assert to.tags["not_measured/cpu-int8/energy_j"] == "no RAPL counters: this is a virtual machine"


@pytest.mark.parametrize(
    ("name", "key"),
    [("a/../b", "a/_/b"), ("50 % < x", "50 _ _ x"), ("/lead", "_/lead"), ("a//b", "a/_/b"), ("é", "é")],
)
def test_a_name_that_mlflow_refuses_is_changed(name: str, key: str) -> None:
    assert tracking._key(name) == key


@pytest.mark.usefixtures("fake")
def test_a_store_that_refuses_keeps_the_run(record: Record, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no such store"):
        tracking.client("nowhere")
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "record.json").write_text(dumps(record), encoding="utf-8")
    with pytest.raises(DeviceError, match=r"no space.*edgekit report .*full --mlflow here"):
        tracking.log(record, folder, tracking.client("here"), "here")
    assert (folder / "record.json").exists()


@pytest.mark.usefixtures("fake")
def test_the_command_logs(record: Record, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(dumps(record), encoding="utf-8")
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--form", "csv", "--mlflow", "here"])
    assert done.exit_code == 0
    assert "MLflow run run-1" in done.output


def test_a_missing_client_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "no_telemetry", lambda: None)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said = CliRunner().invoke(app, ["compress", str(tmp_path / "none.yaml"), "--mlflow", "here"])
    assert isinstance(said.exception, MissingError)
    assert "edgekit[mlflow]" in str(said.exception)


def test_of_a_study_one_run_must_be_named(tmp_path: Path) -> None:
    inside = Path("mobilevit") / "seed-1"
    kept = Path(__file__).resolve().parents[2] / "reports" / "quantization_hard_cases" / inside
    shutil.copytree(kept, tmp_path / inside)
    said = CliRunner().invoke(app, ["report", str(tmp_path), "--form", "csv"])
    assert isinstance(said.exception, InputError)
    assert "name the folder of one of its runs" in str(said.exception)


def test_a_real_store_takes_it(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = tmp_path / "store"
    to = tracking.client(str(store))
    run = tracking.log(record, tmp_path, to, str(store))
    row = record.value("cpu-int8", "accuracy")
    assert row is not None
    assert row.samples is not None
    assert to.get_run(run).data.metrics["cpu-int8/accuracy"] == row.samples[-1]
