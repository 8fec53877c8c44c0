"""edgekit in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """``edgekit ARGUMENTS`` in ``folder``, with one thread and in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> str:
    """What a command printed that must succeed."""
    process = start(folder, *arguments)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    return said


def read_record(run: Path) -> dict[str, Any]:
    """The record of a run's folder, as plain data."""
    found: dict[str, Any] = json.loads((run / "record.json").read_text(encoding="utf-8"))
    return found
