"""A bundle is measured by hand on a device, and what comes back is checked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit import bundle, imports, record
from edgekit.errors import InputError
from edgekit.report import results
from tests.devices.conftest import Run, target

_ADB = """#!/bin/sh
# Stands for a phone: its /data is a folder here.
root="$FAKE_PHONE"
case "$1" in
  get-state) echo device;;
  push) cp "$2" "$root/${3#/}"; echo "1 file pushed";;
  shell)
    shift
    case "$*" in
      "getprop ro.product.manufacturer") echo Fairphone;;
      "getprop ro.product.model") echo "FP 5";;
      "getprop ro.build.version.release") echo 14;;
      *) sh -c "$(printf '%s ' "$@" | sed "s#/data/#$root/data/#g")";;
    esac;;
esac
"""
_BENCHMARK = """#!/bin/sh
echo "INFO: Num threads: [4]"
echo "INFO: count=3 first=9000 curr=8000 min=7000 max=9000 avg=8000 std=10"
echo "INFO: count=12 first=5200 curr=5000 min=4900 max=5300 avg=5100 std=20 p5=4900 median=5100 p95=5300"
echo "INFO: Inference timings in us: Init: 1200, First inference: 9000, Warmup (avg): 8000, Inference (avg): 5100"
"""


def measured(folder: Path) -> Path:
    """Runs a bundle as its README says, where nothing of edgekit is installed."""
    command = [sys.executable, "-I", "runner.pyz", "plan.json", "result.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "result.json"


def form(made: record.Record, **changes: Any) -> dict[str, Any]:
    """A file in the form of a bundle's README."""
    one = made.artifacts[0]
    artifact = {"artifact": one.name, "sha256": one.sha256, "processes": [[0.004, 0.005], [0.006, 0.007]]}
    return {
        "format": 1,
        "measured_by": "Grace",
        "measured_utc": "2026-01-31T12:00:00+00:00",
        "device": "Mac mini M4",
        "os": "macOS 26",
        "method": "a loop in Swift",
        "warmup": 50,
        "artifacts": [artifact | changes.pop("artifact", {})],
        **changes,
    }


def test_from_the_bundle_to_the_record(run: Run, tmp_path: Path) -> None:
    run.add(target("board"))
    run.add(target("other"), artifacts=1)
    files = {
        path.relative_to(tmp_path / "out").as_posix()
        for path in bundle.write(run.folder, "board", tmp_path / "out")
    }
    assert {"README.md", "SHA256SUMS", "plan.json", "runner.pyz", "artifacts/0-board-0/model.onnx"} <= files
    assert not any("other" in name or name.endswith("android.sh") for name in files)
    for line in (tmp_path / "out" / "SHA256SUMS").read_text().splitlines():
        sha256, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == sha256
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "python3 runner.pyz plan.json result.json" in readme
    example = json.loads(readme.split("```json\n")[1].split("```")[0])
    assert [one["artifact"] for one in example["artifacts"]] == ["board-0", "board-1"]

    with pytest.raises(InputError, match=r'does not say who measured \(say it: --by "NAME"\)'):
        imports.add(run.folder, measured(tmp_path / "out"), None)
    made = imports.add(run.folder, tmp_path / "out" / "result.json", "Ada")
    rows = made.of("board-1", "latency_s")
    assert [one.conditions["process"] for one in rows] == [0, 1]
    raw = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
    assert rows[0].samples == tuple(next(one for one in raw if one["artifact"] == "board-1")["result"]["samples_s"])
    provenance = rows[0].conditions["imported"]
    assert provenance["measured_by"] == "Ada"
    assert "runner.pyz on Python" in provenance["tool"]
    assert rows[0].conditions["machine"]["architecture"] == os.uname().machine
    assert results.latency(made, "board-1") is not None
    with pytest.raises(InputError, match="was imported before"):
        imports.add(run.folder, tmp_path / "out" / "result.json", "Ada")
    with pytest.raises(InputError, match="not an empty folder"):
        bundle.write(run.folder, "board", tmp_path / "out")


def test_what_comes_back_altered_is_refused(run: Run, tmp_path: Path) -> None:
    run.add(target("board"), artifacts=1)
    bundle.write(run.folder, "board", tmp_path / "out")
    path = measured(tmp_path / "out")
    good = json.loads(path.read_text())
    for change, match in (
        ({"artifacts": {"board-0": "0" * 64}}, "'board-0' is another file there"),
        ({"results": good["results"] * 2}, "round 0 of 'board-0' is there twice"),
        ({"format": 2}, "format: "),
        ({"runs": 11}, "gave 12 samples, 11 were asked for"),
        ({"results": [{**good["results"][0], "result": {}}]}, "not valid"),
        ({"results": []}, "results: "),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=match):
            imports.add(run.folder, path, "Ada")
    assert not record.read(run.folder).measurements


