"""A record in MLflow: parameters, figures, reasons and reports of one run. The extra 'mlflow' brings the client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgekit import environment
from edgekit.errors import DeviceError, missing_package
from edgekit.evaluate import statistics
from edgekit.record import Record
from edgekit.report import results
from edgekit.report.plain import dig, words

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: The longest text that every server takes.
_LONGEST = 500
#: Entries that a server takes at once.
_AT_ONCE = 100
_FILES = ("record.json", "checklist.md", "checklist.tex", "report.html")
_PERCENTILES = (0.5, 0.9, 0.99)


def client(uri: str) -> MlflowClient:
    """A client of the tracking server, or of the folder, at ``uri``.

    Raises:
        MissingError: MLflow is not installed.
        DeviceError: there is no such store.
    """
    environment.no_telemetry()
    if urlsplit(uri).scheme in ("", "file"):
        # A folder needs no server; MLflow asks for this word before it writes to one.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise missing_package("mlflow-skinny", "mlflow") from None
    try:
        return MlflowClient(tracking_uri=uri)
    except (MlflowException, OSError) as error:
        raise DeviceError(f"MLflow has no store there: {_first(error)}", where=uri) from None


def log(record: Record, folder: Path, to: MlflowClient, uri: str) -> str:
    """Log a record and the reports in ``folder`` as one run of the experiment that is called like the recipe.

    Returns:
        The id of the run.

    Raises:
        DeviceError: the store refused it. The run's own folder stays as it was.
    """
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    name = words(dig(record.recipe, "name"))
    try:
        experiment = to.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment is not None else to.create_experiment(name)
        run: str = to.create_run(number, run_name=f"{name} {record.created_utc}").info.run_id
        params = [Param(key, value[:_LONGEST]) for key, value in _flat(record.recipe)]
        metrics = [Metric(key, value, 0, 0) for key, value in figures(record).items()]
        tags = [RunTag(key, value[:_LONGEST]) for key, value in _tags(record).items()]
        for at in range(0, max(map(len, (params, metrics, tags))), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            to.log_batch(run, metrics=metrics[part], params=params[part], tags=tags[part])
        for file in _FILES:
            if (folder / file).is_file():
                to.log_artifact(run, str(folder / file))
        to.set_terminated(run)
    except (MlflowException, OSError) as error:
        raise DeviceError(
            f"MLflow refused the run: {_first(error)}",
            where=uri,
            remedy=f"the run's folder is whole; 'edgekit report {folder} --mlflow {uri}' logs it again",
        ) from None
    return run


def figures(record: Record) -> dict[str, float]:
    """``artifact/metric`` -> value: percentiles of latency as the samples allow, else the mean of the newest."""
    found: dict[str, float] = {}
    for name in results.names(record):
        latency = results.latency(record, name)
        for q in _PERCENTILES if latency is not None else ():
            one = statistics.quantile(latency.pooled, q) if latency is not None else None
            if one is not None and one.allowed:
                found[_key(f"{name}/latency_p{q * 100:g}_s")] = one.value
        for row in record.measurements:
            if row.artifact == name and row.samples and row.metric != "latency_s":
                found[_key(f"{name}/{row.metric}")] = sum(row.samples) / len(row.samples)
    for artifact in record.artifacts:
        if artifact.size_bytes > 0:
            found[_key(f"{artifact.name}/size_bytes")] = float(artifact.size_bytes)
    return found


def _tags(record: Record) -> dict[str, str]:
    """Provenance, what became of each artifact, and why a figure is missing."""
    found = {
        "edgekit.version": record.edgekit_version,
        "edgekit.git_commit": record.git_commit or "not recorded",
        "edgekit.recipe_sha256": record.recipe_sha256,
        "edgekit.command": words(record.command),
        "edgekit.cpu": words(dig(record.machine, "cpu")),
    }
    for one in record.artifacts:
        found[_key(f"status/{one.name}")] = ": ".join(filter(None, (one.status, one.reason)))
    for row in record.measurements:
        if row.not_measured_reason is not None and record.value(row.artifact, row.metric) is None:
            found[_key(f"not_measured/{row.artifact}/{row.metric}")] = row.not_measured_reason
    return found


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """A recipe's values by their dotted keys; lists of plain values stay whole."""
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _flat(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        for index, one in enumerate(value):
            yield from _flat(one, f"{path}.{index}")
    else:
        yield _key(path), words(value)


def _key(text: str) -> str:
    """A name that MLflow takes: no sign that it refuses, and no part that is a way through folders."""
    parts = re.sub(r"[^\w.\- /]", "_", text).split("/")
    return "/".join(part if part.strip(". ") else "_" for part in parts)[:250]


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
