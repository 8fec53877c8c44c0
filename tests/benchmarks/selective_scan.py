"""Time the selective scan of a 56x56 image in every runtime against sequential loops in PyTorch, in one run.

    python tests/benchmarks/selective_scan.py --threads 2

The case is the first stage of MedMamba-T: 4 directions, 96 channels, 16 states, 3,136 steps, batch 1. Two
loops are timed: ``selective_scan_reference``, and the one that the published code of Mamba falls back to, which
first computes the decays and inputs of all steps. The files also do the softplus that makes dt. What is timed is
taken in turn, so that a change of the speed of the machine meets all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.runtimes import native, support
from edgekit.runtimes.onnxruntime import OPSET
from edgekit.runtimes.onnxruntime import native_operators as onnxruntime_native_operators
from edgekit.runtimes.openvino import native_scan
from edgekit.zoo.state_space import Form, SelectiveScan, kept_whole, selective_scan_reference, write_out

Call = Callable[[], object]


class Case(nn.Module):
    """The scan with A and the skip gains as constants, as they are in a network."""

    rates: Tensor
    skip: Tensor

    def __init__(self, rates: Tensor, skip: Tensor) -> None:
        super().__init__()
        self.scan = SelectiveScan()
        self.register_buffer("rates", rates)
        self.register_buffer("skip", skip)

    def forward(self, u: Tensor, raw: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """See ``SelectiveScan``."""
        y: Tensor = self.scan(u, self.scan.steps(raw), self.rates, b, c, self.skip)
        return y


def published_loop(u: Tensor, dt: Tensor, rates: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """In the published layout: channels of all directions on one axis, steps before states."""
    batch, groups, length, channels = u.shape
    u, dt = (one.transpose(2, 3).reshape(batch, groups * channels, length) for one in (u, dt))
    b, c = (one.transpose(2, 3).repeat_interleave(channels, 1) for one in (b, c))
    decays = torch.exp(torch.einsum("bdl,dn->bdln", dt, rates.flatten(0, 1)))
    inputs = torch.einsum("bdl,bdnl,bdl->bdln", dt, b, u)
    state, rows = torch.zeros_like(decays[:, :, 0]), []
    for step in range(length):
        state = decays[:, :, step] * state + inputs[:, :, step]
        rows.append(torch.einsum("bdn,bdn->bd", state, c[:, :, :, step]))
    y = torch.stack(rows, 2) + u * skip.reshape(-1, 1)
    return y.view(batch, groups, channels, length).transpose(2, 3)


def _natively(program: torch.export.ExportedProgram) -> bool:
    return any("native_scan" in str(node.target) for node in program.graph.nodes)


def openvino_session(program: torch.export.ExportedProgram, feeds: list[Tensor], threads: int) -> Call:
    """OpenVINO on the CPU in float32."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    with support.quiet():
        converted = openvino.convert_model(program, extension=[native_scan()] if _natively(program) else None)
        request = openvino.compile_model(converted, "CPU", settings).create_infer_request()
    for index, one in enumerate(feeds):
        request.set_input_tensor(index, openvino.Tensor(one.numpy(), shared_memory=True))

    def call() -> object:
        request.infer()
        return request.get_output_tensor(0).data

    return call


def onnxruntime_session(program: torch.export.ExportedProgram, feeds: list[Tensor], threads: int) -> Call:
    """ONNX Runtime on the CPU."""
    import onnxruntime

    with support.quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            custom_translation_table=onnxruntime_native_operators(),
        )
    assert made is not None
    options = onnxruntime.SessionOptions()
    if _natively(program):
        options.register_custom_ops_library(str(native.ONNXRUNTIME.path()))
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        made.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    named = {one.name: feed.numpy() for one, feed in zip(session.get_inputs(), feeds, strict=True)}
    return lambda: session.run(None, named)[0]


def litert_session(program: torch.export.ExportedProgram, feeds: list[Tensor], threads: int) -> Call:
    """LiteRT with XNNPACK."""
    with support.quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch
        from ai_edge_litert.interpreter import Interpreter

        path = Path(folder) / "scan.tflite"
        litert_torch.convert(program.module(check_guards=False), tuple(feeds)).export(str(path))
        interpreter = Interpreter(model_content=path.read_bytes(), num_threads=threads)
        interpreter.allocate_tensors()
    for detail, one in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], one.numpy())
    output = interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return call


RUNTIMES = {"openvino": openvino_session, "onnxruntime": onnxruntime_session, "litert": litert_session}


def main() -> None:
    """Print one line for each loop, and for each form in each runtime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=56, help="pixels on a side of the image")
    parser.add_argument("--channels", type=int, default=96)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    wide, narrow = (1, 4, asked.side**2, asked.channels), (1, 4, asked.side**2, asked.states)
    u, raw = torch.randn(wide), torch.exp(torch.empty(wide).uniform_(-6.9, -2.3)).expm1().log()
    dt = functional.softplus(raw)
    b, c = torch.randn(narrow), torch.randn(narrow)
    rates = -torch.arange(1.0, asked.states + 1).expand(4, asked.channels, -1) * torch.rand(4, asked.channels, 1)
    skip = torch.ones(4, asked.channels)
    every, feeds = (u, dt, rates, b, c, skip), [u, raw, b, c]
    exact = selective_scan_reference(*(one.double() for one in every)).numpy()
    with kept_whole(), torch.no_grad():
        whole = torch.export.export(Case(rates, skip), tuple(feeds))

    calls: dict[str, Call] = {
        "published loop, PyTorch": lambda: published_loop(*every).numpy(),
        "reference loop, PyTorch": lambda: selective_scan_reference(*every).numpy(),
        "training form, PyTorch": lambda: SelectiveScan()(*every).numpy(),
    }
    for form in get_args(Form):
        program = write_out(whole, form)
        for name, open_session in RUNTIMES.items():
            calls[f"{form}, {name} ({len(program.graph.nodes)} nodes)"] = open_session(
                program, feeds, asked.threads
            )
    with kept_whole(native=True), torch.no_grad():
        program = torch.export.export(Case(rates, skip), tuple(feeds))
    for name, library in (("openvino", native.OPENVINO), ("onnxruntime", native.ONNXRUNTIME)):
        if library.missing() is None:
            calls[f"native operator, {name}"] = RUNTIMES[name](program, feeds, asked.threads)
    times: dict[str, list[float]] = {name: [] for name in calls}
    errors = {
        name: float(np.abs(np.asarray(call()) - exact).max() / np.abs(exact).max()) for name, call in calls.items()
    }
    for turn in range(asked.rounds):
        for name, call in calls.items():
            if "loop" in name and turn % 5:
                continue
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(one) for name, one in times.items()}
    published, reference = list(medians.values())[:2]
    print(f"{'':44s}{'p50 ms':>9s}{'/ published':>13s}{'/ reference':>13s}{'error':>10s}")
    for name, median in medians.items():
        ratios = f"{published / median:12.1f}x{reference / median:12.1f}x"
        print(f"{name:44s}{median * 1e3:9.1f}{ratios}{errors[name]:10.1e}")


if __name__ == "__main__":
    main()
