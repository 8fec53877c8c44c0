"""The timing loop on the null runtime, and on recorded samples that it replays."""

from __future__ import annotations

import gc
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from edgekit import runtimes
from edgekit.errors import InputError, UnsupportedError
from edgekit.evaluate.statistics import quantile
from edgekit.measure import timing
from edgekit.runtimes.null import Null, NullSession

BATCHES = [np.full((1, 1, 2, 2), value, np.float32) for value in range(3)]


def test_the_null_runtime_is_one_of_the_runtimes_and_exports_nothing(tmp_path: Path) -> None:
    null = runtimes.get("null")
    assert isinstance(null, Null)
    with pytest.raises(UnsupportedError, match="computes nothing"):
        null.export(None, None, "fp32", tmp_path)  # type: ignore[arg-type]
    assert null.cannot_run(None) is None  # type: ignore[arg-type]
    assert "computes nothing" in str(null.cannot_export(None))  # type: ignore[arg-type]
    (tmp_path / "samples.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"samples\.json: is no JSON list of seconds"):
        null.load(tmp_path / "samples.json", None, "fp32")  # type: ignore[arg-type]


def test_harness_cost_is_told() -> None:
    cost_s = timing.harness_s(BATCHES)
    print(f"the harness adds {cost_s * 1e6:.2f} us to a run (p50)")
    assert cost_s > 0


def test_images_are_taken_in_turn_in_blocks_and_in_the_same_memory() -> None:
    seen: list[tuple[float, int]] = []

    def run(batch: NDArray[np.float32]) -> None:
        seen.append((float(batch.flat[0]), batch.ctypes.data))

    found = timing.timed(run, BATCHES, warmup=2, runs=2 * timing.BLOCK + 2)
    whole = timing.BLOCK + 1  # one of each block is not timed
    assert [value for value, _ in seen] == [0, 1] + [2] * whole + [0] * whole + [1] * 3
    assert len({place for _, place in seen}) == 1
    assert len(found.samples_s) == 2 * timing.BLOCK + 2
    assert sum(found.samples_s) <= found.wall_s


def test_what_others_do_meanwhile_is_in_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def run(batch: NDArray[np.float32]) -> None:
        told.append("run")
        time.sleep(0.001)

    def over() -> None:
        told.append("over")
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass

    monkeypatch.setattr(timing, "AWAKE_S", 0.005)
    monkeypatch.setattr(timing, "TURN_S", 0.0)
    runs = 2 * timing.BLOCK
    found = timing.timed(run, BATCHES, 2, runs, over)
    assert found.cpu_s < 0.3
    assert found.wall_s < sum(found.samples_s) + 0.3
    parts = [list(part) for split, part in itertools.groupby(told, lambda one: one == "over") if not split]
    assert [one for one in told if one == "over"] == ["over"] * 2
    assert len(parts[0]) == 2
    # Untimed ones that wake the threads, one untimed with the next image, the block.
    assert all(len(part) > timing.BLOCK + 1 for part in parts[1:])
    monkeypatch.setattr(timing, "TURN_S", 60.0)
    told.clear()
    timing.timed(run, BATCHES, 2, runs, over)
    assert told.count("over") == 1


def test_the_input_begins_with_a_cache_line_however_it_was_given() -> None:
    given = np.arange(5, dtype=np.float32)[1:].reshape(1, 1, 2, 2)
    seen: list[tuple[int, list[float]]] = []
    timing.timed(lambda batch: seen.append((batch.ctypes.data % 64, batch.ravel().tolist())), [given], 1, 2)
    assert seen == [(0, [1.0, 2.0, 3.0, 4.0])] * len(seen)
    assert seen


def test_collection_is_allowed_again_after_a_run_that_fails() -> None:
    def run(batch: NDArray[np.float32]) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        timing.timed(run, BATCHES, 1, 2)
    assert gc.isenabled()


def test_replayed_samples_come_back(tmp_path: Path) -> None:
    # As long as a block with its untimed run, so that each timed run has a place of its own in the recording.
    recorded = np.random.default_rng(0).gamma(2.0, 2e-4, timing.BLOCK + 1)
    path = tmp_path / "samples.json"
    path.write_text(json.dumps(list(recorded)))
    session = Null().load(path, None, "fp32")  # type: ignore[arg-type]
    found = np.array(timing.timed(session.run, BATCHES, recorded.size, 3 * timing.BLOCK).samples_s)
    # A run never ends before its recorded time.
    wanted = np.tile(recorded[1:], 3)
    assert (found >= wanted).all()
    assert stats.spearmanr(found, wanted).statistic > 0.5
    # The statistics are those of numpy and scipy.
    got = quantile(found, 0.5)
    assert got.value == np.median(found)
    ends = np.asarray(stats.quantile_test(found, q=0, p=0.5).confidence_interval(0.95))
    assert [got.low, got.high] == list(ends)


def test_a_session_without_samples_takes_no_time_and_answers() -> None:
    session = NullSession()
    assert session.run(BATCHES[0]).shape == (1, 2)
    assert session.executed().precision == "unknown"
