"""What a run makes of a recipe: models as finished stages, and the artifacts to be made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from edgekit import runtimes
from edgekit.runtimes.base import Runtime
from edgekit.store import Finished
from edgekit.target import Precision, Target

if TYPE_CHECKING:
    from edgekit.model import Model

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
class Variant:
    """One artifact to be: a model for a target in a precision.

    Attributes:
        name: in the record.
        made: the model.
        target, precision: what it is exported for.
        stages: the names of the stages that made the model.
        reference: what its logits are compared with: the source, the last float model where passes changed the
            predictions, or the fake-quantized model after QAT; empty for what is a reference of its own.
    """

    name: str
    made: Made
    target: Target
    precision: Precision
    stages: tuple[str, ...]
    reference: str = ""

    @property
    def runtime(self) -> Runtime:
        """What exports and runs it."""
        return runtimes.get(self.target.runtime)
