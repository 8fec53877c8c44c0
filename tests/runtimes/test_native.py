"""The native selective scan: what it computes, the files that have it, and how it is built."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit import runtimes
from edgekit.errors import DeviceError, MissingError
from edgekit.model import Model
from edgekit.quantization import calibration, program
from edgekit.runtimes import native, support
from edgekit.runtimes.openvino import extension
from edgekit.target import RuntimeName
from edgekit.zoo.ss2d import SS2D
from edgekit.zoo.state_space import native_scan, selective_scan_reference
from tests.networks import cpu_target

LIBRARIES: dict[RuntimeName, native.Library] = {"openvino": native.OPENVINO, "onnxruntime": native.ONNXRUNTIME}


@pytest.fixture(params=LIBRARIES)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    """The name of a runtime whose library can be built here."""
    name: RuntimeName = request.param
    reason = LIBRARIES[name].missing()
    if reason is not None:
        pytest.skip(reason)
    return name


class Scanning(nn.Module):
    """Pixels in patches, a scan in four directions, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.scan, self.head = nn.Conv2d(3, 8, 4, 4), SS2D(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.scan(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))
        return logits


def _model() -> Model:
    torch.manual_seed(0)
    return Model("module", {}, 5, (3, 32, 32), None, (), Scanning().eval(), native=True)


def _inputs(count: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, 3, 32, 32)).astype(np.float32)


def _scan(
    runtime: RuntimeName,
    arguments: Sequence[NDArray[np.float32]],
    threads: int = 2,
    backwards: int = 0,
    raw_steps: bool = False,
) -> NDArray[np.float32]:
    """The operator alone."""
    of_runtime = {"openvino": _scan_in_openvino, "onnxruntime": _scan_in_onnxruntime}[runtime]
    return of_runtime(arguments, threads, {"backwards": backwards, "raw_steps": int(raw_steps)})


def _scan_in_openvino(
    arguments: Sequence[NDArray[np.float32]], threads: int, settings: dict[str, int]
) -> NDArray[np.float32]:
    import openvino
    from openvino import opset13
    from openvino.utils.node_factory import NodeFactory

    nodes = NodeFactory()
    nodes.add_extension(str(extension()))
    given = [opset13.parameter(list(one.shape), np.float32) for one in arguments]
    node = nodes.create(native.OPERATOR, [one.output(0) for one in given], settings)
    compiled = openvino.Core().compile_model(
        openvino.Model([node], given), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    )
    found: NDArray[np.float32] = compiled(list(arguments))[0]
    return found


def _scan_in_onnxruntime(
    arguments: Sequence[NDArray[np.float32]], threads: int, settings: dict[str, int]
) -> NDArray[np.float32]:
    import onnxruntime
    from onnx import TensorProto, helper

    names = ["u", "dt", "A", "B", "C", "skip"]
    node = helper.make_node(native.OPERATOR, names, ["y"], domain=native.ONNX_SET, **settings)
    given = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, one.shape)
        for name, one in zip(names, arguments, strict=True)
    ]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "scan", given, [made]),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(native.ONNX_SET, 1)],
        ir_version=10,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.register_custom_ops_library(str(native.ONNXRUNTIME.path()))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, dict(zip(names, arguments, strict=True)))[0]
    return found


def _arguments(shape: tuple[int, int, int, int], states: int, span: float = 1.0) -> list[NDArray[np.float32]]:
    """u, dt, A, B, C and skip, for u ``[N, G, L, D]``; dt A reaches ``span`` times as far as in training."""
    images, groups, length, channels = shape
    rng = np.random.default_rng(2)
    narrow = (images, groups, length, states)
    found = [
        rng.normal(size=shape),
        np.log1p(np.exp(rng.normal(size=shape))) * span,
        -np.exp(rng.normal(size=(groups, channels, states))),
        rng.normal(size=narrow),
        rng.normal(size=narrow),
        rng.normal(size=(groups, channels)),
    ]
    return [one.astype(np.float32) for one in found]


@pytest.mark.parametrize(
    ("shape", "states"),
    [((2, 4, 30, 40), 16), ((1, 1, 1, 1), 1), ((1, 2, 17, 7), 5), ((1, 2, 9, 16), 29), ((3, 1, 65, 33), 8)],
)
def test_it_is_the_selective_scan_whatever_the_sizes(
    runtime: RuntimeName, shape: tuple[int, int, int, int], states: int
) -> None:
    arguments = _arguments(shape, states)
    wanted = selective_scan_reference(*(torch.from_numpy(one).double() for one in arguments)).numpy()
    found = _scan(runtime, arguments)
    assert found.shape == shape
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("span", [0.0, 1e-6, 1e3, 1e30])
def test_no_decay_is_too_fast_or_too_slow(runtime: RuntimeName, span: float) -> None:
    arguments = _arguments((1, 2, 50, 20), 16, span)
    wanted = selective_scan_reference(*(torch.from_numpy(one).double() for one in arguments)).numpy()
    found = _scan(runtime, arguments, threads=1)
    assert np.isfinite(found).all()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("place", range(6))
