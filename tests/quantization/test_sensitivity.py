from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekit.data.prepared import Prepared
from edgekit.model import Model, logits
from edgekit.passes import Context, Quantize
from edgekit.quantization import calibration, placement, program, sensitivity
from edgekit.quantization.partial import Partial
from edgekit.quantization.scheme import Scheme
from tests.networks import images as smooth
from tests.networks import small_model

LAYERS = ["stem", "wide", "harmed", "after", "head"]


@pytest.fixture(scope="module")
def table(awkward: Model, data: Prepared) -> dict[str, Any]:
    found: dict[str, Any] = Quantize(sensitivity=True).apply(awkward, Context(data)).changes["sensitivity"]
    return found


def _spans(model: Model, batch: torch.Tensor) -> dict[str, tuple[float, float]]:
    graph = program.float_graph(model)
    spans = calibration.ranges(graph, [one[None] for one in batch], lambda fraction, text: None)
    return {name: (float(low), float(high)) for name, (low, high) in spans.items()}


def _collected(
    partial: Partial, batch: torch.Tensor, correct_on: torch.Tensor | None
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Logits of the float network, and of each layer alone quantized."""
    found: dict[str | None, list[NDArray[np.float32]]] = {}
    for start, name, part in partial.alone(batch, correct_on, lambda done: None):
        assert start == sum(map(len, found.setdefault(name, [])))
        found[name].append(part)
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    base = whole.pop(None)
    return base, {str(name): one for name, one in whole.items()}


def test_every_layer_has_a_row_and_the_awkward_one_is_worst(table: dict[str, Any]) -> None:
    assert [row["layer"] for row in table["layers"]] == LAYERS
    assert sum(row["macs_share"] for row in table["layers"]) == pytest.approx(1.0)
    harm = {row["layer"]: row["kl"] for row in table["layers"]}
    others = [kl for name, kl in harm.items() if name != "harmed"]
    assert harm["harmed"] > 10 * max(others)
    assert min(others) > 0, "a layer was not quantized"
    for row in (*table["layers"], table["all_float"], table["all_int8"]):
        assert set(sensitivity.COLUMNS) <= set(row)


def test_the_float_row_is_the_float_network(table: dict[str, Any], awkward: Model, data: Prepared) -> None:
    row = table["all_float"]
    assert (row["kl"], row["logit_error"], row["agreement"]) == (0.0, 0.0, 1.0)
    right = logits(awkward, data.inputs("val")).argmax(1) == data.labels("val")
    assert row["accuracy"] == pytest.approx(right.mean())
    rare = int(np.bincount(data.labels("train")).argmin())
    assert table["rarest_class"] == data.classes[rare]
    assert row["rarest_sensitivity"] == pytest.approx(right[data.labels("val") == rare].mean())


def test_the_int8_row_is_the_quantized_program(table: dict[str, Any], awkward: Model, data: Prepared) -> None:
    quantized = Quantize().apply(awkward, Context(data)).model
    given = program.run(program.quantized_program(quantized, placement.PORTABLE), data.inputs("val"))
    images = sensitivity.choose(data, 512)
    wanted = sensitivity.figures(given, logits(awkward, data.inputs("val")), images)
    for name in ("kl", "nll", "logit_error"):
        assert table["all_int8"][name] == pytest.approx(wanted[name], rel=1e-3), name
    assert table["all_int8"]["agreement"] == wanted["agreement"]


def test_the_same_seed_gives_the_same_table(table: dict[str, Any], awkward: Model, data: Prepared) -> None:
    assert Quantize(sensitivity=True).apply(awkward, Context(data)).changes["sensitivity"] == table


def test_a_layer_alone_is_what_its_program_computes() -> None:
    """Also where the number of images is no multiple of the batch."""
    model, batch = small_model(), smooth(5)
    spans = _spans(model, batch)
    partial = Partial(model, spans, Scheme(), 3)
    assert partial.batch == 3
    base, alone = _collected(partial, batch, None)
    assert np.allclose(base, logits(model, batch.numpy()), atol=1e-6)
    for name in partial.layers:
        graph = program.float_graph(model)
        program.insert(graph, spans, placement.PORTABLE, tuple(one for one in partial.layers if one != name))
        with torch.no_grad():
            wanted = np.concatenate([graph(one[None]).numpy() for one in batch])
        assert np.abs(alone[name] - wanted).max() < 1e-5
        assert not np.allclose(alone[name], base, atol=1e-7), f"{name} was not quantized"


def test_correcting_the_bias_of_a_layer_restores_its_mean() -> None:
    model, batch = small_model(), smooth(16)
    partial = Partial(model, _spans(model, batch), Scheme(), 16)
    base, plain = _collected(partial, batch, None)
    _, corrected = _collected(partial, batch, batch)
    shift = {name: np.abs((one["head"] - base).mean(0)).max() for name, one in (("a", plain), ("b", corrected))}
    assert shift["b"] < 1e-6 < shift["a"]


def test_rare_classes_are_taken_whole_and_weighted_back(data: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0] * 900 + [1] * 80 + [3] * 5)
    read = {"val": labels, "train": np.array([0, 0, 1, 2, 3, 3, 3])}
    monkeypatch.setattr(Prepared, "labels", lambda self, split: read[split])
    images = sensitivity.choose(data, 100)
    counts = np.bincount(images.labels, minlength=4)
    assert list(counts) == [91, 16, 0, 5]
    for one in (0, 1, 3):
        assert images.weights[images.labels == one].sum() == pytest.approx((labels == one).sum())
    assert images.rarest == 1, "class 2 has no image here"
    assert (np.diff(images.indices) > 0).all()
    assert len(sensitivity.choose(data, 1000).indices) == 985


def test_logits_that_are_not_finite_have_no_figures(data: Prepared) -> None:
    images = sensitivity.choose(data, 512)
    reference = np.zeros((len(images.labels), 4), np.float32)
    broken = np.full_like(reference, np.nan)
    assert set(sensitivity.figures(broken, reference, images).values()) == {None}
