"""The artifacts that a run makes: for each target every precision that it allows, and what else might be faster.

INT8 has several ways: edgekit's one quantized program; the same as the runtime is fastest with it, with symmetric
activations and what stays in float run in BF16; and the runtime's own quantizer. Measurement chooses among those
that pass the gates (``choose``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit import record, runtimes
from edgekit.lineage import Lineage
from edgekit.quantization.scheme import Scheme
from edgekit.recipe import Recipe
from edgekit.runtimes import own_int8, support
from edgekit.runtimes.base import Runtime
from edgekit.target import Axis, Target
from edgekit.variant import FUSED, PYTORCH, QUANTIZED, Calibrated, Made, Variant

#: Asked for by no pass: their files are candidates, whose loss is no failure of a run.
_CONVENIENT = ("bf16", "fp16")


def variants(line: Lineage, targets: Mapping[str, Target], recipe: Recipe) -> list[Variant]:
    """The source, the fused model, and every candidate of every target, in the order in which they are reported."""
    names = line.histories
    found = [Variant(record.SOURCE, line.source, PYTORCH, "fp32", names["source"])]
    if line.final.stage.key != line.source.stage.key:
        same = "" if line.lossy else record.SOURCE
        found.append(Variant(FUSED, line.final, PYTORCH, "fp32", names["final"], same))
    for target in targets.values():
        made = _of_target(line, target, recipe)
        if recipe.native_operators and not not_native(line, {target.name: target}):
            made += _natively(made)
        found += [replace(one, dynamic=dynamic(one.runtime, recipe)) for one in made]
    return found


def not_native(line: Lineage, targets: Mapping[str, Target]) -> str:
    """Why no file of these targets can have a native operator in it; empty where one can."""
    every = [runtimes.get(target.runtime).native_library(target) for target in targets.values()]
    libraries = [one for one in every if one is not None]
    if not libraries:
        return "they are written for OpenVINO and ONNX Runtime on the CPU, in which none of the targets runs"
    if not _scans(line.final):
        return "the network has no selective scan"
    reasons = [one.missing() for one in libraries]
    return "" if None in reasons else str(reasons[0])


def _natively(made: list[Variant]) -> list[Variant]:
    """The same files with the native operator in them."""
    return [
        replace(
            one,
            name=f"{one.name}-native",
            begins_with=f"{one.begins_with}-native" if one.begins_with else "",
            native=True,
            alternative=True,
        )
        for one in made
        if one.own is None
    ]


def dynamic(runtime: Runtime, recipe: Recipe) -> tuple[Axis, ...]:
    """The axes that the recipe wants open and that files of the runtime can leave open."""
    return tuple(axis for axis in recipe.dynamic if axis in runtime.dynamic)


def _of_target(line: Lineage, target: Target, recipe: Recipe) -> list[Variant]:
    of_float = FUSED if line.lossy else record.SOURCE
    of_int8 = QUANTIZED if line.trained_int8 else of_float
    found: list[Variant] = []
    for precision in target.precisions:
        if recipe.precision not in (None, precision):
            continue
        name = f"{target.name}-{precision}"
        if precision != "int8":
            made = Variant(name, line.final, target, precision, line.histories["final"], of_float)
            same = f"{target.name}-fp32" if precision in made.runtime.set_at_load else ""
            convenient = precision in _CONVENIENT and recipe.precision is None
            found.append(replace(made, alternative=convenient, begins_with=same))
        elif line.quantized is not None:
            plain = Variant(name, line.quantized, target, "int8", line.histories["quantized"], of_int8)
            found.append(plain)
            if recipe.precision is None:
                found += _other_int8(plain, line, recipe, of_float)
    return found


def _other_int8(plain: Variant, line: Lineage, recipe: Recipe, of_float: str) -> list[Variant]:
    """Other ways to INT8, where this machine can measure them: one that is not measured can never be chosen."""
    runtime, target = plain.runtime, plain.target
    if runtime.cannot_run(target) is not None:
        return []
    found = []
    rest = runtime.rest_in_bf16(target)
    fast = runtime.fast_activations
    if fast is not None and not line.trained_int8 and _activations(plain.made) == "asymmetric":
        name = f"{plain.name}-symmetric"
        found.append(replace(plain, name=name, activations=fast, options=rest, alternative=True))
    elif rest:
        name = f"{plain.name}-bf16"
        found.append(replace(plain, name=name, begins_with=plain.name, options=rest, alternative=True))
    tool = own_int8.get(runtime.name)
    calibrated = _calibrated(plain.made)
    if tool is None or calibrated is None or line.trained_int8 or not recipe.own_quantizers:
        return found
    if support.missing(*tool.missing) is not None or _scans(line.final):
        return found
    own = replace(
        plain,
        name=f"{plain.name}-{tool.name}",
        made=line.final,
        begins_with=f"{target.name}-fp32",
        options=rest,  # as such a file runs where nothing else is said
        reference=of_float,
        alternative=True,
        own=calibrated,
    )
    return [*found, own]


def _activations(quantized: Made) -> str:
    return Scheme.of(quantized.model.quantization or {}).activations


def _scans(made: Made) -> bool:
    """Whether the network has a selective scan, which keeps the runtimes' own tools away.

    Written out it has thousands of nodes: they would quantize every step of the recurrence, and ONNX Runtime's
    tool, whose time grows with the square of the nodes, took more than 15 minutes for LightM-UNet.
    """
    from edgekit.zoo.state_space import SelectiveScan

    return any(isinstance(one, SelectiveScan) for one in made.model.network.modules())


def _calibrated(quantized: Made) -> Calibrated | None:
    """The images that a 'quantize' pass used; none where it keeps layers in float, which a tool cannot be told."""
    made = quantized.model.quantization
    if made is None or made["keep_float"] or made["calibration"] is None:
        return None
    return Calibrated(quantized.stage.key, made["calibration"]["images"], made["calibration"]["seed"])
