from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.runtimes import support
from edgekit.zoo.state_space import SelectiveScan, kept_whole, selective_scan, selective_scan_reference, write_out
from edgekit.zoo.state_space.chunked import Form, chunked_scan, levels
from edgekit.zoo.state_space.operator import EagerScan
from tests.zoo import golden

FORMS: tuple[Form, ...] = get_args(Form)
WHOLE = "edgekit.selective_scan.default"


def _inputs(
    images: int, groups: int, length: int, channels: int, states: int, dt_scale: float = 1.0
) -> tuple[Tensor, ...]:
    """u, dt, A, B, C and skip in float64."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    wide, narrow = (images, groups, length, channels), (images, groups, length, states)
    rates = -normal(groups, channels, states).exp()
    steps = F.softplus(normal(*wide)) * dt_scale
    return normal(*wide), steps, rates, normal(*narrow), normal(*narrow), normal(groups, channels)


def _exported(inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    return torch.export.export(SelectiveScan(), inputs)


def _operators(program: torch.export.ExportedProgram) -> set[str]:
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


def _chunked(inputs: tuple[Tensor, ...], form: Form) -> Tensor:
    u, dt, rates, b, c, skip = inputs
    return chunked_scan(u, dt, rates, b, c, skip, form)


def _eager(*inputs: Tensor) -> Tensor:
    y: Tensor = EagerScan.apply(*inputs)  # type: ignore[no-untyped-call]
    return y


@pytest.mark.shared_data
def test_official_output() -> None:
    held = golden.arrays("selective_scan")
    dt = F.softplus(held["delta"] + held["delta_bias"][:, None])

    def grouped(values: Tensor, groups: int) -> Tensor:  # [N, G D, L] -> [N, G, L, D]
        return values.reshape(len(values), groups, -1, values.shape[2]).transpose(2, 3)

    scans: tuple[Callable[..., Tensor], ...] = (SelectiveScan(), selective_scan_reference)
    for scan in scans:
        one = scan(
            grouped(held["u"], 1),
            grouped(dt, 1),
            held["A"][None],
            grouped(held["B"], 1),
            grouped(held["C"], 1),
            held["D"][None],
        )
        golden.assert_close(one.transpose(2, 3).flatten(1, 2), held["out"])
        four = scan(
            grouped(held["u"], 4),
            grouped(dt, 4),
            held["A"].view(4, 2, 16),
            held["B_grouped"].transpose(2, 3),
            held["C_grouped"].transpose(2, 3),
            held["D"].view(4, 2),
        )
        golden.assert_close(four.transpose(2, 3).flatten(1, 2), held["out_grouped"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1, 2, 49, 64, 65, 81, 100, 197, 577, 1000])
def test_chunks_of_any_length_give_the_sequential_result(length: int, form: Form) -> None:
    inputs = _inputs(2, 3, length, 5, 4)
    torch.testing.assert_close(_chunked(inputs, form), selective_scan_reference(*inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dt_scale", [1e-6, 1e-2, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("length", [150, 700])
def test_float32_is_exact_to_1e_5_whatever_the_decay(length: int, dt_scale: float, form: Form) -> None:
    inputs = _inputs(1, 2, length, 8, 16, dt_scale)
    wanted = selective_scan_reference(*inputs)
    given = _chunked(tuple(one.float() for one in inputs), form)
    assert given.isfinite().all()
    assert (given.double() - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("form", ["correct", "delegated"])
def test_steps_are_exact_however_short(form: Form) -> None:
    """Of softplus too, where 1 + e^x is rounded to 1."""

    class Steps(nn.Module):
        def forward(self, raw: Tensor) -> Tensor:
            ones, rates = torch.ones_like(raw), torch.zeros(1, 1, 1)
            # With A = 0 the first state of each row of one step is dt.
            y: Tensor = SelectiveScan()(ones, SelectiveScan().steps(raw), rates, ones, ones, torch.zeros(1, 1))
            return y

    raw = torch.linspace(-80, 40, 512).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        program = write_out(torch.export.export(Steps(), (raw,)), form)
        found = program.module()(raw)
    torch.testing.assert_close(found.double(), F.softplus(raw.double(), threshold=1000), rtol=1e-6, atol=0)


def test_any_precision_is_computed_in_float32() -> None:
    inputs = _inputs(1, 1, 70, 3, 4)
    scan, wanted = SelectiveScan(), SelectiveScan()(*inputs)
    assert wanted.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(scan(*inputs), wanted, rtol=0, atol=0)
    assert scan(*(one.bfloat16() for one in inputs)).dtype == torch.float32


@pytest.mark.parametrize(("length", "states", "sizes"), [
    (64, 8, (64, 1)),
    (65, 8, (9, 8)),
    (3136, 4 * 96 * 16, (56, 56)),
    (9216, 16 * 16, (12, 22, 35)),
    (65536, 64 * 16, (128, 16, 32)),
])  # fmt: skip
def test_chunks_are_grouped_where_that_halves_the_operators(
    length: int, states: int, sizes: tuple[int, ...]
) -> None:
    """MedMamba-T's first scan at 224 x 224 has no groups, those of LightM-UNet at 96 x 96 and 256 x 256 have."""
    assert levels(length, states) == sizes
    assert length <= math.prod(sizes) <= 1.05 * length + 8


