"""Several records side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import record as records
from edgekit.errors import InputError
from edgekit.record import Record
from edgekit.report import comparison

Maker = Callable[..., Record]


def _write(folder: Path, record: Record) -> Path:
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(records.dumps(record))
    return folder


def _table(text: str, heading: str) -> list[list[str]]:
    part = text.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_one_row_for_each_network(make: Maker, tmp_path: Path) -> None:
    other = make(untrained=True)
    other = other.model_copy(
        update={"recipe": other.recipe | {"model": {"architecture": "resnet18", "untrained": True}}}
    )
    _write(tmp_path / "study" / "a", make())
    _write(tmp_path / "study" / "b", other)
    text = comparison.render(comparison.read([tmp_path / "study"]))
    networks = _table(text, "Networks")
    assert [row[0] for row in networks[1:]] == ["mobileone_s0", "resnet18"]
    assert [row[-1] for row in networks[1:]] == ["trained", "random"]
    latencies = _table(text, "Latency")
    assert latencies[0][:3] == ["network", "source", "source-fused"]
    row = dict(zip(latencies[0], latencies[1], strict=True))
    assert row["cpu-fp32"].endswith("x)")
    assert "not measured (" in row["iphone-fp32"]
    assert "Core ML" in text


def test_a_rejected_file_is_marked(make: Maker, tmp_path: Path) -> None:
    text = comparison.render(comparison.read([_write(tmp_path / "run", make())]))
    latencies = _table(text, "Latency")
    row = dict(zip(latencies[0], latencies[1], strict=True))
    mark = row["android-int8"].split()[-1]
    assert f"{mark} rejected: " in text


def test_the_same_network_twice_is_told_apart_by_its_recipe(make: Maker, tmp_path: Path) -> None:
    one, two = make(), make()
    two = two.model_copy(update={"recipe": two.recipe | {"name": "kidney"}})
    runs = comparison.read([_write(tmp_path / "one", one), _write(tmp_path / "two", two)])
    assert [run.name for run in runs] == ["mobileone_s0 (liver)", "mobileone_s0 (kidney)"]


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record here"):
        comparison.read([tmp_path])
