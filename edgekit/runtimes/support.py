"""What the runtimes share: quiet libraries, thread counts, specs."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.record import TensorSpec

INPUT = "input"
OUTPUT = "logits"


def missing(modules: dict[str, str], extra: str) -> str | None:
    """Which of ``modules`` (import name -> distribution) are not installed, and the remedy."""
    absent = [name for module, name in modules.items() if importlib.util.find_spec(module) is None]
    if not absent:
        return None
    return f"not installed: {', '.join(absent)}; pip install 'edgekit[{extra}]'"


def first_line(error: Exception) -> str:
    """What a library says went wrong, after the places in its own C++ source that it may name first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and ".cpp:" not in line]
    return lines[0] if lines else type(error).__name__


def threads(asked: int) -> int:
    """The thread count to use: ``asked``, or every core that this process may run on."""
    if asked:
        return asked
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def specs(model: Model) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Input and output of a model exported for batch 1 of its size; what is open is -1."""
    from edgekit.record import TensorSpec

    images = "NCDHW" if len(model.input_size) == 4 else "NCHW"
    logits = images if model.task == "segmentation" else "NC"
    batch = -1 if "batch" in model.dynamic else 1
    given, made = (
        (batch, size[0], *(-1 if "size" in model.dynamic else side for side in size[1:]))
        for size in (model.input_size, model.output_size)
    )
    return (
        (TensorSpec(name=INPUT, shape=given, dtype="float32", layout=images),),
        (TensorSpec(name=OUTPUT, shape=made, dtype="float32", layout=logits),),
    )


def layer_macs(output: Sequence[int], weights: Sequence[int], channels: int) -> int:
    """Multiply-accumulate operations of a convolution or a linear layer.

    Args:
        output: shape of what it makes; of what it takes, for a transposed convolution.
        weights: shape of its weights, in any order.
        channels: how many of those there are for each output channel (or input channel, when transposed).
    """
    return math.prod(output) * math.prod(weights) // channels


def mostly(layers: Mapping[str, int], macs: Mapping[str, int]) -> str:
    """The precision of most multiply-accumulate operations; of most layers where those are not known."""
    counted = macs if any(macs.values()) else layers
    return max(counted, key=lambda precision: counted[precision]) if counted else "unknown"


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep libraries' chatter off the terminal; what Python code printed is in the yielded buffer.

    File descriptor 2 is turned away as well, since converters written in C++ log past Python.
    """
    said = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield said
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        logging.disable(before)


@contextlib.contextmanager
def without_history() -> Iterator[None]:
    """Keep PyTorch from noting where each node of a graph came from.

    At each pass of a converter it copies what it noted at all passes before. For the thousands of nodes of a
    selective scan that is a quarter of the time that an export takes, and nothing here reads it.
    """
    from torch.fx import traceback

    noted: Any = traceback.NodeSource

    class Unnoted(noted):  # type: ignore[misc]
        def __init__(self, node: object, *others: Any, **more: Any) -> None:
            super().__init__(None, *others, **more)

    traceback.NodeSource = Unnoted  # type: ignore[misc]
    try:
        yield
    finally:
        traceback.NodeSource = noted  # type: ignore[misc]
