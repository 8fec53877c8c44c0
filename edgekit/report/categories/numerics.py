"""Which precision really ran, how it was reached, and how the runs were timed."""

from __future__ import annotations

import statistics as standard
from typing import Any

from edgekit.record import SOURCE, Artifact, Record, Stage
from edgekit.report import figures, results
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, does_not_apply, not_measured, not_recorded
from edgekit.report.items import Item, item, per_artifact
from edgekit.report.plain import dig, words

#: No more layers than this are named for each artifact.
_NAMED = 4
#: A harness that costs more than this would show in the latency of small networks.
_MOST_HARNESS_S = 20e-6
_FLOAT_ONLY = does_not_apply("no pass of this recipe quantizes")


def precision(record: Record) -> list[Item]:
    """Precision executed, how it was quantized, and what stayed in floating point."""
    names = [one for one in results.names(record) if results.artifact(record, one) is not None]
    changes = _quantize(record)
    return [
        per_artifact("Precision executed", names, lambda name: _executed(record, name), prose=True),
        item("PTQ or QAT", _kind(record)),
        item("Calibration set", _FLOAT_ONLY if changes is None else _calibration(changes)),
        item("Granularity", _FLOAT_ONLY if changes is None else _granularity(changes)),
        item("Layers kept at higher precision", _kept(record, changes)),
    ]


def _quantize(record: Record) -> dict[str, Any] | None:
    """What the quantizing stage changed; none when no stage quantizes."""
    stages: list[Stage] = [stage for stage in record.stages if stage.kind in ("quantize", "qat")]
    return stages[-1].changes if stages else None


def _executed(record: Record, name: str) -> Shown:
    one = results.artifact(record, name)
    if one is None or one.precision_executed is None:
        return not_measured(one.reason if one and one.reason else "the artifact did not run here")
    layers = ", ".join(f"{figures.counted(count, 'layer')} {oneline(kind)}" for kind, count in one.layers.items())
    layers += _share(one)
    asked = f" (asked: {one.precision_requested})" if one.precision_requested != one.precision_executed else ""
    how = dig(one.details, "precision_read_from")
    parts = [f"{one.precision_executed}{asked}", layers, f"read from {words(how)}" if how else ""]
    return Shown("; ".join(part for part in parts if part))


def _share(one: Artifact) -> str:
    """Of the multiply-accumulate operations of layers with weights, what part the asked precision does."""
    macs = dig(one.details, "macs_by_precision")
    if not isinstance(macs, dict) or not sum(macs.values()):
        return ""
    share = macs.get(one.precision_requested, 0) / sum(macs.values())
    return f" ({100 * share:.1f} % of their MACs in {oneline(one.precision_requested)})"


def _kind(record: Record) -> Shown:
    kinds = {stage.kind for stage in record.stages}
    if "qat" in kinds:
        return Shown("QAT (quantization-aware training)")
    if "quantize" in kinds:
        return Shown("PTQ (post-training quantization)")
    return Shown("neither: no pass of this recipe quantizes")


def _calibration(changes: dict[str, Any]) -> Shown:
    found = dig(changes, "calibration")
    if not isinstance(found, dict) or dig(found, "images") is None:
        return not_recorded("the quantizing pass does not say how it was calibrated")
    text = f"{words(found['images'])} images of the split '{words(found.get('split', 'train'))}'"
    text += f", drawn with seed {words(found['seed'])}" if "seed" in found else ""
    text += f", {words(found['drawn'])}" if "drawn" in found else ""
    ranges = found.get("ranges", found.get("method"))
    return Shown(text + (f"; ranges: {words(ranges)}" if ranges else ""))


def _granularity(changes: dict[str, Any]) -> Shown:
    parts = [f"{part} {words(changes[part])}" for part in ("weights", "activations") if changes.get(part)]
    return Shown("; ".join(parts)) if parts else not_recorded("the quantizing pass does not say it")


def _kept(record: Record, changes: dict[str, Any] | None) -> Shown:
    if changes is None:
        return _FLOAT_ONLY
    if "layers_kept_float" not in changes:
        return not_recorded("the quantizing pass does not list them")
    kept = changes["layers_kept_float"]
    text = f"by the quantizing pass: {words(kept)}"
    if changes.get("layers_never_quantized"):
        text += f"; of a kind that is never quantized: {words(changes['layers_never_quantized'])}"
    if dig(changes, "mixed_precision", "asked"):
        text += f"; keep_float {words(changes['mixed_precision']['asked'])}: "
        text += words(dig(changes, "mixed_precision", "verdict"))
    ran = [line for one in results.exported(record) if one.precision_requested == "int8" and (line := _other(one))]
    return Shown("\n".join([text, *ran]))


def _other(one: Artifact) -> str:
    """The layers of an INT8 artifact that did not run in INT8; empty where the runtime names none."""
    counted = ", ".join(
        f"{count} in {oneline(kind)}" for kind, count in one.layers.items() if kind != "int8" and count
    )
    named = dig(one.details, "layers_not_in_requested_precision") or []
    if not counted and not named:
        return ""
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    which = f" ({words(named[:_NAMED])}{more})" if named else ""
    return f"as executed in {oneline(one.name)}: {counted or figures.counted(len(named), 'layer')}{which}"


