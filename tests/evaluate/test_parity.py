"""Differences between logits, and what cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.evaluate.parity import compare


def test_differences_and_agreement() -> None:
    source = np.array([[1.0, -4.0], [2.0, 1.9], [0.0, 3.0], [1.0, 0.0]])
    artifact = source.copy()
    artifact[1] = [1.8, 1.9]
    result = compare(source, artifact)
    assert result.max_abs == pytest.approx(0.2)
    assert result.relative == pytest.approx(0.05)
    assert (result.argmax_agreement, result.images, result.problem) == (0.75, 4, None)


def test_equal_logits_name_the_first_class() -> None:
    # The source prefers class 1, the artifact's rounding makes both equal: class 0, a disagreement.
    assert compare([[1.0, 1.01]], [[1.0, 1.0]]).argmax_agreement == 0.0


def test_float32_is_compared_in_float64() -> None:
    source = np.array([[1e8, 0.0]], dtype=np.float32)
    artifact = np.array([[1e8, 1e-3]], dtype=np.float32)
    assert compare(source, artifact).max_abs == pytest.approx(1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_artifact_that_is_not_finite_has_a_problem_and_no_figures(bad: float) -> None:
    artifact = np.ones((3, 2))
    artifact[2, 0] = bad
    result = compare(np.ones((3, 2)), artifact)
    assert (result.max_abs, result.relative, result.argmax_agreement) == (None, None, None)
    assert result.problem == "the artifact's logits are not finite (NaN or infinite) for 1 of 3 images"


def test_other_shape_and_zero_source() -> None:
    assert "are [3, 4], the source's [3, 2]" in str(compare(np.ones((3, 2)), np.ones((3, 4))).problem)
    assert "nothing can be compared" in str(compare(np.zeros((3, 2)), np.ones((3, 2))).problem)


def test_a_bad_source_is_an_error() -> None:
    with pytest.raises(InputError, match="source's logits are not finite for 1 of 2 images"):
        compare([[1.0, 2.0], [np.nan, 0.0]], np.ones((2, 2)))
    with pytest.raises(InputError, match=r"must be \[images, classes\]"):
        compare(np.zeros((0, 2)), np.zeros((0, 2)))
