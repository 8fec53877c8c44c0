"""The sensitivity analysis of a record: which layers INT8 harms most, and which were given back to float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.record import Record, Stage
from edgekit.report import figures
from edgekit.report.escape import oneline
from edgekit.report.plain import dig, words

#: No more layers than this are in the table; the rest are in ``record.json``.
MOST = 10
#: Key -> heading of the shares; a task has some of them.
_SHARES = {
    "agreement": "same class as float",
    "mask_dice": "overlap with float's masks",
    "mean_dice": "mean Dice",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "ece": "ECE",
    "rarest_sensitivity": "sensitivity of the rarest class",
}


@dataclass(frozen=True)
class Layer:
    """One layer. ``harm`` is none where its logits were not finite, which is worse than any number."""

    name: str
    harm: float | None
    kept_float: bool
    row: dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """The last analysis of a record.

    Attributes:
        stage: the pass that made it.
        layers: the most harmful first.
        table: as the pass wrote it.
        choice: what ``keep_float: auto`` did; empty where it was not asked for.
    """

    stage: str
    layers: list[Layer]
    table: dict[str, Any]
    choice: dict[str, Any]


def analysis(record: Record) -> Analysis | None:
    """The analysis of the last pass that made one; none where no pass did."""
    for stage in reversed(record.stages):
        found = _layers(stage)
        if found:
            choice = dig(stage.changes, "mixed_precision")
            table = dict(stage.changes["sensitivity"])
            return Analysis(stage.name, found, table, choice if isinstance(choice, dict) else {})
    return None


def names(found: Analysis) -> tuple[str, ...]:
    """The headings of the table."""
    shares = [_SHARES[key] for key in _shown(found)]
    return ("harm (KL, nat)", *shares, "NLL", "error of logits", "MACs", "ran in")


def cells(found: Analysis) -> list[tuple[str, list[str]]]:
    """The rows of the table: the float network, every layer in INT8, then the most harmful layers alone."""
    keys = _shown(found)
    rows = [("none (all float)", _cells(dig(found.table, "all_float"), keys, "-", "fp32"))]
    rows.append(("all", _cells(dig(found.table, "all_int8"), keys, "-", "int8")))
    for one in found.layers[:MOST]:
        share = _number(one.row.get("macs_share"))
        macs = "not counted" if share is None else f"{share:.1%}"
        rows.append((one.name, _cells(one.row, keys, macs, "float" if one.kept_float else "INT8")))
    return rows


def notes(found: Analysis) -> list[str]:
    """What the table is of, in sentences."""
    images = f"{words(found.table.get('images'))} of {words(found.table.get('available'))} images"
    rare = words(found.table.get("rarest_class"))
    lines = [
        f"Each layer alone in INT8 as the pass would quantize it, everything else in float: {images} of the split "
        f"'{words(found.table.get('split'))}', never of the test split (drawn: {words(found.table.get('drawn'))}). "
        "Harm is the mean Kullback-Leibler divergence of the predictions from the float network's. Rarest class: "
        f"{rare} ({words(found.table.get('rarest_class_images'))} images). Made by {oneline(found.stage)}."
    ]
    if len(found.layers) > MOST:
        more = figures.counted(len(found.layers) - MOST, "more layer")
        lines.append(f"And {more}, each less harmful; record.json holds all.")
    return lines + choice(found)


def choice(found: Analysis) -> list[str]:
    """What ``keep_float: auto`` did, in sentences; empty where it was not asked for."""
    if not found.choice:
        return []
    lines = [f"keep_float: auto. Verdict: {words(found.choice.get('verdict'))}."]
    for step in _mappings(found.choice.get("given_back")):
        share = _number(step.get("macs_share"))
        lines.append(
            f"Given back to float: {words(step.get('layer'))}"
            + ("" if share is None else f", {share:.1%} of the MACs")
            + f"; with it the same class as float {_share(step.get('agreement'))}, accuracy "
            f"{_share(step.get('accuracy'))}, divergence {_figure(step.get('kl'))}"
        )
    for form, row in (dig(found.choice, "forms") or {}).items():
        ratio = _number(dig(row, "latency_ratio"))
        cost = "not measured" if ratio is None else f"{ratio:.2f} times that of INT8 throughout"
        holds = "the gates hold" if dig(row, "gates_hold") else "the gates do not hold"
        lines.append(f"Form '{oneline(str(form))}': float {words(dig(row, 'kept_float'))}; {holds}; latency {cost}")
    return lines


def _layers(stage: Stage) -> list[Layer]:
    rows = _mappings(dig(stage.changes, "sensitivity", "layers"))
    found = [
        Layer(words(row.get("layer")), _number(row.get("kl")), row.get("kept_float") is True, row) for row in rows
    ]
    return sorted(found, key=lambda one: -float("inf") if one.harm is None else -one.harm)


def _shown(found: Analysis) -> list[str]:
    rows = [found.table.get("all_float"), found.table.get("all_int8"), *(one.row for one in found.layers)]
    return [key for key in _SHARES if any(isinstance(row, dict) and key in row for row in rows)]


def _cells(row: Any, keys: list[str], macs: str, ran: str) -> list[str]:
    harm = _number(dig(row, "kl"))
    shares = [_share(dig(row, name)) for name in keys]
    rest = [_figure(dig(row, name)) for name in ("nll", "logit_error")]
    return ["not finite" if harm is None else _figure(harm), *shares, *rest, macs, ran]


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, (list, tuple)) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _share(value: Any) -> str:
    found = _number(value)
    return "not defined" if found is None else f"{found:.3f}"


def _figure(value: Any) -> str:
    found = _number(value)
    return "not defined" if found is None else figures.number(found)
