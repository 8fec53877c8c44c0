"""The rules that an artifact must keep before it leaves the pipeline, each with its explanation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgekit.evaluate import margins
from edgekit.record import Gate, Measurement

if TYPE_CHECKING:
    from edgekit.evaluate.parity import Parity
    from edgekit.recipe import Gates
    from edgekit.target import Axis

#: Precisions whose rounding moves logits by more than the float gate allows, on every correct export.
REDUCED = frozenset({"bf16", "fp16", "int8"})


def check(
    artifact_name: str,
    precision: str,
    parity: Parity | None,
    measurements_of_artifact: Iterable[Measurement],
    measurements_of_source: Iterable[Measurement],
    gates: Gates,
    trained: bool,
    reference: str = "the source",
    trained_int8: bool = False,
    dense: bool = False,
) -> list[Gate]:
    """Judge one artifact.

    FP32 must keep the logits (``float_max_relative_difference``) and classes (``float_min_agreement``) of the
    model that it was exported from. INT8, BF16 and FP16 are judged by what they answer, not by their logits:
    classes (``int8_min_agreement``, or ``qat_min_agreement`` where the model was trained quantized) and accuracy.
    The accuracy drop below the source is a gate for every artifact of a trained model. In segmentation the
    classes are those of pixels, the overlap of the masks is a gate as well (``float_min_mask_dice`` and its
    siblings), and the drop is that of the mean Dice (``max_dice_drop``). What else the figures may lose is in
    ``margins``; what the artifact may cost, which is known only when it was measured, is in ``budgets``.

    With random weights the best two classes differ by less than any rounding, so a reduced precision is then
    not judged by its classes or masks: they are reported in gates without a limit, and only logits that are
    not finite, or of the wrong shape, reject it.

    Args:
        artifact_name: its name in the record.
        precision: the one executed, or the one requested where the runtime cannot tell. Anything unknown is
            judged as FP32.
        parity: from ``parity.compare`` on the same images; none where the artifact is a reference of its own.
        measurements_of_artifact: of ``classification.evaluate`` or ``segmentation.evaluate``; those of other
            artifacts are left aside.
        measurements_of_source: the same for the source.
        gates: the recipe's limits.
        trained: whether the weights mean anything.
        reference: what ``parity`` compared it with, in words.
        trained_int8: whether that is the fake-quantized model of quantization-aware training.
        dense: whether the task is segmentation.

    Returns:
        One ``Gate`` a rule, in the order ``parity/logits`` (FP32 only), ``parity/agreement``, ``parity/masks``
        (segmentation only), ``accuracy_drop`` or ``dice_drop``, and those of ``margins`` that the recipe asks for.
    """
    reduced = precision in REDUCED
    rows: list[Gate] = []
    if parity is not None:
        if not reduced:
            rows.append(_logits(artifact_name, parity, gates.float_max_relative_difference, dense))
        classes, masks = gates.float_min_agreement, gates.float_min_mask_dice
        if reduced:
            classes, masks = gates.int8_min_agreement, gates.int8_min_mask_dice
        if trained_int8 and precision == "int8":
            classes, masks = gates.qat_min_agreement, gates.qat_min_mask_dice
        judged = trained or not reduced
        rows.append(_agreement(artifact_name, parity, classes if judged else None, reference, dense))
        if dense:
            rows.append(_masks(artifact_name, parity, masks if judged else None, reference))
    if trained:
        rows += margins.check(artifact_name, measurements_of_artifact, measurements_of_source, gates, dense)
    return rows


def check_open(
    artifact_name: str,
    axis: Axis,
    precision: str,
    parity: Parity,
    gates: Gates,
    trained: bool,
    dense: bool = False,
) -> Gate:
    """Judge a file with an open axis by what it answers where the axis is not as the recipe says.

    Several inputs at once must be answered as one by one, with the limits of a float artifact. Inputs of other
    sizes must be answered as by the network that the file was exported of, with those of its precision. The float
    network is asked also after quantization-aware training, as the fake-quantized one is traced for one size, so
    the limit is then ``int8_min_agreement``, which is the one with a float model.

    Args:
        artifact_name, precision, gates, trained, dense: as in ``check``.
        axis: the one that is open.
        parity: of the file's logits, compared with its own one by one, or with those of the float network.

    Returns:
        ``batches/logits`` or ``sizes/logits`` for FP32, else ``batches/agreement`` or ``sizes/agreement``.
    """
    if axis == "batch":
        name, given, reference = "batches", "several inputs at once", "the file itself, given one input at a time,"
        limit = gates.float_min_agreement
    else:
        name, given, reference = "sizes", "inputs of other sizes", "the float network"
        limit = gates.int8_min_agreement
    if precision in REDUCED:
        found = _agreement(artifact_name, parity, limit if trained else None, reference, dense)
    else:
        found = _logits(artifact_name, parity, gates.float_max_relative_difference, dense)
    text = f"{given}: {found.explanation}"
    return found.model_copy(update={"name": found.name.replace("parity/", f"{name}/"), "explanation": text})


def _logits(artifact: str, parity: Parity, limit: float, dense: bool) -> Gate:
    value = parity.relative
    if value is None:
        text = f"the logits could not be compared: {parity.problem}"
    else:
        seen = f"{parity.images} {'windows' if dense else 'images'}"
        text = f"logits differ by {value:.1e} of the largest logit on {seen}; allowed {limit:.1e}"
    passed = value is not None and value <= limit
    return Gate(artifact=artifact, name="parity/logits", limit=limit, value=value, passed=passed, explanation=text)


def _agreement(artifact: str, parity: Parity, limit: float | None, reference: str, dense: bool) -> Gate:
    value = parity.argmax_agreement
    if value is None:
        passed, text = False, f"the classes could not be compared: {parity.problem}"
    else:
        seen = f"the pixels of {parity.images} windows" if dense else f"{parity.images} images"
        same = f"the same class as {reference} on {value:.1%} of {seen}"
        if limit is None:
            passed, text = True, f"{same}; not judged, since the weights are random and the classes mean nothing"
        else:
            passed, text = value >= limit, f"{same}; at least {limit:.1%} required"
    return Gate(
        artifact=artifact, name="parity/agreement", limit=limit, value=value, passed=passed, explanation=text
    )


def _masks(artifact: str, parity: Parity, limit: float | None, reference: str) -> Gate:
    value = parity.mask_dice
    if value is None:
        why = parity.problem or "the logits are not those of a segmentation"
        passed, text = False, f"the masks could not be compared: {why}"
    else:
        same = f"the masks overlap those of {reference} with a Dice of {value:.4f} on {parity.images} windows"
        if limit is None:
            passed, text = True, f"{same}; not judged, since the weights are random and the masks mean nothing"
        else:
            passed, text = value >= limit, f"{same}; at least {limit:.3g} required"
    return Gate(artifact=artifact, name="parity/masks", limit=limit, value=value, passed=passed, explanation=text)
