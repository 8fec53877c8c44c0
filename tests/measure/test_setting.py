"""Cores and governor as a target asks for them, on recorded trees and in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.measure import process
from edgekit.measure.setting import applied


def tree(root: Path, governor: str = "powersave") -> list[Path]:
    """The governor's file of each core of this process."""
    files = [root / f"cpu{core}" / "cpufreq" / "scaling_governor" for core in process.affinity()]
    for path in files:
        path.parent.mkdir(parents=True)
        path.write_text(f"{governor}\n")
        path.with_name("scaling_available_governors").write_text("performance powersave\n")
    return files


def test_the_governor_is_set_and_put_back(tmp_path: Path) -> None:
    files = tree(tmp_path)
    with applied(None, "performance", tmp_path) as refused:
        assert refused == {}
        assert {path.read_text() for path in files} == {"performance"}
    assert {path.read_text() for path in files} == {"powersave"}


def test_nothing_is_written_where_it_is_set_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "performance")
    monkeypatch.setattr(Path, "write_text", None)
    with applied(None, "performance", tmp_path) as refused:
        assert refused == {}


def test_why_a_governor_could_not_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with applied(None, "performance", tmp_path) as refused:
        assert "shows no cpufreq" in refused["governor"]
    tree(tmp_path)
    write = Path.write_text

    def raising(error: OSError) -> None:
        def denied(self: Path, text: str, encoding: str | None = None) -> int:
            if self.name == "scaling_governor":
                raise error
            return write(self, text, encoding)

        monkeypatch.setattr(Path, "write_text", denied)

    raising(PermissionError(13, "Permission denied"))
    with applied(None, "performance", tmp_path) as refused:
        assert "let an administrator run: cpupower frequency-set -g performance" in refused["governor"]
    raising(OSError(22, "Invalid argument"))
    with applied(None, "turbo", tmp_path) as refused:
        assert "does not take 'turbo' (Invalid argument); it takes: performance powersave" in refused["governor"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_a_process_is_bound() -> None:
    before = process.affinity()
    try:
        with applied(before[:1], None) as refused:
            assert refused == {}
            assert process.affinity() == before[:1]
    finally:
        os.sched_setaffinity(0, before)
    with applied((before[0], 4096), None) as refused:
        assert refused["cores"].startswith("the process may not use core 4096; it ran on ")
        assert process.affinity() == before
