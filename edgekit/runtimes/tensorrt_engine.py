"""TensorRT engines: built on the device from the ONNX file, and kept there under a hash of all that they depend on.

The API is that of TensorRT 8.6 to 10. From 11 on networks are strongly typed: the flags by which a float ONNX file
becomes an FP16 or INT8 engine are gone, so those versions are refused.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, InputError
from edgekit.store import digest, file_sha256

if TYPE_CHECKING:
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision

#: Major versions whose builder has the flags FP16 and INT8.
VERSIONS = (8, 9, 10)
_WORKSPACE_MIB = 1024


@dataclass(frozen=True)
class BuildOptions:
    """What decides the engine beside the ONNX file.

    Attributes:
        precision: ``fp32``, ``fp16`` or ``int8``. INT8 is that of the file's Q/DQ nodes, its other layers are FP16.
        workspace_mib: memory that the builder's choices may take at run time, in MiB.
        dla_core: core of Jetson's DLA, its other layers on the GPU; none: all on the GPU.
    """

    precision: str
    workspace_mib: int = _WORKSPACE_MIB
    dla_core: int | None = None

    @classmethod
    def of(cls, target: Setting, precision: Precision) -> BuildOptions:
        """From the target's ``options``.

        Raises:
            InputError: an option that TensorRT's builder is not given, or a value that it cannot have.
        """
        known = ("workspace_mib", "dla_core")
        for name, value in target.options.items():
            if name not in known or not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(
                    f"{name}: {value!r} is no option of a TensorRT engine",
                    where="options of the target",
                    remedy=f"known, each a whole number: {', '.join(known)}",
                )
        if precision not in ("fp32", "fp16", "int8"):
            raise InputError(f"TensorRT engines are built in fp32, fp16 or int8, not {precision}")
        dla = target.options.get("dla_core")
        if dla is not None and precision == "fp32":
            raise InputError("the DLA runs fp16 and int8, not fp32", remedy="change the target's precisions")
        return cls(
            precision,
            int(target.options.get("workspace_mib", _WORKSPACE_MIB)),
            None if dla is None else int(dla),
        )

    def command(self, onnx: str) -> str:
        """The same build with NVIDIA's own tool."""
        words = ["trtexec", f"--onnx={onnx}", "--saveEngine=model.engine", "--profilingVerbosity=detailed"]
        words += {"fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}.get(self.precision, [])
        words += [f"--memPoolSize=workspace:{self.workspace_mib}", "--timingCacheFile=timing.cache"]
        words += [f"--useDLACore={self.dla_core}", "--allowGPUFallback"] if self.dla_core is not None else []
        return shlex.join(words)


@dataclass(frozen=True)
class Engine:
    """An engine in the cache: its file, and what it was built for and from."""

    path: Path
    sha256: str
    gpu: str
    tensorrt: str
    onnx_sha256: str
    options: BuildOptions
    build_s: float
    command: str

    def told(self) -> dict[str, Any]:
        """What the record keeps of it."""
        return {**asdict(self), "path": self.path.name}


def cache() -> Path:
    """The folder of the engines: they outlive runs, since building one takes minutes."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "edgekit" / "engines"


def key(onnx_sha256: str, options: BuildOptions, gpu: str, version: str) -> str:
    """Under which an engine is kept: an engine is bound to the GPU and to the TensorRT that built it."""
    return digest({"onnx": onnx_sha256, "options": asdict(options), "gpu": gpu, "tensorrt": version})[:32]


def find(onnx: Path, options: BuildOptions, gpu: str, version: str, folder: Path) -> Engine | None:
    """The engine in ``folder``; none where it was not built yet.

    Raises:
        DeviceError: what lies there was built for another GPU, by another TensorRT, or was altered.
    """
    onnx_sha256 = file_sha256(onnx)
    path = folder / f"{key(onnx_sha256, options, gpu, version)}.engine"
    try:
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        made = Engine(**{**told, "path": path, "options": BuildOptions(**told["options"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unusable(path, f"its description cannot be read: {error}") from None
    for name, found, wanted in (
        ("for the GPU", made.gpu, gpu),
        ("by TensorRT", made.tensorrt, version),
        ("from the ONNX file", made.onnx_sha256, onnx_sha256),
    ):
        if found != wanted:
            raise _unusable(path, f"it was built {name} {found}, not {wanted}")
    if not path.is_file() or file_sha256(path) != made.sha256:
        raise _unusable(path, "the file is not the one that was built")
    return made


def _unusable(path: Path, why: str) -> DeviceError:
    return DeviceError(
        f"the engine in the cache cannot be used: {why}",
        where=str(path),
        remedy=f"remove {path.name} and {path.stem}.json there; it is then built anew",
    )


def build(onnx: Path, options: BuildOptions, gpu: str, folder: Path) -> Engine:
    """Build the engine and keep it; takes minutes.

    Raises:
        DeviceError: this TensorRT cannot build it, or the folder cannot be written.
    """
    import tensorrt as trt

    refuse_version(trt.__version__)
    started = time.monotonic()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # 8 and 9 ask for an explicit batch dimension; 10 has no other.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx.read_bytes()):
        problems = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise DeviceError(f"TensorRT cannot read the ONNX file: {problems}", where=str(onnx))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    # Without it the engine does not tell which precision its layers run in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for flag in {"fp16": ["FP16"], "int8": ["FP16", "INT8"]}.get(options.precision, []):
        config.set_flag(getattr(trt.BuilderFlag, flag))
    if options.dla_core is not None:
        if options.dla_core >= builder.num_DLA_cores:
            raise DeviceError(f"this device has {builder.num_DLA_cores} DLA cores, not number {options.dla_core}")
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    timings = folder / f"timing-{digest([gpu, trt.__version__])[:16]}.cache"
    known = config.create_timing_cache(timings.read_bytes() if timings.is_file() else b"")
    config.set_timing_cache(known, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise DeviceError(f"TensorRT {trt.__version__} built no engine; its log says why", where=str(onnx))
    onnx_sha256 = file_sha256(onnx)
    path = folder / f"{key(onnx_sha256, options, gpu, trt.__version__)}.engine"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, bytes(plan))
        _write(timings, bytes(config.get_timing_cache().serialize()))
        made = Engine(
            path=path,
            sha256=file_sha256(path),
            gpu=gpu,
            tensorrt=trt.__version__,
            onnx_sha256=onnx_sha256,
            options=options,
            build_s=round(time.monotonic() - started, 3),
            command=options.command(onnx.name),
        )
        # Last, and only then does the engine count.
        _write(path.with_suffix(".json"), json.dumps(made.told(), indent=1).encode())
    except OSError as error:
        raise DeviceError(f"the engine cannot be kept: {error.strerror}", where=str(folder)) from None
    return made


def refuse_version(version: str) -> None:
    """Raises ``DeviceError`` where this TensorRT cannot build what is asked for."""
    if int(version.split(".")[0]) not in VERSIONS:
        raise DeviceError(
            f"TensorRT {version} takes precisions from the ONNX file's types alone",
            remedy=f"install TensorRT {VERSIONS[0]}.6 to {VERSIONS[-1]}; JetPack 6 brings one of them",
        )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