def protocol(record: Record) -> list[Item]:
    """Batch, warm-up, timed runs, synchronization, and what the clock saw."""
    asked = dig(record.recipe, "benchmark")
    timed = [name for name in results.names(record) if results.latency(record, name) is not None]
    return [
        item("Batch size", _batch(record, timed)),
        item("Warm-up runs", _warmup(record, asked, timed)),
        per_artifact("Timed runs", timed, lambda name: _runs(record, name), none="no artifact was timed"),
        _methods(record, timed),
        item("Scope of I/O handling", _scope(record, timed)),
        item("Preprocessing of one image, timed apart", _preprocessing(record)),
        per_artifact(
            "Cost of the harness", timed, lambda name: _harness(record, name), none="no artifact was timed"
        ),
        per_artifact(
            "Cores and governor",
            timed,
            lambda name: _setting(record, name),
            none="no artifact was timed",
            prose=True,
        ),
    ]


def condition(record: Record, timed: list[str], key: str) -> Shown | None:
    """A condition under which the latency of all ``timed`` was taken; none where it is not recorded."""
    found: dict[str, None] = {}
    for name in timed:
        one = results.latency(record, name)
        value = one.conditions.get(key) if one is not None else None
        if value is not None:
            found[words(value)] = None
    return Shown(" / ".join(found)) if found else None


def _batch(record: Record, timed: list[str]) -> Shown:
    if not timed:
        return not_measured("no artifact was timed")
    return condition(record, timed, "batch") or Shown("1: artifacts are exported for one image")


def _warmup(record: Record, asked: Any, timed: list[str]) -> Shown:
    if not timed:
        return not_measured("no artifact was timed")
    done = condition(record, timed, "warmup")
    if done is not None and done.value is not None:
        return Shown(f"{done.value} in each process, not part of the samples")
    count = dig(asked, "warmup")
    return Shown(f"{count} in each process") if count is not None else not_recorded("the recipe holds no protocol")


def _runs(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    if one is None:
        return not_measured(results.why_not(record, name, "latency_s"))
    sizes = sorted({len(process) for process in one.processes})
    each = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    count = len(one.processes)
    turns = f"; {one.conditions['alternated']}" if "alternated" in one.conditions else ""
    return Shown(f"{each} in each of {count} fresh processes, {len(one.pooled)} in all; nothing clipped{turns}")


def _methods(record: Record, timed: list[str]) -> Item:
    name = "Synchronization method"
    found = condition(record, timed, "synchronization")
    if found is not None:
        return item(name, found)
    return per_artifact(name, timed, lambda one: _method(record, one), none="no artifact was timed", prose=True)


def _method(record: Record, name: str) -> Shown:
    one = results.latency(record, name)
    method = oneline(one.method) if one is not None else ""
    return Shown(method) if method else not_recorded("the measurement does not state its method")


def _scope(record: Record, timed: list[str]) -> Shown:
    if not timed:
        return not_measured("no artifact was timed")
    stated = condition(record, timed, "timed")
    return stated or Shown(
        "from one preprocessed input array in memory to the logits in memory; reading, decoding and preprocessing "
        "of the image lie outside"
    )


def _preprocessing(record: Record) -> Shown:
    """The median of an image's way to the network, and of each of its steps."""
    found = record.value(SOURCE, "preprocessing_s")
    if found is None or not found.samples:
        given = [one.not_measured_reason for one in record.of(SOURCE, "preprocessing_s")]
        return not_measured(next(filter(None, given), "this run did not time it"))
    steps = [
        f"{step} {figures.duration(standard.median(seconds))}"
        for step in ("decode", "resize", "normalize")
        if isinstance(seconds := found.conditions.get(f"{step}_s"), (list, tuple)) and seconds
    ]
    count = figures.counted(len(found.samples), "image")
    total = figures.duration(standard.median(found.samples))
    return Shown(f"p50 {total} ({', '.join(steps)}), {count} of the test split; {oneline(found.method)}")


def _harness(record: Record, name: str) -> Shown:
    """What edgekit's own loop adds to a run, which every latency holds."""
    found = record.value(name, "harness_s")
    if found is None or not found.samples:
        return not_recorded("the record was made before the null runtime was timed beside each artifact")
    cost_s = max(found.samples)
    held = "below" if cost_s < _MOST_HARNESS_S else "NOT below"
    return Shown(
        f"{figures.number(cost_s * 1e6, 2)} µs a run (null runtime), {held} {_MOST_HARNESS_S * 1e6:.0f} µs"
    )


def _setting(record: Record, name: str) -> Shown:
    """The cores that the process could use, and what of the target's wishes could not be set."""
    one = results.latency(record, name)
    if one is None or "cores" not in one.conditions:
        return not_recorded("the measurement does not state its cores")
    text = f"cores {words(one.conditions['cores'])}"
    refused = one.conditions.get("not_set")
    if isinstance(refused, dict) and refused:
        text += "; could NOT be set: " + "; ".join(f"{key}: {words(why)}" for key, why in refused.items())
    return Shown(text)
