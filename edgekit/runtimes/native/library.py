"""A library of one runtime's native operators, built from C++ where the machine has a compiler.

It is built from the sources in this package, for this processor and the runtime installed, and kept in the user's
cache. None that travels with an artifact is ever loaded. Standard library only.
"""

from __future__ import annotations

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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgekit.errors import DeviceError, MissingError

_FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-fvisibility=hidden")
_COMPILERS = ("c++", "g++", "clang++")
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Library:
    """What is built, and of what.

    Attributes:
        runtime: its name, as people know it.
        package: what of it must be installed; its extra is called likewise.
        sources: files of this package: the one that is compiled first, then what it includes.
        headers: the runtime's, a folder within its package; empty where the sources need none.
        links: patterns of the runtime's own libraries, within its package.
    """

    runtime: str
    package: str
    sources: tuple[str, ...]
    headers: str = ""
    links: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Its name."""
        return f"libedgekit_{self.package}.so"

    def missing(self) -> str | None:
        """Why it cannot be built here, with the remedy; none when it can."""
        if sys.platform != "linux":
            return "edgekit's native operators are built on Linux only"
        if importlib.util.find_spec(self.package) is None:
            return f"{self.runtime} is not installed: pip install 'edgekit[{self.package}]'"
        if _compiler() is None:
            return "no C++ compiler is here: install g++, or name one in the variable CXX"
        return None

    def path(self) -> Path:
        """Where it lies, built if it is not in the cache.

        Raises:
            MissingError: there is no compiler, or no such runtime.
            DeviceError: the compiler fails, or the cache cannot be written.
        """
        reason = self.missing()
        if reason is not None:
            raise MissingError(reason)
        kept = _home() / f"native-{_digest(self)[:32]}" / self.file
        if not kept.is_file():
            try:
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._build(kept)
            except OSError as error:
                raise DeviceError(
                    f"the native operator's library cannot be kept: {error.strerror}",
                    where=str(kept.parent),
                    remedy="set XDG_CACHE_HOME to a folder that can be written",
                ) from error
        return kept

    def write_sources(self, folder: Path) -> tuple[str, ...]:
        """Lay the sources into ``folder``, for who runs the file without edgekit.

        Returns:
            Their names.
        """
        for name in self.sources:
            (folder / name).write_bytes(_source(name))
        return self.sources

    def command(self) -> str:
        """What builds it from the sources of an artifact, to be run in its folder."""
        package = f'$(python -c "import {self.package}, os; print(os.path.dirname({self.package}.__file__))")'
        links = [f"{package}/{pattern}" for pattern in self.links]
        return " ".join(["g++", *self._arguments(package, self.sources[0], self.file, links)])

    def _build(self, target: Path) -> None:
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        links = [str(one) for pattern in self.links for one in package.glob(pattern)]
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            self.write_sources(Path(scratch))
            source, made = Path(scratch) / self.sources[0], Path(scratch) / self.file
            _run([*(_compiler() or ()), *self._arguments(str(package), str(source), str(made), links)])
            made.replace(target)

    def _arguments(self, package: str, source: str, made: str, links: Sequence[str]) -> list[str]:
        headers = ["-isystem", f"{package}/{self.headers}"] if self.headers else []
        return [*_FLAGS, *headers, source, "-o", made, *links]


def _compiler() -> list[str] | None:
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named) or None
    return next(([found] for one in _COMPILERS if (found := shutil.which(one))), None)


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"


def _source(name: str) -> bytes:
    # Through the package: on a device it lies in a zip file.
    return (importlib.resources.files(__package__) / name).read_bytes()


@cache
def _digest(library: Library) -> str:
    """Of everything that it depends on; the compiler's macros say for which processor it builds."""
    parts = [_source(name) for name in library.sources]
    parts += [" ".join(_FLAGS).encode(), importlib.metadata.version(library.package).encode()]
    parts.append(_run([*(_compiler() or ()), "-march=native", "-dM", "-E", "-x", "c++", os.devnull]).encode())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


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
