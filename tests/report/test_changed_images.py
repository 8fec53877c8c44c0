"""Changed predictions, their contact sheet and exemplars, as the reports show them from the record alone."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit import thumbnails
from edgekit.data.base import Preprocessing
from edgekit.data.prepared import Prepared
from edgekit.record import Changed, ChangedImage, Exemplars, Predictions, Record, dumps, read
from edgekit.report import changed_images, html, markdown
from edgekit.report.plots import changed
from edgekit.store import write_text


@pytest.fixture
def moved(record: Record) -> Record:
    """Of 200 images (120, 70 and 10 of the classes) the artifact loses four, three of them of the rare class."""
    labels = record.labels
    after = list(labels)
    for place in (0, 190, 191, 192):
        after[place] = 1
    predictions = (
        Predictions(artifact="source", predicted=labels, confidence=(0.9,) * 200),
        Predictions(artifact="cpu-int8", predicted=tuple(after), confidence=(0.9,) * 200),
    )
    images = tuple(
        ChangedImage(
            image=place, id=f"scan {place}.png", before=labels[place], after=1, true_before=0.9, true_after=p
        )
        for place, p in ((191, 0.1), (190, 0.2), (0, 0.3), (192, 0.4))
    )
    sexes = tuple("f" if place >= 150 else "m" for place in range(200))
    return record.model_copy(
        update={
            "predictions": predictions,
            "changed": (Changed(artifact="cpu-int8", count=4, images=images),),
            "subgroups": {"sex": sexes},
        }
    )


def test_the_worst_are_named_and_where_they_are_common(moved: Record) -> None:
    text = changed_images.worst(moved, ["cpu-int8"], "none").text
    assert text.startswith("cpu-int8: greatest loss: scan 191.png (rare_lesion 0.90 → 0.10, now adenoma); scan 190")
    assert "scan 192.png" not in text
    # 3 of 10 against 1 of 190, and 3 of 50 against 1 of 150.
    assert "class: rare_lesion 3 of 10 (57 times), healthy 1 of 120 (0.22 times)" in text
    assert "sex: f 3 of 50 (9 times), m 1 of 150 (0.11 times)" in text


def test_a_table_of_them_is_in_the_checklist_and_on_the_page(moved: Record) -> None:
    text = markdown.render(moved, {})
    assert "### Changed predictions\n" in text
    assert "| scan 191.png | cpu-int8 | rare_lesion | rare_lesion | adenoma | 0.900 → 0.100 |" in text
    assert "cpu-int8: 4 of 4 changed predictions" in text
    assert "scan 191.png" in html.render(moved, {})


def test_without_changes_and_without_a_list(record: Record) -> None:
    none = record.model_copy(update={"changed": (Changed(artifact="cpu-int8", count=0, images=()),)})
    assert changed_images.worst(none, ["cpu-int8"], "why").text == "cpu-int8: none"
    assert changed_images.worst(record, ["cpu-int8"], "why").reason == "not measured: why"


def test_exemplars_need_a_population(moved: Record) -> None:
    assert "a study with several 'seeds'" in changed_images.exemplars(moved, ["cpu-int8"]).text
    found = (
        Exemplars(artifact="cpu-int8", definition="hooker", seeds=(0, 1, 2), images=(190, 191)),
        Exemplars(artifact="cpu-int8", definition="holste", seeds=(0, 1, 2), not_found_reason="2 classes"),
    )
    text = changed_images.exemplars(moved.model_copy(update={"exemplars": found}), ["cpu-int8"]).text
    assert "cpu-int8, modal label differs (Hooker 2019), 3 seeds: 2 of 200 images" in text
    assert "rare_lesion 2 of 10" in text
    assert "lowest rank correlation (Holste 2023), 3 seeds: not found: 2 classes" in text


def _prepared(folder: Path, pixels: NDArray[Any]) -> Prepared:
    np.save(folder / "test_images.npy", pixels)
    spec = Preprocessing(size=(40, 80), channels=1, mean=(0.5,), std=(0.5,)).model_dump(mode="json")
    return Prepared(folder, {"classes": ["a", "b"], "preprocessing": spec, "splits": {}})


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_contact_sheet_comes_from_the_record_alone(moved: Record, tmp_path: Path, dtype: type) -> None:
    pixels: NDArray[Any] = np.random.default_rng(0).integers(0, 255, (200, 40, 80, 1)).astype(dtype)
    held = thumbnails.of(moved.changed, _prepared(tmp_path, pixels), 2)
    assert sorted(held) == ["190", "191"]
    assert thumbnails.of(moved.changed, _prepared(tmp_path, pixels), 0) == {}
    assert all(len(text) < 8000 for text in held.values())
    write_text(tmp_path / "record.json", dumps(moved.model_copy(update={"thumbnails": held})))
    loaded = read(tmp_path)
    figure = changed.draw(loaded)
    assert figure is not None
    shown = [axis for part in figure.subfigs for axis in part.axes if axis.images]
    assert len(shown) == 2
    assert np.asarray(shown[0].images[0].get_array()).shape == (32, 64, 3)
    assert "scan 191.png" in shown[0].get_title()
    assert "0.90 → 0.10" in shown[0].get_title()


def test_what_is_no_small_picture_is_not_drawn(moved: Record) -> None:
    assert changed.draw(moved) is None
    huge = Image.new("L", (3000, 3000))
    file = io.BytesIO()
    huge.save(file, "PNG")
    for text in ("not base64!", base64.b64encode(b"GIF89a").decode(), base64.b64encode(file.getvalue()).decode()):
        assert changed.draw(moved.model_copy(update={"thumbnails": {"191": text}})) is None
