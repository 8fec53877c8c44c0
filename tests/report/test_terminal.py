from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from edgekit.record import Record
from edgekit.report import summary_lines, table

if TYPE_CHECKING:
    from tests.report.conftest import Maker


def printed(record: Record, width: int) -> str:
    console = Console(width=width, no_color=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(table(record))
    return capture.get()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_name_and_no_figure_is_cut(record: Record, width: int) -> None:
    text = printed(record, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for one in record.artifacts:
        row = next(line for line in lines if line.startswith((one.name + " ", one.name + "* ")))
        assert f" {one.size_bytes / 1e6:.2f} " in row
        if one.precision_executed:
            assert f" {one.precision_executed} " in row
            accuracy = record.value(one.name, "accuracy")
            assert accuracy is not None
            assert accuracy.samples is not None
            assert f" {accuracy.samples[0]:.3f} " in row
        else:
            assert row.count("n.m.") == 6
    assert "…" not in text


def test_recommended_rows_are_marked(record: Record) -> None:
    text = printed(record, 120)
    marked = {one.name for one in record.artifacts if f"{one.name}* " in text}
    assert marked == {"cpu-int8", "intel-cpu-int8", "android-fp32"}
    assert "*: recommended on its target" in text


def test_the_headings_name_what_the_columns_are(record: Record) -> None:
    head = " ".join(printed(record, 120).split("─")[0].split())
    for word in ("artifact", "runtime", "precision", "executed", "size", "p50", "p90", "speed", "ECE", "status"):
        assert word in head


def test_a_percentile_of_too_few_runs_shows_how_many_it_needs(make: Maker) -> None:
    row = next(line for line in printed(make(runs=20), 120).splitlines() if line.startswith("cpu-int8"))
    assert "n<64" in row


def test_brackets_in_a_name_are_no_markup(record: Record) -> None:
    first = record.artifacts[2].model_copy(update={"name": "[red]x[/red]"})
    assert "[red]x[/red]" in printed(record.model_copy(update={"artifacts": (first,)}), 120)


def test_the_lines_below_say_what_to_use_and_what_went_wrong(make: Maker) -> None:
    lines = summary_lines(make(untrained=True))
    assert lines[0].startswith("warning: the weights are random")
    assert "cpu: use cpu-int8: fastest of its target" in lines
    assert "android-int8: rejected: accuracy dropped by 3.1 points" in lines
    assert "iphone-int8: exported, not run here: Core ML can be run on macOS only" in lines


def test_an_empty_run_can_be_shown(record: Record) -> None:
    bare = record.model_copy(update={"artifacts": (), "measurements": ()})
    assert "artifact" in printed(bare, 80)
    assert summary_lines(bare) == []
