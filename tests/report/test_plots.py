from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from edgekit.record import Record
from edgekit.report import plots
from edgekit.report.plots import latency, reliability, score_latency, sensitivity, size_latency, style
from edgekit.report.plots.against_latency import pareto
from tests.report.conftest import NOT_ASKED

if TYPE_CHECKING:
    from tests.report.conftest import Maker


def test_the_same_record_gives_the_same_bytes(record: Record, tmp_path: Path) -> None:
    first, second = plots.write(record, tmp_path / "a"), plots.write(record, tmp_path / "b")
    assert list(first) == [title for name, (title, _) in plots.PICTURES.items() if name not in NOT_ASKED]
    for title, path in first.items():
        assert path.read_bytes() == second[title].read_bytes()
        with Image.open(path) as image:
            assert min(image.size) > 400
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_a_picture_that_the_record_does_not_allow_is_removed(make: Maker, tmp_path: Path) -> None:
    plots.write(make(), tmp_path)
    written = plots.write(make(untrained=True), tmp_path)
    names = ["latency.png", "sensitivity.png", "size_latency.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert sorted(path.name for path in written.values()) == names


def test_nothing_is_drawn_of_a_run_without_figures(record: Record, tmp_path: Path) -> None:
    bare = record.model_copy(update={"measurements": (), "predictions": (), "stages": ()})
    assert plots.write(bare, tmp_path / "pictures") == {}
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    "samples", [(0.005,), (0.005,) * 9, (0.001, 0.002, 0.5)], ids=["one", "equal", "long tail"]
)
def test_any_samples_can_be_drawn(record: Record, tmp_path: Path, samples: tuple[float, ...]) -> None:
    changed = [m.model_copy(update={"samples": samples}) if m.samples else m for m in record.measurements]
    written = plots.write(record.model_copy(update={"measurements": tuple(changed)}), tmp_path)
    assert "Latency of every timed run" in written


def test_every_sample_is_in_the_histogram(record: Record) -> None:
    with style.quiet():
        figure = latency.draw(record)
    assert figure is not None
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == 8
    for axis in panels:
        counts = axis.patches[0].get_data().values  # type: ignore[attr-defined]
        assert counts.sum() == 600
        assert "n = 600" in axis.get_title(loc="left")


def test_the_reliability_panels_are_the_source_and_the_recommended(record: Record) -> None:
    with style.quiet():
        figure = reliability.draw(record)
    assert figure is not None
    titles = [axis.get_title().split("\n")[0] for axis in figure.axes if axis.get_title()]
    assert titles == ["source", "cpu-int8", "intel-cpu-int8", "android-fp32"]


def test_names_in_the_scatter_do_not_overlap(record: Record) -> None:
    with style.quiet():
        figure = size_latency.draw(record)
        assert figure is not None
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        from matplotlib.text import Text

        texts = [t for t in figure.axes[0].texts if t.get_text()]
        boxes = [Text.get_window_extent(t, renderer) for t in texts]
    assert len(texts) == 8
    for index, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:index]), texts[index].get_text()


def test_the_figure_is_set_against_latency_with_its_interval(record: Record) -> None:
    rows = [
        row.model_copy(update={"samples": (0.5,), "interval": (0.4, 0.6)})
        if (row.artifact, row.metric) == ("intel-cpu-int8", "balanced_accuracy")
        else row
        for row in record.measurements
    ]
    with style.quiet():
        figure = score_latency.draw(record.model_copy(update={"measurements": tuple(rows)}))
    assert figure is not None
    axis = figure.axes[0]
    assert "balanced accuracy" in axis.get_ylabel()
    lines = [np.asarray(line.get_xydata()) for line in axis.lines]
    bars = [line[:, 1].tolist() for line in lines if len(line) == 2 and line[0, 0] == line[1, 0]]
    assert [0.4, 0.6] in bars
    assert len(bars) == 8
    # The fastest is now the worst, and stands on the front all the same: nothing beats it in both.
    front = max(lines, key=lambda line: len(line) if line[0, 0] != line[-1, 0] else 0)
    assert front[0, 1] == 0.5
    assert front[:, 1].tolist() == sorted(front[:, 1])


def test_names_with_markup_formulas_and_foreign_letters_are_drawn_as_they_are(
    record: Record, tmp_path: Path
) -> None:
    odd = "_$x^{$ \u75c5\n" + "w" * 99
    artifacts = tuple(a.model_copy(update={"name": odd + a.name}) for a in record.artifacts)
    measurements = tuple(m.model_copy(update={"artifact": odd + m.artifact}) for m in record.measurements)
    one = record.model_copy(update={"artifacts": artifacts, "measurements": measurements})
    assert "latency.png" in {path.name for path in plots.write(one, tmp_path).values()}


def test_a_run_with_nothing_accepted_has_no_front(record: Record, tmp_path: Path) -> None:
    artifacts = tuple(a.model_copy(update={"status": "rejected", "reason": "why"}) for a in record.artifacts)
    written = plots.write(record.model_copy(update={"artifacts": artifacts}), tmp_path)
    assert "Size against latency" in written


def test_the_front_holds_what_nothing_else_beats_in_both() -> None:
    points = {"a": (1.0, 5.0), "b": (2.0, 3.0), "c": (3.0, 4.0), "d": (4.0, 1.0), "e": (1.0, 6.0)}
    assert pareto(points) == ["a", "b", "d"]
    assert pareto({}) == []


def test_the_worst_layer_is_on_top_and_marked_where_it_stays_in_float(record: Record) -> None:
    with style.quiet():
        figure = sensitivity.draw(record)
    assert figure is not None
    axis = figure.axes[0]
    labels = [one.get_text() for one in axis.get_yticklabels()]
    assert labels == ["head", *(f"stage.{index}" for index in range(10, -1, -1))]
    bars = axis.patches
    ends = [one.get_x() + one.get_width() for one in bars]  # type: ignore[attr-defined]
    assert ends[:2] == pytest.approx([0.22, 0.20])
    assert [bool(one.get_hatch()) for one in bars] == [True] + [False] * 11


@pytest.mark.parametrize("harm", [0.0, None, "much"])
def test_any_analysis_can_be_drawn(record: Record, tmp_path: Path, harm: object) -> None:
    rows = [{"layer": "a", "kl": harm}, {"layer": "_$x^{$", "kl": 0.5, "kept_float": True}, "no row"]
    changes = {"sensitivity": {"layers": rows}}
    stage = record.stages[-1].model_copy(update={"changes": changes})
    written = plots.write(record.model_copy(update={"stages": (stage,)}), tmp_path)
    assert "sensitivity.png" in {path.name for path in written.values()}
