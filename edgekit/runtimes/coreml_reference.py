"""Runs a Core ML package where Core ML does not exist: its operators one by one, with torch.

coremltools writes packages anywhere and predicts on macOS only, so a wrong conversion would be seen on the phone.
This executes the saved file itself, its operators and its weights, in float32; a value that the file keeps in 16
bits is rounded to them, so that an overflow of half precision shows as well. It tells whether the file is right,
not how fast it is, nor in which precision a device will run it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import DeviceError, UnsupportedError
from edgekit.runtimes import support
from edgekit.runtimes.base import Executed
from edgekit.runtimes.mil_operators import OPERATORS

_HOW = "edgekit's reference, which runs the file's operators in float32 (a device chooses its own precision)"
_WITH_WEIGHTS = ("conv", "conv_transpose", "linear")


@dataclass(frozen=True)
class _Name:
    """A value that is known when the program runs."""

    name: str


@dataclass(frozen=True)
class _Step:
    """One operator: the values that it takes and makes, and those that nothing needs after it."""

    kind: str
    arguments: dict[str, Any]
    results: tuple[str, ...]
    half: tuple[bool, ...]
    last_used: tuple[str, ...]


class CoreMLReference:
    """An ``.mlpackage`` that holds an ML program of one input and one output called ``logits``."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the package.

        Raises:
            DeviceError: it is no readable ML program.
            UnsupportedError: it has an operator that this reference does not know.
        """
        with support.quiet():
            import coremltools
            from coremltools.converters.mil.frontend.milproto.load import load

            try:
                model = coremltools.models.MLModel(str(path), skip_model_load=True)
                spec = model.get_spec()
                program = load(spec, spec.specificationVersion, model.weights_dir)
            except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
                raise DeviceError(f"Core ML's tools cannot load it: {error}", where=str(path)) from error
        function = program.functions["main"]
        unknown = Counter(one.op_type for one in function.operations if one.op_type not in (*OPERATORS, "const"))
        if unknown:
            raise UnsupportedError(
                f"edgekit's reference for Core ML does not know {', '.join(sorted(unknown))}",
                where=str(path),
                remedy="the file may be right all the same: compare it on a Mac, where Core ML itself runs it",
            )
        self._input = next(iter(function.inputs))
        self._output = next(one.name for one in function.outputs if one.name == support.OUTPUT)
        self._constants: dict[str, Any] = {}
        self._layers: Counter[str] = Counter()
        self._half = any(_is_half(out) for one in function.operations for out in one.outputs)
        with torch.inference_mode():
            self._steps = list(self._plan(function))

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Session``; one input at a time is what the file takes."""
        with torch.inference_mode():
            values: dict[str, Any] = {self._input: torch.from_numpy(np.ascontiguousarray(batch))}
            for step in self._steps:
                values.update(zip(step.results, _compute(step, values), strict=True))
                for name in step.last_used:
                    del values[name]
            result: NDArray[np.float32] = values[self._output].float().numpy()
            return result

    def executed(self) -> Executed:
        """What the file holds: no layer in INT8 is a file in float, whatever it was asked to be."""
        of = self.layers()
        every = sum(of.values())
        how = f"{_HOW}; {of.get('int8', 0)} of its {every} layers with weights are in INT8"
        return Executed("unknown" if not every or "int8" in of or self._half else "fp32", {}, how)

    def layers(self) -> dict[str, int]:
        """Layers with weights by whether their weights and inputs are kept in 8 bits."""
        return dict(self._layers)

    def _plan(self, function: Any) -> Iterator[_Step]:
        """The operators in order; constants, and what is computed from them alone, are kept apart."""
        operations = list(function.operations)
        last: dict[str, int] = {}
        for at, one in enumerate(operations):
            last.update(dict.fromkeys(_names(one), at))
        made_by = {out.name: one for one in operations for out in one.outputs}
        for at, one in enumerate(operations):
            if one.op_type == "const":
                self._constants[one.outputs[0].name] = _constant(one.outputs[0].val)
                continue
            arguments = {key: self._argument(value) for key, value in one.inputs.items() if value is not None}
            results = tuple(out.name for out in one.outputs)
            half = tuple(_is_half(out) for out in one.outputs)
            gone = tuple(name for name in _names(one) if last[name] == at and name not in self._constants)
            unread = tuple(name for name in results if name not in last and name != self._output)
            step = _Step(one.op_type, arguments, results, half, (*dict.fromkeys(gone), *unread))
            if one.op_type in _WITH_WEIGHTS:
                self._layers["int8" if _in_eight_bits(one, made_by) else "fp32"] += 1
            if not any(isinstance(value, _Name) for value in _flat(arguments)):
                self._constants.update(zip(results, _compute(step, {}), strict=True))
                continue
            yield step

    def _argument(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(self._argument(one) for one in value)
        return self._constants.get(value.name, _Name(value.name))


def _compute(step: _Step, values: dict[str, Any]) -> list[Any]:
    made = OPERATORS[step.kind](**{key: _given(one, values) for key, one in step.arguments.items()})
    parts = made if isinstance(made, tuple) else (made,)
    return [_rounded(one) if half else one for one, half in zip(parts, step.half, strict=True)]


def _given(argument: Any, values: dict[str, Any]) -> Any:
    if isinstance(argument, tuple):
        return [_given(one, values) for one in argument]
    return values[argument.name] if isinstance(argument, _Name) else argument


def _flat(arguments: dict[str, Any]) -> Iterator[Any]:
    for value in arguments.values():
        yield from value if isinstance(value, (tuple, list)) else (value,)


def _names(operation: Any) -> Iterator[str]:
    for value in _flat(operation.inputs):
        if value is not None:
            yield value.name


def _is_half(variable: Any) -> bool:
    from coremltools.converters.mil.mil import types

    return bool(variable.dtype == types.fp16)


def _rounded(value: Any) -> Any:
    return value.half().float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _constant(value: Any) -> Any:
    """A tensor for an array of numbers, else a plain value or list; float16 as the same number in float32."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        value = value.astype(np.float32)
    if not isinstance(value, np.ndarray):
        return value.item() if isinstance(value, np.generic) else value
    if value.dtype.kind == "f" or value.dtype in (np.int8, np.uint8):
        return torch.from_numpy(np.array(value))
    return value.tolist()


def _in_eight_bits(layer: Any, made_by: dict[str, Any]) -> bool:
    weights, given = made_by.get(layer.weight.name), made_by.get(layer.x.name)
    return (
        weights is not None
        and weights.op_type.startswith("constexpr_")
        and given is not None
        and given.op_type == "dequantize"
    )
