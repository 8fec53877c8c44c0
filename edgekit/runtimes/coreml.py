"""Core ML: written anywhere, checked anywhere by ``coreml_reference``, run on Apple's systems only."""

from __future__ import annotations

import math
import platform
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.environment import no_telemetry
from edgekit.errors import MissingError, UnsupportedError
from edgekit.quantization.placement import Style, operator
from edgekit.runtimes import support
from edgekit.runtimes.base import Executed, Exported, Runtime, Session

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target

STYLE = Style("coreml")


class CoreML(Runtime):
    """An ``.mlpackage`` (ML program)."""

    name = "coreml"
    packages: tuple[str, ...] = ("coremltools",)

    def cannot_export(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "coremltools": "coremltools"}, "coreml")

    def cannot_run(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        if platform.system() != "Darwin":
            return f"Core ML runs on macOS and iOS only, this is {platform.system()}; copy the .mlpackage to a Mac"
        return support.missing({"coremltools": "coremltools"}, "coreml")

    @support.without_history()
    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model.mlpackage`` for iOS 17 or newer."""
        no_telemetry()
        with support.quiet():
            import coremltools

            from edgekit.quantization import program

            made = program.in_precision(model, precision, STYLE)
            half = precision == "fp16"
            try:
                converted = coremltools.convert(
                    _as_taken(made),
                    outputs=[coremltools.TensorType(name=support.OUTPUT)],
                    minimum_deployment_target=coremltools.target.iOS17,
                    compute_precision=coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32,
                    skip_model_load=True,
                )
            except Exception as error:  # the converter's own assertions as well
                text = f"Core ML cannot take the network: {support.first_line(error)}"
                raise UnsupportedError(text) from error
            path = folder / "model.mlpackage"
            converted.save(str(path))
        inputs, outputs = support.specs(model)
        operators: Counter[str] = Counter()
        for function in converted.get_spec().mlProgram.functions.values():
            for block in function.block_specializations.values():
                operators.update(o.type for o in block.operations)
        details = {
            "format": "ML program, iOS 17",
            "exporter": "coremltools",
            "operators": {k: v for k, v in sorted(operators.items()) if k != "const"},
        }
        return Exported(path, inputs, outputs, details)

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Open the package; macOS only."""
        reason = self.cannot_run(target)
        if reason:
            raise MissingError(reason, where=str(path))
        return _Session(path, target)

    def cannot_check(self, target: Setting) -> str | None:
        """See ``Runtime``; the reference needs no Mac."""
        return self.cannot_export(target)

    def check(self, path: Path, target: Setting, precision: Precision) -> Session:
        """Core ML itself where it exists, else the reference that executes the file's operators."""
        if self.cannot_run(target) is None:
            return self.load(path, target, precision)
        from edgekit.runtimes.coreml_reference import CoreMLReference

        return CoreMLReference(path)


def _as_taken(program: ExportedProgram) -> ExportedProgram:
    """The program without what coremltools does not take, or takes wrongly.

    Poolings need a stride, aliases do nothing, and GELU's approximation by tanh would become the exact form, in
    silence.
    """
    import torch

    program = program.run_decompositions({torch.ops.aten.gelu.default: _gelu})
    for node in list(program.graph.nodes):
        if operator(node) in ("max_pool2d", "avg_pool2d") and len(node.args) == 2:
            node.args = (*node.args, node.args[1])
        if operator(node) == "alias":
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
    return program


def _gelu(x: Tensor, approximate: str = "none") -> Any:
    """The approximation by tanh (Hendrycks and Gimpel 2016), written out."""
    if approximate != "tanh":
        return NotImplemented
    inner: Tensor = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1 + inner.tanh())


class _Session:
    def __init__(self, path: Path, target: Setting) -> None:
        import coremltools

        units = {"CPU": "CPU_ONLY", "GPU": "CPU_AND_GPU", "ANE": "CPU_AND_NE", "ALL": "ALL"}[target.device]
        self._model: Any = coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit[units])
        self._input = self._model.get_spec().description.input[0].name

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._model.predict({self._input: batch})[support.OUTPUT], np.float32)

    def executed(self) -> Executed:
        return Executed("unknown", {}, "Core ML does not tell which precision an operator ran in")
