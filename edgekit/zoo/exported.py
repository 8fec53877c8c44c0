"""Which runtimes take the catalogue's networks, as tried: kept in ``exported.json``.

``python -m edgekit.zoo.exported [NAME ...]`` exports each network in float32 to each runtime and, where that
runtime works on this machine, runs the file and compares it with PyTorch; the results replace those in the file.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.zoo import catalogue, counted

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.zoo.catalogue import Entry

FILE = "exported.json"
#: The target whose runtime is tried, by the runtime's name.
TARGETS = {"onnxruntime": "cpu", "openvino": "intel-cpu", "litert": "android", "coreml": "iphone"}
#: Greatest difference from PyTorch, as a part of the greatest logit.
TOLERANCE = 1e-3
_LONGEST = 300
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


@functools.cache
def read() -> dict[str, dict[str, Any]]:
    """What the file holds: results of ``check`` by network and runtime."""
    text = resources.files("edgekit.zoo").joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def check(model: Model, runtime: str) -> dict[str, Any]:
    """Export ``model`` in float32, and run the file where the runtime works here.

    Returns:
        ``versions`` of the packages that did it; ``input_size``; and one of ``error``, the greatest difference from
        PyTorch's output as a part of the greatest logit; ``not_run``, why the file could not be run; or ``failed``.
    """
    from edgekit import runtimes, target

    engine, aim = runtimes.get(runtime), target.load(TARGETS[runtime])
    found: dict[str, Any] = {
        "versions": {name: metadata.version(name) for name in ("torch", *engine.packages)},
        "input_size": list(model.input_size),
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = engine.export(model, aim, "fp32", Path(folder))
            cannot = engine.cannot_check(aim)
            if cannot:
                return {**found, "not_run": cannot}
            error = _difference(model, engine.check(made.path, aim, "fp32"))
        except Exception as problem:  # converters raise whatever they like
            return {**found, "failed": _reason(problem)}
    if not error <= TOLERANCE:
        return {**found, "failed": f"its output differs from PyTorch's by {error:.1e} of the greatest logit"}
    return {**found, "error": float(f"{error:.1e}")}


def model_of(entry: Entry) -> Model:
    """The network with random weights, for its small input and as many classes as its paper has, 10 at most."""
    import torch

    from edgekit.model import Model, settle
    from edgekit.zoo.untrained import without_zeros

    num_classes = min(entry.num_classes, 10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = settle(without_zeros(counted.build(entry, num_classes)))
    return Model(entry.name, {}, num_classes, entry.small_size, None, (), network, task=entry.task)


def _difference(model: Model, session: Any) -> float:
    import torch

    image = torch.rand(1, *model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.network(image).double().numpy()
    return float(abs(session.run(image.numpy()) - expected).max() / abs(expected).max())


def _reason(problem: BaseException) -> str:
    """The error and the one at its root, which is where converters name the operator."""
    said = problem.problem if isinstance(problem, EdgekitError) else f"{type(problem).__name__}: {problem}"
    root = problem
    while root.__cause__ is not None:
        root = root.__cause__
    if str(root) not in said:
        said = f"{type(root).__name__}: {root}"
    flat = " ".join(_COLOURS.sub("", said).split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 4] + " ..."


def _write(names: list[str]) -> None:
    path = Path(str(resources.files("edgekit.zoo").joinpath(FILE)))
    for entry in catalogue.LISTED:
        if names and entry.name not in names:
            continue
        model = model_of(entry)
        results = {}
        for runtime in TARGETS:
            results[runtime] = check(model, runtime)
            print(entry.name, runtime, results[runtime], flush=True)
        kept = json.loads(path.read_text()) if path.exists() else {}
        known = {**kept, entry.name: results}
        ordered = {one.name: known[one.name] for one in catalogue.LISTED if one.name in known}
        path.write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    _write(sys.argv[1:])
