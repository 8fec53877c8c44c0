"""The runner: one file, the same code, nothing but numpy and the runtime."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit import record
from edgekit.devices import archive
from edgekit.measure import answers, protocol
from edgekit.measure.protocol import Request, Setting
from edgekit.runtimes import native
from edgekit.store import PACKAGE

#: Found first by the runner's Python; none of these may be asked for.
_REFUSE = "raise ImportError('the runner must not need this')\n"
_NOT_ON_A_DEVICE = ("torch", "pydantic", "psutil", "rich", "typer", "jinja2", "yaml", "onnx", "cpuinfo")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runner") / "runner.pyz"
    archive.build(path)
    return path


def test_it_holds_the_very_files_that_measure_here(runner: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(runner) as opened:
        names = [name for name in opened.namelist() if name.startswith("edgekit/") and not name.endswith("/")]
        inside = {name: opened.read(name) for name in names}
    files = {name: data for name, data in inside.items() if name.endswith(".py")}
    assert {"edgekit/measure/worker.py", "edgekit/runtimes/onnxruntime.py", "edgekit/__init__.py"} <= set(files)
    assert "edgekit/record.py" not in files
    sources = {*native.OPENVINO.sources, *native.ONNXRUNTIME.sources}
    assert {f"edgekit/runtimes/native/{name}" for name in sources} == set(inside) - set(files)
    for name, data in inside.items():
        assert data == (PACKAGE.parent / name).read_bytes()
    again = tmp_path / "again.pyz"
    archive.build(again)
    assert again.read_bytes() == runner.read_bytes()
    assert runner.stat().st_size < 120_000


def test_its_modules_load_with_the_standard_library_and_numpy_alone() -> None:
    for path in archive.modules().values():
        for node in ast.parse(path.read_text()).body:
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in {one.split(".")[0] for one in found} - {"edgekit", "numpy"}:
                assert name in sys.stdlib_module_names, f"{path}: {name}"


def test_it_measures_where_nothing_else_is_installed(runner: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    for name in _NOT_ON_A_DEVICE:
        (tmp_path / f"{name}.py").write_text(_REFUSE)
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, np.ones((2, 3, 4, 4), np.float32))
    setting = Setting("pi", "onnxruntime", "CPU", ("fp32",), 1, None, "none", {})
    question, answer = tmp_path / "request.json", tmp_path / "result.json"
    question.write_text(Request("onnxruntime", tiny_onnx, setting, "fp32", inputs, 2, 9).to_json())
    program = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = sys.argv[1:]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-c", program, str(runner), str(question), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = answers.worker_result(answer.read_text(), 9, "tiny")
    assert result.threads == 1
    assert result.rss_peak_bytes > result.rss_empty_bytes > 1_000_000


def test_its_messages_have_the_version_of_the_record() -> None:
    assert protocol.FORMAT == record.SCHEMA_VERSION
