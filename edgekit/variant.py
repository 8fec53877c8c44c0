"""What a run makes of a recipe: models as finished stages, and the artifacts to be made of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import runtimes
from edgekit.runtimes import own_int8
from edgekit.runtimes.base import Exported, Runtime
from edgekit.store import Finished
from edgekit.target import Axis, Precision, Target

if TYPE_CHECKING:
    from edgekit.data.prepared import Prepared
    from edgekit.model import Model
    from edgekit.quantization.scheme import Activations

#: PyTorch, in which the source is run and measured.
PYTORCH = Target(
    schema_version=1,
    name="pytorch",
    description="PyTorch eager on the CPU: the reference",
    runtime="torch_eager",
    device="CPU",
    precisions=("fp32",),
)
FUSED = "source-fused"
#: The fake-quantized model that quantization-aware training ended with; a reference, no artifact.
QUANTIZED = "quantized"


@dataclass(frozen=True)
class Made:
    """A model as a finished stage."""

    stage: Finished
    module: str | None

    @cached_property
    def model(self) -> Model:
        """Loaded when a stage needs it."""
        from edgekit.model import Model

        return Model.load(self.stage.folder, self.module)


@dataclass(frozen=True)
class Calibrated:
    """The training images that a runtime's own quantizer is given: those of the recipe's 'quantize' pass.

    Attributes:
        key: of the stage of that pass.
        images, seed: how many were drawn, and with which seed.
    """

    key: str
    images: int
    seed: int


@dataclass(frozen=True)
class Variant:
    """One artifact to be: a model for a target in a precision.

    Attributes:
        name: in the record.
        made: the model.
        target, precision: what it is exported for.
        stages: the names of the stages that made the model.
        reference: what its logits are compared with: the source, the last float model where passes changed the
            predictions, or the fake-quantized model after QAT; empty for what is a reference of its own.
        activations: how INT8 activations are quantized, where not as the recipe says.
        begins_with: the variant whose file it is, run otherwise, or whose file the runtime's tool quantizes.
        options: of the runtime, beside the target's own.
        alternative: a candidate that nothing in the recipe asks for; that it loses, or fails, is no failure.
        own: for the runtime's own quantizer; none where edgekit's program is exported.
        dynamic: axes that its file leaves open.
        native: whether it has edgekit's native operators in it.
    """

    name: str
    made: Made
    target: Target
    precision: Precision
    stages: tuple[str, ...]
    reference: str = ""
    activations: Activations | None = None
    begins_with: str = ""
    options: dict[str, str] = field(default_factory=dict)
    alternative: bool = False
    own: Calibrated | None = None
    dynamic: tuple[Axis, ...] = ()
    native: bool = False

    @property
    def runtime(self) -> Runtime:
        """What exports and runs it."""
        return runtimes.get(self.target.runtime)

    @property
    def run_on(self) -> Target:
        """The target with the options that the artifact is run with."""
        return self.target.model_copy(update={"options": {**self.target.options, **self.options}})

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions determine the file."""
        tool = own_int8.get(self.runtime.name) if self.own else None
        return tool.packages if tool else self.runtime.packages

    def export(self, data: Prepared, folder: Path, begun: Exported | None = None) -> Exported:
        """Write the artifact into ``folder``.

        Args:
            data: for the images of calibration.
            folder: an empty one.
            begun: the runtime's float file, which its tool quantizes; it is made anew where there is none.

        Raises:
            UnsupportedError: the runtime, or its quantizer, cannot take the network.
        """
        model = replace(self.made.model, dynamic=self.dynamic, native=self.native)
        tool = own_int8.get(self.runtime.name) if self.own else None
        if tool is None or self.own is None:
            if self.activations is not None and model.quantization is not None:
                model = replace(model, quantization={**model.quantization, "activations": self.activations})
            return self.runtime.export(model, self.target, self.precision, folder)
        chosen = data.drawn("train", self.own.images, self.own.seed)
        with tempfile.TemporaryDirectory() as scratch:
            float_file = begun or self.runtime.export(model, self.target, "fp32", Path(scratch))
            return tool.quantize(float_file, data.inputs("train", chosen), self.target, folder)
