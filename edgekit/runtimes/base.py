"""What a runtime is: it exports a model to a file, and loads such a file to run it.

Loading must not import torch, nor anything but the standard library, numpy and the runtime: measurements run in a
process that holds nothing more, perhaps on a device that has nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.quantization.scheme import Activations
    from edgekit.record import TensorSpec
    from edgekit.runtimes.native import Library
    from edgekit.target import Axis, Precision, Target


@dataclass(frozen=True)
class Exported:
    """What ``export`` wrote: the main file or folder, its specs, and the exporter's settings."""

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Executed:
    """What the runtime says it runs.

    Attributes:
        precision: ``fp32``, ``bf16``, ``fp16``, ``int8`` (what most of ``macs`` ran in, or else of ``layers``), or
            ``unknown``.
        layers: executed layers with weights (convolution, linear) by precision; empty where it cannot tell.
            Products of two activations, as attention and the selective scan have them, are no such layers:
            quantization leaves them in float.
        how: where that was read.
        fallbacks: layers that did not run in the precision asked for.
        macs: multiply-accumulate operations of those layers by precision; empty where it cannot tell.
        built: what was built of the file on the device that runs it, where the runtime builds something.
    """

    precision: str
    layers: dict[str, int]
    how: str
    fallbacks: tuple[str, ...] = ()
    macs: dict[str, int] = field(default_factory=dict)
    built: dict[str, Any] = field(default_factory=dict)


class Setting(Protocol):
    """What of a target matters where its artifacts run; ``Target`` has it, and so has what travels to a device."""

    @property
    def runtime(self) -> str:
        """Its name."""
        ...

    @property
    def device(self) -> str:
        """The runtime's device or delegate."""
        ...

    @property
    def precisions(self) -> Sequence[str]:
        """Those allowed."""
        ...

    @property
    def threads(self) -> int:
        """0: every core that the process may use."""
        ...

    @property
    def options(self) -> Mapping[str, str | int | float | bool]:
        """Passed to the runtime as they are."""
        ...


class Session(Protocol):
    """A loaded artifact."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``[N, classes]`` of inputs ``[N, C, H, W]``, N being the batch of the export."""
        ...

    def executed(self) -> Executed:
        """The precision that really runs, read back from the runtime; where sizes are open, after a run of one."""
        ...


class Runtime(Protocol):
    """One inference engine. One file each in ``edgekit/runtimes/``, listed in ``__init__.py``."""

    name: str
    #: Whether ``prepare`` does something: it then gets a process of its own, apart from those that measure.
    prepares: bool = False
    #: Distributions whose versions the record keeps, the one that runs the artifact first.
    packages: tuple[str, ...]
    #: How INT8 activations are quantized for its fastest kernels, where that costs accuracy; none if it does not.
    fast_activations: Activations | None = None
    #: Axes that its files can leave open.
    dynamic: tuple[Axis, ...] = ()
    #: Precisions that are a setting at loading; their file is that of fp32.
    set_at_load: tuple[Precision, ...] = ()

    def cannot_export(self, target: Target) -> str | None:
        """Why this machine cannot export for ``target``, with the remedy; none when it can."""
        ...

    def cannot_run(self, target: Setting) -> str | None:
        """Why this machine cannot run artifacts of ``target``, with the remedy; none when it can."""
        ...

    def lacks(self, target: Target, precision: Precision) -> str | None:
        """Why this machine, which runs the target, cannot run it in ``precision``; none when it can."""
        return None

    def rest_in_bf16(self, target: Target) -> dict[str, str]:
        """The options that run in BF16 what an INT8 file leaves in float; empty where that cannot be had."""
        return {}

    def native_library(self, target: Setting) -> Library | None:
        """Where edgekit's native operators for this target's files are; none where there are none."""
        return None

    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Write ``model`` into ``folder`` for batch 1 of its input size, or with its ``dynamic`` axes open.

        The sizes that such a file takes are in ``details["sizes"]``, as ``open_axes.Sizes``.
        """
        ...

    def prepare(self, path: Path, target: Setting, precision: Precision) -> None:
        """Build what ``load`` opens, where the runtime builds something on the device; called once before it."""
        return

    def load(self, path: Path, target: Setting, precision: Precision) -> Session:
        """Open an exported file. ``target.threads`` of 0 means every core of the process."""
        ...

    def streams(self, path: Path, target: Setting, precision: Precision, count: int) -> list[Session]:
        """Sessions that may run beside one another, each in a thread of its own with ``target.threads`` cores."""
        return [self.load(path, target, precision) for _ in range(count)]

    def cannot_check(self, target: Setting) -> str | None:
        """Why this machine cannot compute what artifacts of ``target`` answer; none when it can."""
        return self.cannot_run(target)

    def check(self, path: Path, target: Setting, precision: Precision) -> Session:
        """Open an exported file for its answers alone: where the runtime cannot run, a reference may.

        Raises:
            UnsupportedError: the reference does not know an operator of the file.
        """
        return self.load(path, target, precision)
