"""What is said of one artifact: its figures, whether it kept the gates, and its entry in the record."""

from __future__ import annotations

from edgekit import evaluate, record
from edgekit.evaluate import temperature
from edgekit.recipe import Recipe
from edgekit.runtimes.base import Executed
from edgekit.store import Finished
from edgekit.target import Axis
from edgekit.variant import FUSED, PYTORCH, QUANTIZED, Variant

#: What an artifact is compared with, in words.
_REFERENCES = {
    record.SOURCE: "the source",
    FUSED: "the compressed float model",
    QUANTIZED: "the fake-quantized model",
}

#: What evaluation compared where a file leaves an axis open.
_OPEN: dict[Axis, str] = {"batch": "in_batches", "size": "in_sizes"}


def figures(
    variant: Variant, evaluated: Finished | None, reason: str | None, recipe: Recipe
) -> list[record.Measurement]:
    """What evaluation measured, or ``reason`` for every metric that it could not."""
    if evaluated is not None and "measurements" in evaluated.result:
        return [record.Measurement.model_validate(row) for row in evaluated.result["measurements"]]
    if evaluated is not None:
        reason = "the weights are random (model.untrained): only latency, memory and size mean anything"
    rows = evaluate.not_measured(recipe.task.kind, variant.name, str(reason), recipe.task.classes)
    return rows + (
        temperature.not_measured(variant.name, str(reason)) if recipe.evaluation.temperature_scaling else []
    )


def gates(
    variant: Variant,
    evaluated: Finished,
    own: list[record.Measurement],
    source: list[record.Measurement],
    recipe: Recipe,
) -> list[record.Gate]:
    """The recipe's gates, and that the runtime ran the precision that was asked for."""
    executed = Executed(**evaluated.result["executed"])
    known = executed.precision if executed.precision != "unknown" else variant.precision
    compared = evaluated.result.get("parity_all" if variant.reference == QUANTIZED else "parity")
    # An INT8 file whose layers ran in float is judged as the INT8 file that it is.
    judged_as = variant.precision if variant.precision != "fp32" else known
    rows = evaluate.check(
        variant.name,
        judged_as,
        evaluate.Parity(**compared) if compared else None,
        own,
        source,
        recipe.gates,
        trained=not recipe.model.untrained,
        reference=_REFERENCES.get(variant.reference, variant.reference),
        trained_int8=variant.reference == QUANTIZED,
        dense=recipe.task.kind == "segmentation",
    )
    rows += [
        evaluate.check_open(
            variant.name,
            axis,
            judged_as,
            evaluate.Parity(**evaluated.result[found]),
            recipe.gates,
            trained=not recipe.model.untrained,
            dense=recipe.task.kind == "segmentation",
        )
        for axis, found in _OPEN.items()
        if axis in variant.dynamic
    ]
    same = executed.precision in (variant.precision, "unknown")
    text = f"asked for {variant.precision}, ran {executed.precision} (read from: {executed.how})"
    return [
        *rows,
        record.Gate(artifact=variant.name, name="precision", limit=None, value=None, passed=same, explanation=text),
    ]


def budgeted(
    artifacts: list[record.Artifact], measurements: list[record.Measurement], recipe: Recipe, timed: bool
) -> tuple[list[record.Artifact], list[record.Gate]]:
    """The artifacts after the gates on what they cost, which only a measurement decides, and these gates.

    Args:
        artifacts: as judged by what they answer; the models in PyTorch, which do not ship, cost what they may.
        measurements: of the whole run.
        recipe: for its gates.
        timed: whether this run measures latency.
    """
    judged, rows = [], []
    for one in artifacts:
        ships = one.runtime != PYTORCH.runtime and one.status not in ("not exported", "failed")
        own = evaluate.check_budgets(one, measurements, recipe.gates, timed) if ships else []
        lost = [gate.explanation for gate in own if not gate.passed]
        if lost:
            before = [one.reason] if one.status == "rejected" and one.reason else []
            one = one.model_copy(update={"status": "rejected", "reason": "; ".join([*before, *lost])})
        judged.append(one)
        rows += own
    return judged, rows


def artifact(
    variant: Variant,
    exported: Finished,
    evaluated: Finished | None,
    cannot_run: str | None,
    failure: str | None,
    gates: list[record.Gate],
    recipe: Recipe,
) -> record.Artifact:
    """The artifact's entry in the record; its path is still that inside its stage.

    Args:
        variant: what was exported.
        exported: the stage that holds its files.
        evaluated: none where its answers are not known.
        cannot_run: why this machine cannot run it; its answers may then come from a reference.
        failure: why running it failed.
        gates: from ``gates``.
        recipe: for the preprocessing.
    """
    status: record.Status = "accepted"
    reason = None
    lost = [gate.explanation for gate in gates if not gate.passed]
    if exported.result.get("refused"):
        status, reason = "not exported", str(cannot_run)
    elif failure is not None:
        status, reason = "failed", failure
    elif lost:
        status, reason = "rejected", "; ".join(lost)
    elif cannot_run is not None and evaluated is not None:
        how = evaluated.result["executed"]["how"]
        status, reason = "checked, not run here", f"{cannot_run}. Its answers come from {how}"
    elif cannot_run is not None:
        status, reason = "exported, not run here", cannot_run
    executed = Executed(**evaluated.result["executed"]) if evaluated else None
    details = dict(exported.result["details"])
    if executed:
        details["precision_read_from"] = executed.how
        details["layers_not_in_requested_precision"] = list(executed.fallbacks)
        details["macs_by_precision"] = executed.macs
    if evaluated and "parity" in evaluated.result:
        details["compared_with"] = variant.reference
        details["parity"] = evaluated.result["parity"]
        details["parity_whole_split"] = evaluated.result["parity_all"]
    for found in _OPEN.values():
        if evaluated and found in evaluated.result:
            details[found] = evaluated.result[found]
    if evaluated and "source_all" in evaluated.result:
        details["agreement_with_source"] = evaluated.result["source_all"]
    if evaluated and "temperature" in evaluated.result:
        details["temperature"] = evaluated.result["temperature"]
    return record.Artifact(
        name=variant.name,
        target=variant.target.name,
        runtime=variant.target.runtime,
        precision_requested=variant.precision,
        precision_executed=executed.precision if executed and cannot_run is None else None,
        path=exported.result["file"],
        sha256=exported.result["sha256"],
        size_bytes=exported.result["size_bytes"],
        status=status,
        reason=reason,
        alternative=variant.alternative,
        options=variant.options,
        inputs=tuple(record.TensorSpec(**spec) for spec in exported.result["inputs"]),
        outputs=tuple(record.TensorSpec(**spec) for spec in exported.result["outputs"]),
        preprocessing=recipe.input.model_dump(mode="json"),
        stages=variant.stages,
        layers=executed.layers if executed else {},
        details=details,
    )
