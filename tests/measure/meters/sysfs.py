"""Writes files below a recorded tree of ``/sys`` and ``/proc``."""

from __future__ import annotations

from pathlib import Path


def write(root: Path, files: dict[str, object]) -> Path:
    """Each path below ``root`` with its value and a newline, as the kernel ends them."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root
