"""What a device may say, and what it may not."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from edgekit.devices import events
from edgekit.errors import DeviceError
from edgekit.measure import answers
from tests.worker_results import worker_result

RESULT = worker_result(clock_mhz_after=800.0)


def test_lines_of_the_device_s_shell_are_no_events() -> None:
    assert events.parse("Welcome to Ubuntu 22.04 LTS", "board") is None
    assert events.parse('{"event": "started", "turn": 3}', "board") == events.Started(event="started", turn=3)


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "explode"}',
        '{"event": "started", "turn": 1, "more": 2}',
        '{"event": "started", "turn": "one"}',
        '{"event": "result", "turn": 0, "seconds": NaN, "result": {}}',
        '{"event": "failed", "turn": 0, "problem": "' + "x" * 5000 + '"}',
        '{"event": "started", "turn": ',
    ],
)
def test_what_it_may_not_say(line: str) -> None:
    with pytest.raises(DeviceError, match="board: the runner said what it may not"):
        events.parse(line, "board")


def test_a_result_survives_the_way() -> None:
    assert answers.worker_result(RESULT.to_json(), 2, "board") == RESULT
    assert answers.kept(json.loads(json.dumps(answers.plain(RESULT)))) == RESULT


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"samples_s": [0.001]}, "gave 1 samples, 2 were asked for"),
        ({"samples_s": [0.001, -0.001]}, "samples that do not fit"),
        ({"samples_s": [0.1, 0.2]}, "samples that do not fit"),
        ({"samples_s": [0.1, float("nan")]}, "samples_s.1: "),
        ({"samples_s": "0.1"}, "samples_s: "),
        ({"threads": "2"}, "threads: "),
        ({"shell": "rm"}, "shell: "),
        ({"energy": {"joules_per_inference": float("inf")}}, "energy.joules_per_inference"),
    ],
)
def test_a_result_that_cannot_be(change: dict[str, object], match: str) -> None:
    with pytest.raises(DeviceError, match=match):
        answers.worker_result(json.dumps(asdict(RESULT) | change), 2, "board")
