"""The artifact to use on each target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgekit import record
from edgekit.choose import recommend, undecided
from edgekit.outputs import exit_code
from edgekit.record import Artifact, Measurement, Record, Status


def _artifact(name: str, precision: str, status: Status = "accepted", alternative: bool = False) -> Artifact:
    return Artifact(
        name=name,
        target="cpu",
        runtime="onnxruntime",
        precision_requested=precision,
        precision_executed=precision,
        path="model.onnx",
        sha256="0",
        size_bytes=1,
        status=status,
        alternative=alternative,
    )


def _times(name: str, milliseconds: float, seed: int) -> list[Measurement]:
    return _rounds(name, [milliseconds] * 3, spread=0.05, seed=seed)


def _rounds(name: str, milliseconds: Sequence[float], spread: float = 0.002, seed: int = 0) -> list[Measurement]:
    """One process for each figure, around which its samples lie."""
    generator = np.random.default_rng(seed)
    return [
        Measurement(
            artifact=name,
            metric="latency_s",
            unit="s",
            samples=tuple(one * 1e-3 * generator.normal(1.0, spread, 100)),
            method="made up",
        )
        for one in milliseconds
    ]


def _chosen(artifacts: Sequence[Artifact], milliseconds: dict[str, float]) -> dict[str, Artifact]:
    rows = [row for seed, (name, ms) in enumerate(milliseconds.items()) for row in _times(name, ms, seed)]
    return {one.name: one for one in recommend(artifacts, rows)}


def test_the_fastest_that_passed_wins_and_the_others_say_why_they_lost() -> None:
    found = _chosen(
        [
            _artifact("fp32", "fp32"),
            _artifact("bf16", "bf16"),
            _artifact("int8", "int8"),
            _artifact("int8-own", "int8", "rejected"),
            _artifact("int8-other", "int8"),
        ],
        {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int8-own": 0.5},
    )
    assert [name for name, one in found.items() if one.recommended] == ["int8"]
    assert found["int8-own"].advice == "not recommended: rejected"
    assert found["int8-other"].advice == "not recommended: not measured in the same session"
    said = found["bf16"].advice or ""
    ratio, low, high = (float(word.strip("(),")) for word in np.array(said.split())[[2, 3, 5]])
    assert low < ratio < high
    assert ratio == pytest.approx(2.0, rel=0.05)
    assert said.endswith("times slower than int8")


def test_a_tie_goes_to_the_more_precise() -> None:
    found = _chosen(
        [_artifact("int8", "int8"), _artifact("bf16", "bf16"), _artifact("fp32", "fp32")],
        {"int8": 1.0, "bf16": 1.0, "fp32": 1.3},
    )
    assert found["bf16"].recommended
    assert (
        found["int8"].advice
        == "not recommended: as fast as bf16 within the noise (0.98 to 1.02 times), and less precise"
    )


@pytest.mark.parametrize(("other", "wins"), [(0.99, "int8-own"), (1.01, "int8")])
def test_among_equals_in_precision_the_lower_p50_is_enough(other: float, wins: str) -> None:
    rows = _times("fp32", 4.0, 0) + _times("int8", 1.0, 1) + _times("int8-own", other, 1)
    found = recommend([_artifact("fp32", "fp32"), _artifact("int8", "int8"), _artifact("int8-own", "int8")], rows)
    assert [one.name for one in found if one.recommended] == [wins]
    lost = next(one for one in found if one.precision_requested == "int8" and not one.recommended)
    assert (lost.advice or "").startswith("not recommended: ")
    assert "less precise" not in (lost.advice or "")


_OF: dict[str, Status] = {"asked": "accepted", "beside": "accepted"}


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (_OF, 0),
        (_OF | {"beside": "rejected"}, 0),
        (_OF | {"beside": "failed"}, 0),
        (_OF | {"beside": "not exported"}, 0),
        (_OF | {"asked": "rejected"}, 0),
        (_OF | {"asked": "not exported"}, 0),
        (_OF | {"asked": "failed"}, 5),
        ({"asked": "rejected", "beside": "rejected"}, 3),
    ],
)
def test_the_exit_code_is_about_what_the_recipe_asks_for(statuses: dict[str, Status], code: int) -> None:
    made = Record(
        edgekit_version="0",
        git_commit=None,
        git_dirty=None,
        created_utc="",
        command="",
        recipe={"name": "x"},
        recipe_sha256="",
        data={},
        machine={},
        artifacts=(
            _artifact(record.SOURCE, "fp32").model_copy(update={"target": "pytorch", "runtime": "torch_eager"}),
            _artifact("asked", "int8", statuses["asked"]),
            _artifact("beside", "int8", statuses["beside"], alternative=True),
        ),
    )
    assert exit_code(made) == code


def test_what_the_noise_allows_to_be_faster_is_measured_more() -> None:
    artifacts = [
        _artifact("fp32", "fp32"),
        _artifact("bf16", "bf16"),
        _artifact("int8", "int8"),
        _artifact("int8-own", "int8", "rejected"),
        _artifact("int8-level", "int8"),
    ]
    noisy = [
        *_rounds("fp32", [8.0, 8.1, 8.2]),
        *_rounds("bf16", [5.0, 5.1, 5.0]),
        *_rounds("int8", [3.6, 5.9, 4.0]),
        *_rounds("int8-own", [1.0, 9.0, 1.0]),
        *_rounds("int8-level", [5.01, 5.09, 5.02]),
    ]
    # The rejected one cannot be chosen, and a file that is level with the best would win nothing.
    assert undecided(artifacts, noisy) == {"bf16", "int8"}
    more = [
        *_rounds("bf16", [5.0, 5.1, 5.0, 5.0, 5.2, 5.1]),
        *_rounds("int8", [3.6, 5.9, 4.0, 3.7, 3.7, 3.6]),
    ]
    assert undecided(artifacts, [*noisy[:3], *more]) == set()
    assert [one.name for one in recommend(artifacts, [*noisy[:3], *more]) if one.recommended] == ["int8"]


def test_each_target_is_decided_by_itself() -> None:
    artifacts = [_artifact("bf16", "bf16"), _artifact("int8", "int8")]
    artifacts += [one.model_copy(update={"name": f"tv-{one.name}", "target": "tv"}) for one in artifacts]
    rows = [*_rounds("bf16", [5.0] * 3), *_rounds("int8", [4.0, 6.0, 4.0])]
    rows += [*_rounds("tv-bf16", [5.0] * 3), *_rounds("tv-int8", [2.0] * 3)]
    assert undecided(artifacts, rows) == {"bf16", "int8"}