def test_samples_of_another_tool(run: Run, tmp_path: Path) -> None:
    run.add(target("board"), artifacts=1)
    before, path = record.read(run.folder), tmp_path / "measured.json"
    path.write_text(json.dumps(form(before)))
    made = imports.add(run.folder, path, None)
    found = results.latency(made, "board-0")
    assert found is not None
    assert found.processes == ((0.004, 0.005), (0.006, 0.007))
    assert found.conditions["imported"]["measured_by"] == "Grace"
    assert found.conditions["machine"] == {"cpu": "Mac mini M4", "os": "macOS 26"}
    for change, match in (
        ({"artifact": {"sha256": "0"}}, "another file there"),
        ({"artifact": {"artifact": "ghost"}}, "the run has no artifact 'ghost'"),
        ({"artifact": {"processes": [[]]}}, "'processes' must hold samples"),
        ({"artifact": {"processes": [[0.0]]}}, "a sample is not above 0 s"),
        ({"artifact": {"summary": {"median_s": 1.0}}}, "exactly one of 'processes' and 'summary'"),
        ({"measured_by": ""}, "measured_by: "),
        ({"more": 1}, "more: "),
    ):
        path.write_text(json.dumps(form(before, **change)))
        with pytest.raises(InputError, match=match):
            imports.add(run.folder, path, None)
    for text in ("not JSON", "[]", "3"):
        path.write_text(text)
        with pytest.raises(InputError):
            imports.add(run.folder, path, "Ada")


def test_a_summary_stays_one(run: Run, tmp_path: Path) -> None:
    run.add(target("board"), artifacts=1)
    path = tmp_path / "measured.json"
    given = {"processes": None, "summary": {"median_s": 0.0031}}
    path.write_text(json.dumps(form(record.read(run.folder), artifact=given)))
    made = imports.add(run.folder, path, None)
    (row,) = made.of("board-0", "latency_s")
    assert row.samples is None
    assert "a summary and no samples (median_s 0.0031)" in str(row.not_measured_reason)
    assert row.conditions["summary"] == {"median_s": 0.0031}
    assert results.latency(made, "board-0") is None
    assert "no percentile is known" in str(results.percentile(made, "board-0", 0.5).why)


def test_a_phone_through_adb(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add(target("phone").model_copy(update={"runtime": "litert", "device": "XNNPACK"}), artifacts=2)
    out, tools, phone = tmp_path / "out", tmp_path / "tools", tmp_path / "phone"
    bundle.write(run.folder, "phone", out)
    tools.mkdir()
    (phone / "data" / "local" / "tmp").mkdir(parents=True)
    for place, text in ((tools / "adb", _ADB), (out / "benchmark_model", _BENCHMARK)):
        place.write_text(text)
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PHONE", str(phone))
    subprocess.run(["sh", "android.sh"], cwd=out, check=True, stdout=subprocess.DEVNULL)
    assert not list((phone / "data" / "local" / "tmp").iterdir()), "nothing stays on the phone"
    made = imports.add(run.folder, out / "android.log", "Ada")
    (row,) = made.of("phone-1", "latency_s")
    assert row.conditions["summary"] == {
        **{f"{name}/{n}": value for n in (1, 2) for name, value in (("mean_s", 0.0051), ("min_s", 0.0049))},
        **{f"{name}/{n}": value for n in (1, 2) for name, value in (("max_s", 0.0053), ("runs", 12.0))},
        **{f"first_s/{n}": 0.009 for n in (1, 2)},
    }
    assert row.conditions["machine"] == {"cpu": "Fairphone FP 5", "os": "Android 14"}
    log = (out / "android.log").read_text()
    for bad, match in (
        (log.replace("edgekit-sha256: ", "edgekit-sha256: 0"), "another file there"),
        (log.replace("Fairphone", "Pixel", 1), "different files or phones"),
        (log.replace("count=", "n="), "is not whole"),
    ):
        (out / "android.log").write_text(bad)
        with pytest.raises(InputError, match=match):
            imports.add(run.folder, out / "android.log", "Ada")


def test_a_name_that_a_shell_would_read_is_refused(run: Run, tmp_path: Path) -> None:
    run.add(target("board"), artifacts=1)
    path = run.folder / "record.json"
    path.write_text(path.read_text().replace('"name": "board-0"', '"name": "board-0$(id)"'))
    with pytest.raises(InputError, match="characters that edgekit gives no artifact"):
        bundle.write(run.folder, "board", tmp_path / "out")
    assert not (tmp_path / "out").exists()
