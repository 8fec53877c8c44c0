"""A runtime that does nothing, in this process and in the measuring one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.measure.latency import Job
from edgekit.target import Target

#: Put before any import of the child, so that it finds the null runtime in the place of the real ones.
_STUB = """
import importlib.util, sys, types

told, runs = [], []

def run(batch):
    import numpy
    runs.append(None)
    if told[:1] == ["late"] and len(runs) == 30:
        import os
        os._exit(9)
    if told[:1] == ["tell"]:
        import time
        time.sleep(0.006)
        with open(told[1], "a") as log:
            log.write(told[2] + " ")
    return numpy.zeros((1, 2), dtype=numpy.float32)

class Null:
    def load(self, path, target, precision):
        import os, time
        from pathlib import Path
        mode = Path(path).read_text()
        told[:] = mode.split()
        if mode == "missing":
            from edgekit.errors import MissingError
            raise MissingError("the package 'x' is not installed")
        if mode == "raise":
            raise ValueError("broken graph")
        if mode == "crash":
            print("first line", file=sys.stderr)
            print("the engine gives up", file=sys.stderr, flush=True)
            os._exit(134)
        if mode == "kill":
            import signal
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "hang":
            print("waiting for the device", file=sys.stderr, flush=True)
            time.sleep(60)
        return types.SimpleNamespace(run=run, executed=executed)

def executed():
    from edgekit.runtimes_stub import Executed
    loaded = sorted(name for name in ("torch", "timm") if name in sys.modules)
    return Executed("fp32", {"fp32": 3}, "told by the stub; loaded: " + ",".join(loaded))

def stub():
    import dataclasses
    fields = [("precision", str), ("layers", dict), ("how", str), ("fallbacks", tuple, ())]
    module = types.ModuleType("edgekit.runtimes_stub")
    module.Executed = dataclasses.make_dataclass("Executed", fields, frozen=True)
    sys.modules["edgekit.runtimes_stub"] = module
    runtimes = types.ModuleType("edgekit.runtimes")
    # Its modules are the real ones: the harness times the null runtime of its own accord.
    runtimes.__path__ = [importlib.util.find_spec("edgekit").submodule_search_locations[0] + "/runtimes"]
    runtimes.get = lambda name: Null()
    sys.modules["edgekit.runtimes"] = runtimes

stub()
"""


def target(threads: int = 0, meter: str = "none") -> Target:
    return Target.model_validate(
        {
            "schema_version": 1,
            "name": "null",
            "description": "does nothing",
            "runtime": "onnxruntime",
            "device": "CPU",
            "precisions": ("fp32",),
            "threads": threads,
            "energy_meter": meter,
        }
    )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of 3 small images, whose artifact holds the mode of the null runtime."""
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 1, 2, 2))
    artifact = tmp_path / "artifact"
    artifact.write_text("good")
    return Job("null-fp32", "onnxruntime", artifact, target(), "fp32", inputs)


@pytest.fixture
def null_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the measuring process the null runtime."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_STUB)
    monkeypatch.setenv("PYTHONPATH", str(folder))
