"""What the harness relies on: inputs that are written to the same place, and sessions beside one another."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import numpy as np
import pytest

from edgekit import runtimes
from edgekit.target import RuntimeName, Target
from tests.networks import images, small_model

MODULES: dict[RuntimeName, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "litert_torch",
}


@pytest.mark.parametrize("name", list(MODULES))
def test_an_array_that_is_written_anew_is_read_anew_and_streams_answer_alike(
    name: RuntimeName, tmp_path: Path
) -> None:
    if importlib.util.find_spec(MODULES[name]) is None:
        pytest.skip(f"{MODULES[name]} is not installed")
    runtime = runtimes.get(name)
    target = Target(
        schema_version=1, name="test", description="", runtime=name, device="CPU", precisions=("fp32",), threads=1
    )
    path = runtime.export(small_model(), target, "fp32", tmp_path).path
    session = runtime.load(path, target, "fp32")
    given = images().numpy()
    apart = [session.run(one[None].copy()) for one in given[:3]]
    place = np.empty_like(given[:1])
    for one, wanted in zip(given[:3], apart, strict=True):
        np.copyto(place, one[None])
        np.testing.assert_array_equal(session.run(place), wanted)
    # A strided view is no memory that a runtime could read; the array after it is bound again.
    np.testing.assert_array_equal(session.run(np.asfortranarray(given[:1])), apart[0])
    np.testing.assert_array_equal(session.run(place), apart[2])
    assert not np.array_equal(apart[0], apart[1])

    beside = runtime.streams(path, target, "fp32", 2)
    answers: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}

    def stream(index: int) -> None:
        for _ in range(20):
            answers[index] = beside[index].run(given[index : index + 1])

    threads = [threading.Thread(target=stream, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        np.testing.assert_allclose(answers[index], apart[index], rtol=1e-5, atol=1e-6)
