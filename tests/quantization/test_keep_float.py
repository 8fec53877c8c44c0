from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit import runtimes
from edgekit.passes import PassError
from edgekit.quantization import calibration, placement, program
from edgekit.quantization.keep_float import resolve
from edgekit.target import RuntimeName, Target
from tests.networks import images, small_model


def test_words_and_names_are_resolved_in_the_networks_order() -> None:
    graph = program.float_graph(small_model())
    assert resolve(graph, ["last", "first"]) == ("stem", "head")
    assert resolve(graph, ["narrow", "first", "stem"]) == ("stem", "narrow")
    assert resolve(graph, []) == ()


def test_unknown_names_are_refused_with_the_nearest() -> None:
    graph = program.float_graph(small_model())
    with pytest.raises(PassError, match=r"'narow', which is no convolution.*nearest: narrow"):
        resolve(graph, ["first", "narow"])
    with pytest.raises(PassError, match="no layer is left to quantize"):
        resolve(graph, ["first", "wide", "narrow", "gated", "last"])


def test_nothing_is_rounded_where_every_layer_is_kept() -> None:
    graph = program.float_graph(small_model())
    names = tuple(placement.layer_name(node) for node in placement.compute_nodes(graph))
    for style in (placement.PORTABLE, placement.EVERYTHING, placement.Style("fused", every_output=False)):
        assert placement.tensors(graph, style, names) == {}


def test_the_sum_behind_a_kept_layer_stays_in_float() -> None:
    graph = program.float_graph(small_model())
    add = next(node for node in graph.graph.nodes if placement.operator(node) == "add")
    narrow = next(n for n in placement.compute_nodes(graph) if placement.layer_name(n) == "narrow")
    chosen = placement.tensors(graph, placement.PORTABLE, ("narrow",))
    assert narrow.name not in chosen
    assert add.name in chosen, "the next layer reads it in INT8"
    assert add.name not in placement.tensors(graph, placement.PORTABLE, ("narrow", "gated"))


MODULES: dict[RuntimeName, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "litert_torch",
}


@pytest.fixture(scope="module")
def spans() -> dict[str, list[float]]:
    graph = program.float_graph(small_model())
    found = calibration.ranges(graph, [one[None] for one in images()], lambda fraction, text: None)
    return {name: [float(low), float(high)] for name, (low, high) in found.items()}


# 'wide' lies between two INT8 tensors, where a runtime could quantize it by itself.
@pytest.mark.parametrize("kept", [("wide",), ("stem", "head")])
@pytest.mark.parametrize("name", list(MODULES))
def test_kept_layers_run_in_float_and_the_others_in_int8(
    name: RuntimeName, kept: tuple[str, ...], spans: dict[str, list[float]], tmp_path: Path
) -> None:
    if importlib.util.find_spec(MODULES[name]) is None:
        pytest.skip(f"{MODULES[name]} is not installed")
    target = Target(
        schema_version=1,
        name="test",
        description="test",
        runtime=name,
        device="CPU",
        precisions=("int8",),
        threads=1,
    )
    model = replace(small_model(), quantization={"ranges": spans, "keep_float": list(kept)})
    runtime = runtimes.get(name)
    session = runtime.load(runtime.export(model, target, "int8", tmp_path).path, target, "int8")
    # ONNX Runtime runs a last layer with a float output in float in any case, and is left the first layer of the
    # image in float, with the depthwise convolution behind it. OpenVINO is left such a one as well.
    beside = {"onnxruntime": {"stem", "wide", "head"}, "openvino": {"wide"} if "stem" in kept else set()}
    in_float = len({*kept, *beside.get(name, ())})
    assert session.executed().layers == {"int8": 5 - in_float, "fp32": in_float}
    inputs = images().numpy()
    given = np.concatenate([session.run(one[None]).copy() for one in inputs])
    wanted = program.run(program.quantized_program(model, placement.PORTABLE), inputs)
    assert np.abs(given - wanted).max() < 0.02 * wanted.std()


def test_a_fence_changes_no_result(spans: dict[str, list[float]]) -> None:
    model = replace(small_model(), quantization={"ranges": spans, "keep_float": ["wide"]})
    inputs = images().numpy()
    plain, fenced = (
        program.run(program.quantized_program(model, placement.Style("test", fences=fences)), inputs)
        for fences in (False, True)
    )
    assert np.allclose(plain, fenced, rtol=0, atol=1e-6)
