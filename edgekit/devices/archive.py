"""The runner: the measuring code as one file, ``python3 runner.pyz REQUEST.json RESULT.json``.

It holds exactly the modules that measure on this machine too: the entry, the runtimes, and whatever of edgekit they
import when they are loaded. The device needs Python, numpy and the runtime.
"""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
import threading
import zipapp
from pathlib import Path

from edgekit.errors import MissingError
from edgekit.store import PACKAGE

ENTRY = "edgekit.measure.runner"
#: Where the closure begins: the last two are imported by functions, once it is known that numpy is there.
_ROOTS = (ENTRY, "edgekit.measure.worker", "edgekit.runtimes")
#: Devices are served by threads, and Python 3.11 cannot build syntax trees in two of them (python/cpython#106905).
_PARSING = threading.Lock()
#: The oldest Python that the modules run on: what Ubuntu 22.04, and so Jetson's JetPack 6, brings.
LEAST_PYTHON = (3, 10)
_MAIN = """\
import sys

if sys.version_info < {least}:
    sys.stderr.write("Python {wanted} or newer is needed, this is " + sys.version.split()[0] + "\\n")
    sys.exit({missing})

from {entry} import main

sys.exit(main(sys.argv[1:]))
"""


def modules() -> dict[str, Path]:
    """The edgekit modules of the runner: their files by dotted name."""
    found: dict[str, Path] = {}
    open_ = [*_ROOTS]
    while open_:
        name = open_.pop()
        path = None if name in found else _file(name)
        if path is not None:
            found[name] = path
            with _PARSING:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            open_ += _imported(tree)
            open_ += [name.rpartition(".")[0]] if "." in name else []
    return found


def build(path: Path) -> None:
    """Write the runner to ``path``; the same code gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="edgekit-runner-") as folder:
        for file in modules().values():
            copy = Path(folder) / file.relative_to(PACKAGE.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            # C++ of operators that are built where they run.
            for source in file.parent.glob("*.[ch]pp"):
                shutil.copyfile(source, copy.parent / source.name)
        wanted = ".".join(map(str, LEAST_PYTHON))
        main = _MAIN.format(least=LEAST_PYTHON, wanted=wanted, entry=ENTRY, missing=MissingError.exit_code)
        (Path(folder) / "__main__.py").write_text(main, encoding="utf-8")
        for one in Path(folder).rglob("*"):
            os.utime(one, (315_532_800, 315_532_800))  # 1980, where the dates of zip files begin
        zipapp.create_archive(folder, path, compressed=True)


def _file(name: str) -> Path | None:
    """The file of the module ``name``, or none where it is something inside a module."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    return next((one for one in (base / "__init__.py", base.with_suffix(".py")) if one.is_file()), None)


def _imported(tree: ast.Module) -> list[str]:
    """edgekit modules that loading the module imports; imports inside functions are those of export."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            names += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return [name for name in names if name.split(".")[0] == "edgekit"]
