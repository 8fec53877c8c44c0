"""Engines without a GPU: a module in TensorRT's place that answers as its Python API is documented (TensorRT 10).

It shows that the right things are asked for, kept and refused. That TensorRT itself does them, it cannot show.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import runtimes
from edgekit.errors import DeviceError, InputError, MissingError
from edgekit.measure.protocol import Setting
from edgekit.runtimes import cuda_driver, tensorrt_engine
from edgekit.runtimes.tensorrt_engine import BuildOptions

ORIN = Setting("jetson", "tensorrt", "GPU", ("fp16", "int8"), 0, "MAXN", "none", {})


@dataclass
class Fake:
    """What was asked of the module, and what it answers."""

    module: types.ModuleType
    asked: dict[str, Any] = field(default_factory=dict)
    inspector: dict[str, Any] = field(default_factory=lambda: {"Layers": []})
    problems: list[str] = field(default_factory=list)
    builds: int = 0
    dla_cores: int = 2


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    trt: Any = types.ModuleType("tensorrt")
    made = Fake(trt)
    trt.__version__ = "10.3.0"
    trt.__spec__ = types.SimpleNamespace(name="tensorrt")
    for name, members in {
        "BuilderFlag": "FP16 INT8 GPU_FALLBACK",
        "MemoryPoolType": "WORKSPACE",
        "ProfilingVerbosity": "DETAILED",
        "DeviceType": "GPU DLA",
        "LayerInformationFormat": "JSON",
    }.items():
        setattr(
            trt, name, types.SimpleNamespace(**{one: types.SimpleNamespace(name=one) for one in members.split()})
        )
    trt.NetworkDefinitionCreationFlag = types.SimpleNamespace(EXPLICIT_BATCH=0)
    trt.nptype = lambda kind: kind

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None:
            made.asked["level"] = level

    class Config:
        def __init__(self) -> None:
            self.flags: list[str] = []
            made.asked["config"] = self

        def set_flag(self, flag: Any) -> None:
            self.flags.append(flag.name)

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            made.asked[pool.name] = size

        def create_timing_cache(self, known: bytes) -> bytes:
            made.asked["timings"] = known
            return known

        def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
            assert ignore_mismatch is False
            return True

        def get_timing_cache(self) -> Any:
            return types.SimpleNamespace(serialize=lambda: bytearray(b"timings"))

    class Builder:
        def __init__(self, logger: Logger) -> None:
            self.num_DLA_cores = made.dla_cores

        def create_network(self, flags: int) -> str:
            assert flags == 1
            return "network"

        def create_builder_config(self) -> Config:
            return Config()

        def build_serialized_network(self, network: str, config: Config) -> bytearray:
            made.builds += 1
            return bytearray(b"plan")

    class OnnxParser:
        num_errors = property(lambda self: len(made.problems))

        def __init__(self, network: str, logger: Logger) -> None: ...

        def parse(self, text: bytes) -> bool:
            made.asked["onnx"] = text
            return not made.problems

        def get_error(self, index: int) -> Any:
            return types.SimpleNamespace(desc=lambda: made.problems[index])

    class Context:
        def set_tensor_address(self, name: str, address: int) -> bool:
            made.asked.setdefault("addresses", {})[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            made.asked["stream"] = stream
            return True

    class Engine:
        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return {"input": (1, 3, 4, 4), "logits": (1, 2)}[name]

        def get_tensor_dtype(self, name: str) -> type:
            return np.float32

        def create_execution_context(self) -> Context:
            return Context()

        def create_engine_inspector(self) -> Any:
            return types.SimpleNamespace(get_engine_information=lambda form: json.dumps(made.inspector))

    class Runtime:
        def __init__(self, logger: Logger) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            return Engine() if plan == b"plan" else None

    for one in (Logger, Builder, OnnxParser, Runtime):
        setattr(trt, one.__name__, one)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr(cuda_driver, "Gpu", Gpu)
    monkeypatch.setattr(cuda_driver, "missing", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


class Gpu:
    """Memory by address; what comes back is the mean of what was given, twice."""

    name, stream = "Orin (nvgpu)", 77

    def __init__(self) -> None:
        self.given: Any = None

    def allocate(self, size_bytes: int) -> int:
        return size_bytes

    def to_gpu(self, values: Any, address: int) -> None:
        self.given = values.copy()

    def to_host(self, address: int, values: Any) -> None:
        values[...] = self.given.mean()

    def synchronize(self) -> None: ...


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a network")
    return path


def options(**given: int) -> Setting:
    return Setting("jetson", "tensorrt", "GPU", ("fp16", "int8"), 0, "MAXN", "none", dict(given))


def test_an_engine_is_built_once_and_run(fake: Fake, onnx: Path) -> None:
    runtime = runtimes.get("tensorrt")
    assert runtime.cannot_run(ORIN) is None
    with pytest.raises(MissingError, match="no engine of it in the cache"):
        runtime.load(onnx, ORIN, "int8")
    for _ in range(2):
        runtime.prepare(onnx, ORIN, "int8")
    assert fake.builds == 1
    assert fake.asked["onnx"] == b"a network"
    assert fake.asked["WORKSPACE"] == 1024 * 2**20
    config = fake.asked["config"]
    assert config.flags == ["FP16", "INT8"]
    assert config.profiling_verbosity.name == "DETAILED"
    assert not hasattr(config, "DLA_core")
    session = runtime.load(onnx, ORIN, "int8")
    np.testing.assert_allclose(session.run(np.full((1, 3, 4, 4), 0.5, np.float32)), [[0.5, 0.5]])
    assert fake.asked["addresses"] == {"input": 4 * 48, "logits": 4 * 2}
    assert fake.asked["stream"] == 77
    built = session.executed().built
    assert (built["gpu"], built["tensorrt"], built["options"]["precision"]) == ("Orin (nvgpu)", "10.3.0", "int8")
    assert built["command"].startswith("trtexec --onnx=model.onnx --saveEngine=model.engine")
    # The next engine begins with the timings of the first.
    runtime.prepare(onnx, ORIN, "fp16")
    assert fake.asked["timings"] == b"timings"
    assert fake.asked["config"].flags == ["FP16"]


def test_the_precision_is_read_from_the_engine(fake: Fake, onnx: Path) -> None:
    runtime = runtimes.get("tensorrt")
    runtime.prepare(onnx, ORIN, "int8")
    fake.inspector = {
        "Layers": [
            {"Name": "a", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 131072}},
            {"Name": "b", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 9}},
            {"Name": "c", "LayerType": "CaskGemm", "Weights": {"Type": "Half", "Count": 4}},
            {"Name": "d", "LayerType": "Pooling"},
            "Reformatting CopyNode",
        ]
    }
    executed = runtime.load(onnx, ORIN, "int8").executed()
    assert (executed.precision, executed.layers, executed.fallbacks) == ("int8", {"int8": 2, "fp16": 1}, ("c",))
    fake.inspector = {"Layers": ["a", "b"]}
    assert runtime.load(onnx, ORIN, "int8").executed().precision == "unknown"


def test_the_dla_with_the_gpu_for_what_it_cannot(fake: Fake, onnx: Path) -> None:
    setting = options(dla_core=1, workspace_mib=64)
    runtimes.get("tensorrt").prepare(onnx, setting, "fp16")
    config = fake.asked["config"]
    assert (config.default_device_type.name, config.DLA_core) == ("DLA", 1)
    assert config.flags == ["FP16", "GPU_FALLBACK"]
    assert (
        BuildOptions.of(setting, "fp16")
        .command("model.onnx")
        .endswith(
            "--fp16 --memPoolSize=workspace:64 --timingCacheFile=timing.cache --useDLACore=1 --allowGPUFallback"
        )
    )
    fake.dla_cores = 0
    with pytest.raises(DeviceError, match="this device has 0 DLA cores, not number 1"):
        runtimes.get("tensorrt").prepare(onnx, setting, "int8")


@pytest.mark.parametrize(
    ("given", "precision", "match"),
    [
        ({"workspace": 5}, "fp16", "workspace: 5 is no option of a TensorRT engine.*workspace_mib, dla_core"),
        ({"dla_core": -1}, "fp16", "dla_core: -1"),
        ({"workspace_mib": True}, "fp16", "workspace_mib: True"),
        ({"dla_core": 0}, "fp32", "the DLA runs fp16 and int8"),
        ({}, "bf16", "fp32, fp16 or int8, not bf16"),
    ],
)
def test_wrong_options(given: dict[str, int], precision: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        BuildOptions.of(options(**given), precision)


def test_everything_that_decides_an_engine_is_in_its_key() -> None:
    base: dict[str, Any] = {"onnx_sha256": "a", "options": BuildOptions("int8"), "gpu": "Orin", "version": "10.3.0"}
    others: list[dict[str, Any]] = [
        {"onnx_sha256": "b"},
        {"options": BuildOptions("fp16")},
        {"options": BuildOptions("int8", dla_core=0)},
        {"options": BuildOptions("int8", workspace_mib=5)},
        {"gpu": "RTX 3070 Ti"},
        {"version": "10.4.0"},
    ]
    assert len({tensorrt_engine.key(**{**base, **one}) for one in [{}, *others]}) == 1 + len(others)


def test_an_engine_of_another_gpu_or_altered_is_refused(fake: Fake, onnx: Path) -> None:
    runtime = runtimes.get("tensorrt")
    runtime.prepare(onnx, ORIN, "fp16")
    (engine,) = tensorrt_engine.cache().glob("*.engine")
    told = engine.with_suffix(".json")
    kept = told.read_text()
    for name, value, match in (
        ("gpu", "Xavier", r"built for the GPU Xavier, not Orin \(nvgpu\)"),
        ("tensorrt", "8.6.1", "built by TensorRT 8.6.1, not 10.3.0"),
        ("onnx_sha256", "0", "from the ONNX file 0"),
    ):
        told.write_text(json.dumps(json.loads(kept) | {name: value}))
        with pytest.raises(DeviceError, match=match):
            runtime.load(onnx, ORIN, "fp16")
    told.write_text(kept)
    engine.write_bytes(b"another plan")
    with pytest.raises(DeviceError, match=r"not the one that was built .*remove .*\.engine"):
        runtime.load(onnx, ORIN, "fp16")
    told.write_text("{")
    with pytest.raises(DeviceError, match="its description cannot be read"):
        runtime.load(onnx, ORIN, "fp16")


def test_what_tensorrt_cannot_build(fake: Fake, onnx: Path) -> None:
    fake.problems = ["No importer registered for op: SelectiveScan"]
    with pytest.raises(DeviceError, match="the ONNX file: No importer registered for op: SelectiveScan"):
        runtimes.get("tensorrt").prepare(onnx, ORIN, "fp16")
    fake.module.__version__ = "11.0.0"  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match=r"TensorRT 11\.0\.0 takes precisions from the ONNX file's types alone"):
        runtimes.get("tensorrt").prepare(onnx, ORIN, "fp16")


def test_without_a_driver() -> None:
    reason = cuda_driver.missing()
    if reason is None:
        pytest.skip("this machine has an NVIDIA driver")
    assert reason == "there is no NVIDIA driver (libcuda.so.1)"
    with pytest.raises(DeviceError, match="there is no NVIDIA driver"):
        cuda_driver.Gpu()


@pytest.mark.skipif(cuda_driver.missing() is not None, reason=str(cuda_driver.missing()))
def test_memory_of_a_real_gpu() -> None:
    gpu = cuda_driver.Gpu()
    values, back = np.arange(1000, dtype=np.float32), np.zeros(1000, np.float32)
    address = gpu.allocate(values.nbytes)
    gpu.to_gpu(values, address)
    gpu.to_host(address, back)
    gpu.synchronize()
    np.testing.assert_array_equal(values, back)
    assert gpu.name