def test_what_is_no_number_is_seen_in_the_result(runtime: RuntimeName, place: int) -> None:
    for raw_steps in (False, True):
        arguments = _arguments((1, 1, 5, 16), 4)
        arguments[place].flat[0] = np.nan
        assert np.isnan(_scan(runtime, arguments, raw_steps=raw_steps)).any()


@pytest.mark.parametrize("place", range(1, 6))
def test_sizes_that_do_not_fit_are_refused(runtime: RuntimeName, place: int) -> None:
    arguments = _arguments((1, 2, 5, 16), 4)
    arguments[place] = np.ascontiguousarray(arguments[place][..., :-1])
    with pytest.raises(Exception, match="do not fit"):
        _scan(runtime, arguments)


@pytest.mark.parametrize("backwards", [0, 1, 3])
def test_it_reads_groups_from_their_end_and_makes_steps_positive(runtime: RuntimeName, backwards: int) -> None:
    arguments = _arguments((2, 3, 21, 18), 6)
    # Where log(1 + e^x) is 0, x, and everything between.
    arguments[1] = np.linspace(-120, 120, arguments[1].size, dtype=np.float32).reshape(arguments[1].shape)
    doubles = [torch.from_numpy(one).double() for one in arguments]
    doubles[1] = nn.functional.softplus(doubles[1], threshold=1000)
    for place in (0, 1, 3, 4):
        doubles[place][:, 3 - backwards :] = doubles[place][:, 3 - backwards :].flip(2)
    wanted = selective_scan_reference(*doubles).numpy()
    wanted[:, 3 - backwards :] = wanted[:, 3 - backwards :, ::-1].copy()
    found = _scan(runtime, arguments, backwards=backwards, raw_steps=True)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    with torch.no_grad():
        eager = native_scan(*(torch.from_numpy(one) for one in arguments), backwards, True).numpy()
    assert np.abs(eager - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_file_with_it_answers_as_that_of_standard_operators(runtime: RuntimeName, tmp_path: Path) -> None:
    model, target, library = _model(), cpu_target(runtime, "fp32", "int8"), LIBRARIES[runtime]
    images = [torch.from_numpy(one[None]) for one in _inputs()]
    spans = calibration.ranges(program.float_graph(model), images, lambda *_: None)
    model = replace(model, quantization={"ranges": {k: list(v) for k, v in spans.items()}, "keep_float": []})
    answers, precisions = [], []
    for made in (model, replace(model, native=False)):
        folder = tmp_path / str(made.native)
        folder.mkdir()
        exported = runtimes.get(runtime).export(made, target, "int8", folder)
        assert (native.OPERATOR.encode() in exported.path.read_bytes()) == made.native
        assert all((folder / name).is_file() == made.native for name in library.sources)
        session = runtimes.get(runtime).load(exported.path, target, "int8")
        answers.append(np.concatenate([session.run(one[None]) for one in _inputs()]))
        precisions.append(session.executed().precision)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-3, atol=1e-4 * np.abs(answers[1]).max())
    assert precisions == ["int8", "int8"]


def test_an_artifact_says_how_to_build_what_it_needs(runtime: RuntimeName, tmp_path: Path) -> None:
    """By the command alone, in its folder: with the library built there the runtime takes the file, else not."""
    model, library, image = _model(), LIBRARIES[runtime], _inputs(1)
    exported = runtimes.get(runtime).export(model, cpu_target(runtime, "fp32"), "fp32", tmp_path)
    assert exported.details["native operator"] == library.command()
    with pytest.raises(Exception, match=native.OPERATOR):
        _answer(runtime, exported.path, None, image)
    # 'python' is whichever has the runtime.
    command = library.command().replace("python -c", f"'{sys.executable}' -c")
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    found = _answer(runtime, exported.path, tmp_path / library.file, image)
    with torch.no_grad():
        wanted = model.network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def _answer(
    runtime: RuntimeName, path: Path, library: Path | None, image: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Of the file in its runtime, without edgekit."""
    found: NDArray[np.float32]
    if runtime == "openvino":
        import openvino

        core = openvino.Core()
        if library:
            core.add_extension(str(library))
        found = np.array(core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0])
        return found
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if library:
        options.register_custom_ops_library(str(library))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {support.INPUT: image})[0]
    return found


def test_the_library_is_built_once_and_kept(
    runtime: RuntimeName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = LIBRARIES[runtime]
    first = library.path()
    assert first.is_relative_to(tmp_path)
    assert [one.name for one in first.parent.iterdir()] == [library.file]
    made = first.stat().st_mtime_ns
    assert library.path() == first
    assert first.stat().st_mtime_ns == made


def test_no_compiler_or_a_broken_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    if sys.platform != "linux":
        pytest.skip("built on Linux only")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("edgekit.runtimes.native.library._digest", lambda _: "0" * 64)
    library = native.OPENVINO
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install g++" in str(library.missing())
    with pytest.raises(MissingError, match="CXX"):
        library.path()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'x.cpp:1: error: no such thing' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(DeviceError, match="no such thing"):
        library.path()
    assert not list(tmp_path.rglob(library.file))
    monkeypatch.setenv("CXX", str(tmp_path / "absent"))
    with pytest.raises(DeviceError, match="cannot be run"):
        library.path()
