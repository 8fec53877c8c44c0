"""The selective scan as a native operator, built from C++ where the machine has a compiler.

A graph of standard operators writes the states of a scan to memory again and again; one fused loop keeps them in
registers. A file with the operator runs only where the library is loaded, so a recipe asks for it
(``native_operators``) and the file of standard operators is always made beside it.

The library is built from the sources in this package, for this processor and the runtime installed, and kept in the
user's cache. None that travels with an artifact is ever loaded. Standard library only.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.resources
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from edgekit.errors import DeviceError, MissingError

#: The extension, and what it includes; they are laid beside an artifact that needs them.
SOURCES = ("openvino_extension.cpp", "selective_scan.hpp")
#: The operator's type and the version that it has in OpenVINO's files.
OPERATOR, VERSION = "SelectiveScan", "edgekit"
LIBRARY = "libedgekit_openvino.so"
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-fvisibility=hidden")
_COMPILERS = ("c++", "g++", "clang++")
_TIMEOUT_S = 600


def missing() -> str | None:
    """Why the operator cannot be built here, with the remedy; none when it can."""
    if sys.platform != "linux":
        return "edgekit's native operator is built on Linux only"
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed: pip install 'edgekit[openvino]'"
    if _compiler() is None:
        return "no C++ compiler is here: install g++, or name one in the variable CXX"
    return None


def library() -> Path:
    """The library for this machine, built if it is not in the cache.

    Raises:
        MissingError: there is no compiler, or no OpenVINO.
        DeviceError: the compiler fails, or the cache cannot be written.
    """
    reason = missing()
    if reason is not None:
        raise MissingError(reason)
    kept = _home() / f"native-{_digest()[:32]}" / LIBRARY
    if not kept.is_file():
        try:
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _build(kept)
        except OSError as error:
            raise DeviceError(
                f"the native operator's library cannot be kept: {error.strerror}",
                where=str(kept.parent),
                remedy="set XDG_CACHE_HOME to a folder that can be written",
            ) from error
    return kept


def loaded() -> Path:
    """The same, in memory until the process ends: nodes of its operators may outlive whoever loaded it.

    To be called once ``openvino`` is imported, whose libraries it needs.
    """
    path = library()
    ctypes.CDLL(str(path))
    return path


def write_sources(folder: Path) -> tuple[str, ...]:
    """Lay the sources into ``folder``, for who runs the file without edgekit.

    Returns:
        Their names.
    """
    for name in SOURCES:
        (folder / name).write_bytes(_source(name))
    return SOURCES


def build_command() -> str:
    """The command that builds the library from the sources of an artifact, to be run in its folder."""
    package = '$(python -c "import openvino, os; print(os.path.dirname(openvino.__file__))")'
    parts = [*_FLAGS, f"-isystem {package}/include", SOURCES[0], "-o", LIBRARY]
    return " ".join(["g++", *parts, f"{package}/libs/libopenvino.so.*", f"{package}/libs/libtbb.so.*"])


def needed_by(path: Path) -> bool:
    """Whether an OpenVINO file has the operator in it."""
    return f'version="{VERSION}"'.encode() in path.read_bytes()


def _compiler() -> list[str] | None:
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named) or None
    return next(([found] for one in _COMPILERS if (found := shutil.which(one))), None)


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"


def _source(name: str) -> bytes:
    # Through the package: on a device it lies in a zip file.
    return (importlib.resources.files(__name__) / name).read_bytes()


@cache
def _digest() -> str:
    """Of everything that the library depends on; the compiler's macros say for which processor it builds."""
    parts = [_source(name) for name in SOURCES]
    parts += [" ".join(_FLAGS).encode(), importlib.metadata.version("openvino").encode()]
    parts.append(_run([*(_compiler() or ()), "-march=native", "-dM", "-E", "-x", "c++", os.devnull]).encode())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _build(target: Path) -> None:
    spec = importlib.util.find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    libraries = [str(one) for name in ("libopenvino.so.*", "libtbb.so.*") for one in (package / "libs").glob(name)]
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        write_sources(Path(scratch))
        made = Path(scratch) / LIBRARY
        _run(
            [
                *(_compiler() or ()),
                *_FLAGS,
                "-isystem",
                str(package / "include"),
                str(Path(scratch) / SOURCES[0]),
                "-o",
                str(made),
                *libraries,
            ]
        )
        made.replace(target)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr[-200:])
        raise DeviceError(
            f"the compiler '{command[0]}' cannot build the native operator: {said.strip()}",
            remedy="name another in the variable CXX, or leave 'native_operators' out of the recipe",
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(
            f"the compiler '{command[0]}' cannot be run: {error}", remedy="name another in the variable CXX"
        ) from error
    return done.stdout
