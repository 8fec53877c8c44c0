from __future__ import annotations

import pytest

from edgekit.report import figures
from edgekit.report.figures import Shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5.1789, "5.18"),
        (42.345, "42.3"),
        (832.4, "832"),
        (12345.6, "12346"),
        (0.01234, "0.0123"),
        (0.00012, "0.000120"),
        (0.000012, "1.20e-05"),
        (0.0, "0"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, shown: str) -> None:
    assert figures.number(value) == shown


def test_bounds_have_the_decimals_of_their_value_and_the_unit_stands_once() -> None:
    shown = figures.figure(5.178, 5.1, 5.2049, " ms")
    assert shown.value == "5.18 ms (5.10 to 5.20)"
    assert shown.short == "5.18"
    assert figures.figure(0.8712, 0.85, 0.89, places=3).value == "0.871 (0.850 to 0.890)"


def test_an_interval_that_does_not_exist_is_left_out() -> None:
    assert figures.figure(5.178, None, 6.0, " ms").value == "5.18 ms"


def test_units() -> None:
    assert figures.milliseconds(0.00518) == "5.18 ms"
    assert figures.megabytes(2_210_000) == "2.21 MB"
    assert figures.large(1_051_000_000, "MAC") == "1.05 GMAC"
    assert figures.large(2_080_000, "") == "2.08 M"
    assert figures.large(12, "MAC") == "12 MAC"
    assert figures.runtime("onnxruntime") == "ONNX Runtime"
    assert figures.runtime("some_other") == "some_other"


def test_a_reason_says_how_the_figure_is_missing() -> None:
    assert figures.not_measured("no meter").text == "not measured: no meter"
    assert figures.not_recorded("old record").text == "not recorded: old record"
    assert figures.does_not_apply("float only").text == "does not apply: float only"


@pytest.mark.parametrize(
    "fields", [{}, {"value": " "}, {"value": "1", "why": "x"}, {"why": ""}], ids=["none", "blank", "both", "empty"]
)
def test_nothing_blank_can_be_shown(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of 'value' and 'why' must hold text"):
        Shown(**fields)
