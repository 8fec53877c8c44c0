"""Each step of preprocessing is timed, and belongs to the machine on which it was."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.base import Dataset, Preprocessing, Split
from edgekit.measure import preprocessing


def dataset(side: int = 40, count: int = 30) -> tuple[Dataset, list[int]]:
    """Gray images whose decoding takes 2 ms, and the numbers of those that were asked for."""
    asked: list[int] = []

    def image(index: int) -> NDArray[Any]:
        asked.append(index)
        time.sleep(0.002)
        return np.full((side, side), index, np.uint8)

    split = Split(count, image, np.zeros(count, np.int64), tuple(map(str, range(count))))
    return Dataset("made", ("a", "b"), {"test": split}), asked


@pytest.mark.parametrize("spec", [{"size": (16, 16)}, {"size": (16, 16), "fit": "window", "overlap": 0.25}])
def test_steps_of_twenty_images_each_seen_once_before(spec: dict[str, Any]) -> None:
    given, asked = dataset()
    found = preprocessing.times(given, Preprocessing.model_validate(spec))
    assert len(set(asked)) == 20
    assert len(asked) == 40
    row = preprocessing.measurement(found)
    assert row.artifact == "source"
    assert row.samples is not None
    assert len(row.samples) == 20
    for index, total in enumerate(row.samples):
        steps = [row.conditions[f"{step}_s"][index] for step in ("decode", "resize", "normalize")]
        assert total == pytest.approx(sum(steps))
        assert steps[0] >= 0.002
        assert min(steps) > 0


def test_another_machine_s_times_are_no_measurement_here() -> None:
    given, _ = dataset(count=2)
    found = preprocessing.times(given, Preprocessing(size=(16, 16)))
    row = preprocessing.measurement(found | {"machine": "another"})
    assert row.samples is None
    assert "prepared on another machine" in (row.not_measured_reason or "")
