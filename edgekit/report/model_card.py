"""A model card: what Hugging Face's hub reads at the top of a ``README.md``, and a page for people below it."""

from __future__ import annotations

from typing import Any

import yaml

from edgekit import templates
from edgekit.record import Artifact, Record
from edgekit.report import document, headline, overview, results
from edgekit.report.escape import Safe, markdown
from edgekit.report.markdown import TEMPLATES
from edgekit.report.plain import dig, words

_TASKS = {"classification": "image-classification", "segmentation": "image-segmentation"}
_LIBRARY = "edgekit"
#: Runtime -> the hub's tag of its files.
_TAGS = {
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "litert": "tflite",
    "coreml": "coreml",
    "tensorrt": "tensorrt",
}
#: Figures over the test split that the card's metadata hold, besides those of each class.
_METRICS = ("accuracy", "balanced_accuracy", "auc", "mean_dice", "nll", "ece", "brier")


def render(record: Record) -> str:
    """The card: YAML between two lines of dashes, then Markdown. It is written, and never uploaded."""
    made = templates.environment(TEMPLATES, markdown)
    front = yaml.safe_dump(metadata(record), sort_keys=False, allow_unicode=True, width=1000)
    rows = [(row, results.artifact(record, row.name)) for row in overview.rows(record)]
    shipped = [(row, one) for row, one in rows if one is not None and not row.reference]
    return made.get_template("model_card.md.j2").render(
        **document.content(record), front=Safe(front), shipped=shipped
    )


def is_card(text: str) -> bool:
    """Whether ``text`` is a card that edgekit wrote."""
    return text.startswith("---\n") and f"\nlibrary_name: {_LIBRARY}\n" in text.split("\n---\n")[0] + "\n"


def metadata(record: Record) -> dict[str, Any]:
    """The hub's fields, as far as the record knows them; a licence it does not know."""
    kind = words(dig(record.recipe, "task", "kind"))
    runtimes = dict.fromkeys(one.runtime for one in results.exported(record) if one.status != "not exported")
    modality = words(dig(record.recipe, "task", "modality"))
    found: dict[str, Any] = {
        "library_name": _LIBRARY,
        "tags": ["medical-imaging", modality, *(_TAGS.get(one, one) for one in runtimes)],
    }
    if kind in _TASKS:
        found["pipeline_tag"] = _TASKS[kind]
    found["metrics"] = [one for one in _METRICS if any(record.value(a.name, one) for a in record.artifacts)]
    evaluated = [one for one in results.exported(record) if record.value(one.name, headline.of(record).metric)]
    name = words(dig(record.recipe, "name"))
    if evaluated:
        found["model-index"] = [{"name": name, "results": [_result(record, one, kind) for one in evaluated]}]
    return found


def _result(record: Record, one: Artifact, kind: str) -> dict[str, Any]:
    """What the hub shows of one exported file."""
    measured = [row for row in record.measurements if row.artifact == one.name and row.samples]
    classes = headline.of(record).per_class
    newest = {row.metric: row for row in measured}
    shown = [row for name, row in newest.items() if name in _METRICS or name.partition("/")[0] in classes]
    return {
        "task": {"type": _TASKS.get(kind, kind), "name": words(dig(record.recipe, "task", "description"))},
        "dataset": {
            "type": words(dig(record.data, "name")),
            "name": words(dig(record.data, "name")),
            "split": "test",
        },
        "metrics": [
            {
                "type": row.metric.partition("/")[0],
                "name": f"{row.metric} of {one.name}, {one.precision_executed or one.precision_requested}",
                "value": row.samples[-1],
                "verified": False,
            }
            for row in shown
            if row.samples
        ],
    }
