"""ExecuTorch with XNNPACK: PyTorch's own runtime on phones, run here through its Python bindings."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DeviceError, UnsupportedError
from edgekit.quantization.placement import Style
from edgekit.runtimes import support
from edgekit.runtimes.base import Executed, Exported, Runtime

if TYPE_CHECKING:
    from torch.fx import Node

    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

#: XNNPACK's INT8 kernels take and give 8 bits; its weights are symmetric and stored as INT8.
STYLE = Style("executorch", logits=True)
#: A constant that the file holds beside the network: its layers and their MACs by precision, as JSON.
_NOTE = "edgekit_layers"
_LAYERS = ("convolution", "linear", "addmm", "mm")
_QUANTIZED = "quantized_decomposed"


class ExecuTorch(Runtime):
    """A ``.pte`` file whose operators are handed to XNNPACK; what it does not take runs in portable kernels."""

    name = "executorch"
    packages: tuple[str, ...] = ("executorch", "torch")

    def cannot_export(self, target: Target) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "executorch": "executorch"}, "executorch")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``; the bindings hand tensors over as PyTorch's."""
        return support.missing({"torch": "torch", "executorch": "executorch"}, "executorch")

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.pte``.

        Raises:
            UnsupportedError: ExecuTorch cannot take the network, or XNNPACK takes nothing of it.
        """
        with support.quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

        from edgekit.quantization import program

        made = program.in_precision(model, precision, STYLE)
        with support.quiet():
            try:
                # Lowered twice: the file is to hold what became of the layers, which is known afterwards.
                layers, macs = _delegated(to_edge_transform_and_lower(made, partitioner=[XnnpackPartitioner()]))
                note = json.dumps({"layers": layers, "macs": macs})
                lowered = to_edge_transform_and_lower(
                    program.in_precision(model, precision, STYLE),
                    partitioner=[XnnpackPartitioner()],
                    constant_methods={_NOTE: note},
                )
                left = _left(lowered)
                content = lowered.to_executorch().buffer
            except Exception as error:  # whatever the converter meets in the graph
                raise UnsupportedError(
                    f"ExecuTorch cannot take the network: {support.first_line(error)}"
                ) from error
        if not layers:
            raise UnsupportedError(
                "XNNPACK takes none of the network's layers; the file would run in portable kernels"
            )
        path = folder / "model.pte"
        path.write_bytes(content)
        inputs, outputs = support.specs(model)
        details = {"format": "ExecuTorch program", "exporter": "executorch", "operators_outside_xnnpack": left}
        return Exported(path, inputs, outputs, details)

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Load the program and its method ``forward``."""
        return _Session(path, target, precision)


def _delegated(lowered: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Layers, and their MACs, in the parts that were handed to XNNPACK, by the precision that they run in there."""
    graph = lowered.exported_program().graph_module
    layers: Counter[str] = Counter()
    macs: Counter[str] = Counter()
    for name, part in graph.named_children():
        if not name.startswith("lowered_module"):
            continue
        for node in part.original_module.graph.nodes:
            if node.op != "call_function" or _operator(node) not in _LAYERS:
                continue
            kind = "int8" if _operator(node.args[0]).startswith("dequantize") else "fp32"
            layers[kind] += 1
            macs[kind] += _macs(node)
    return dict(layers), dict(macs)


def _left(lowered: Any) -> dict[str, int]:
    """The operators that stayed outside, by name."""
    nodes = lowered.exported_program().graph_module.graph.nodes
    names = (_operator(node) for node in nodes if node.op == "call_function")
    return dict(sorted(Counter(name for name in names if name not in ("", "executorch_call_delegate")).items()))


def _operator(node: Node) -> str:
    """``aten.convolution.default`` as ``convolution``; empty for what is no operator of a library."""
    name = getattr(node.target, "__name__", "")
    parts = name.split(".")
    return parts[1] if len(parts) == 3 else name if "delegate" in name else ""


def _macs(node: Node) -> int:
    weights: Any = node.args[1 if _operator(node) != "addmm" else 2]
    output, shape = list(node.meta["val"].shape), list(weights.meta["val"].shape)
    if _operator(node) in ("addmm", "mm"):
        return support.layer_macs(output, shape, output[-1])
    return support.layer_macs(output, shape, output[1] if _operator(node) == "convolution" else output[-1])


class _Session:
    def __init__(self, path: Path, target: Setting, precision: Precision) -> None:
        with support.quiet():
            import torch
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime as Bindings

            # The bindings have one pool of threads for the process, which must be sized before a program uses it.
            portable_lib._unsafe_reset_threadpool(support.threads(target.threads))
        self._tensor = torch.from_numpy
        self._precision = precision
        try:
            # The program must outlive its methods.
            self._program = Bindings.get().load_program(path.read_bytes())
            self._method = self._program.load_method("forward")
        except (OSError, RuntimeError) as error:
            raise DeviceError(f"ExecuTorch cannot load it: {error}", where=str(path)) from error

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._method.execute([self._tensor(batch)])[0].numpy()
        return result

    def executed(self) -> Executed:
        """Read from the note that the file holds of the graph that was handed to XNNPACK."""
        if _NOTE not in self._program.method_names:
            return Executed("unknown", {}, "the file holds no note of its layers")
        found = json.loads(self._program.load_method(_NOTE).execute([])[0])
        layers = {str(kind): int(count) for kind, count in found["layers"].items()}
        fallbacks = [f"{count} layers in {kind}" for kind, count in layers.items() if kind != self._precision]
        precision = max(layers, key=lambda kind: layers[kind]) if layers else "unknown"
        how = "the graph handed to XNNPACK, as noted in the file; ExecuTorch itself does not tell"
        return Executed(precision, layers, how, tuple(fallbacks), dict(found["macs"]))