@pytest.mark.parametrize("length", [3, 66, 400])
def test_gradients_are_those_of_the_sequential_loop(length: int) -> None:
    inputs = tuple(one.requires_grad_() for one in _inputs(3, 2, length, 2, 3))
    weight = torch.randn(inputs[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = torch.autograd.grad(selective_scan_reference(*inputs), inputs, weight)
    for scan in (_eager, selective_scan):
        for given, one in zip(torch.autograd.grad(scan(*inputs), inputs, weight), wanted, strict=True):
            torch.testing.assert_close(given, one, rtol=1e-10, atol=1e-12)


def _there_and_back(inputs: tuple[Tensor, ...]) -> Tensor:
    """By the loop: the first half of the groups forwards, the other half over u from its end."""
    u, dt, rates, b, c, skip = inputs
    one, two = ((dt[:, part], rates[part], b[:, part], c[:, part], skip[part]) for part in (slice(2), slice(2, 4)))
    back = (x.flip(2) if x.ndim == 4 else x for x in two)
    return selective_scan_reference(u, *one) + selective_scan_reference(u.flip(2), *back).flip(2)


def _both_ways(images: int, length: int) -> tuple[Tensor, ...]:
    u, *others = _inputs(images, 4, length, 5, 4)
    return u[:, :2].contiguous(), *others


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1, 49, 100, 1000])
def test_there_and_back_is_the_sum_of_both(length: int, form: Form) -> None:
    inputs = _both_ways(2, length)
    wanted = _there_and_back(inputs)
    torch.testing.assert_close(_chunked(inputs, form), wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(selective_scan(*inputs), _eager(*inputs))


@pytest.mark.parametrize("length", [3, 66])
def test_gradients_there_and_back(length: int) -> None:
    inputs = tuple(one.requires_grad_() for one in _both_ways(3, length))
    weight = torch.randn(inputs[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = torch.autograd.grad(_there_and_back(inputs), inputs, weight)
    for scan in (_eager, selective_scan):
        for given, one in zip(torch.autograd.grad(scan(*inputs), inputs, weight), wanted, strict=True):
            torch.testing.assert_close(given, one, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    inputs = tuple(one.requires_grad_() for one in _inputs(1, 2, 5, 2, 2))
    assert torch.autograd.gradcheck(_eager, inputs)


def test_images_one_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.zoo.state_space import operator

    inputs = tuple(one.requires_grad_() for one in _inputs(3, 1, 70, 2, 2))
    together = _eager(*inputs)
    gradients = torch.autograd.grad(together.square().sum(), inputs)
    monkeypatch.setattr(operator, "_CPU_BYTES", 1)
    alone = _eager(*inputs)
    torch.testing.assert_close(alone, together)
    for one, other in zip(torch.autograd.grad(alone.square().sum(), inputs), gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_training_keeps_nothing_but_the_inputs() -> None:
    inputs = tuple(one.float().requires_grad_() for one in _inputs(1, 1, 100, 4, 16))
    kept: list[int] = []

    def note(one: Tensor) -> Tensor:
        kept.append(one.numel())
        return one

    with torch.autograd.graph.saved_tensors_hooks(note, lambda one: one):
        SelectiveScan()(*inputs)
    assert sum(kept) <= sum(one.numel() for one in inputs)


def test_functional_transforms_and_copies() -> None:
    u, *others = (one.float() for one in _inputs(2, 1, 70, 2, 3))
    scan = copy.deepcopy(SelectiveScan())
    wanted = torch.autograd.grad(scan(u.requires_grad_(), *others).sum(), u)[0]
    torch.testing.assert_close(torch.func.grad(lambda one: scan(one, *others).sum())(u.detach()), wanted)


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("length", [49, 130, 600])
def test_an_exported_scan_is_standard_operators(length: int, ways: int) -> None:
    u, *others = (one.float() for one in _inputs(1, 2, length, 4, 3))
    inputs = (u[:, : 2 // ways].contiguous(), *others)
    wanted = SelectiveScan()(*inputs)
    plain, again = _exported(inputs), _exported(inputs)
    assert all(name.startswith(("aten.", "<built-in")) for name in _operators(plain))
    assert len(plain.graph.nodes) == len(again.graph.nodes) < 600
    torch.testing.assert_close(plain.module(check_guards=False)(*inputs), wanted)
    with kept_whole():
        whole = _exported(inputs)
    assert WHOLE in _operators(whole)
    assert write_out(plain, "correct") is plain
    for form in FORMS:
        written = write_out(whole, form)
        assert WHOLE not in _operators(written)
        torch.testing.assert_close(written.module(check_guards=False)(*inputs), wanted)
        names = [kind for node in written.graph.nodes for _, kind in node.meta.get("nn_module_stack", {}).values()]
        assert any(name.endswith("SelectiveScan") for name in names)


class _WithRates(nn.Module):
    """A scan whose A is a constant, as it is in a network."""

    rates: Tensor

    def __init__(self, rates: Tensor) -> None:
        super().__init__()
        self.scan = SelectiveScan()
        self.register_buffer("rates", rates)

    def forward(self, u: Tensor, dt: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.scan(u, dt, self.rates, b, c, skip)
        return y


@pytest.mark.parametrize(("length", "carries"), [(100, 10), (1000, 2 * 10 + 20)])
def test_openvino_fuses_each_step(length: int, carries: int) -> None:
    """One kernel a step and run in the form ``recompute``; more would mean that something blocks the fusion."""
    openvino = pytest.importorskip("openvino")
    u, dt, rates, *others = (one.float() for one in _inputs(1, 2, length, 16, 4))
    program = torch.export.export(_WithRates(rates), (u, dt, *others))
    with support.quiet():
        converted = openvino.convert_model(program)
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ordered_ops()]
    steps = 2 * levels(length, 2 * 16 * 4)[0]
    assert steps <= sum(kind in ("Subgraph", "Eltwise") for kind in kinds) <= steps + carries + 5


class _WithSteps(_WithRates):
    """The same with steps yet to be made positive, as in a block."""

    def forward(self, u: Tensor, dt: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
        return super().forward(u, F.softplus(dt), b, c, skip)


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("length", [100, 600])
def test_litert_hands_the_whole_of_a_scan_to_xnnpack(length: int, ways: int, tmp_path: Path) -> None:
    """In one piece: what crosses from one piece to the next costs as much as half of the scan."""
    litert_torch = pytest.importorskip("litert_torch")
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    u, dt, rates, *others = (one.float() for one in _inputs(1, 2, length, 16, 4))
    u, raw = u[:, : 2 // ways].contiguous(), dt.expm1().log()
    wanted = SelectiveScan()(u, dt, rates, *others)
    with kept_whole():
        whole = torch.export.export(_WithSteps(rates), (u, raw, *others))
    with support.quiet():
        made = litert_torch.convert(write_out(whole, "delegated").module(check_guards=False), (u, raw, *others))
        made.export(str(tmp_path / "scan.tflite"))
        session = interpreter.Interpreter(str(tmp_path / "scan.tflite"))
        session.allocate_tensors()
    for place, one in zip(session.get_input_details(), (u, raw, *others), strict=True):
        session.set_tensor(place["index"], one.numpy())
    session.invoke()
    found = torch.from_numpy(session.get_tensor(session.get_output_details()[0]["index"]))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    assert sum(one["op_name"] == "DELEGATE" for one in session._get_ops_details()) == 1
