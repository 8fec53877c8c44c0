"""Which figures speak for a task: the one of the main table, those of each step, and those of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.record import Record
from edgekit.report.plain import dig

#: Figures of a class whose metric is no word.
WORDS = {"ppv": "positive predictive value", "npv": "negative predictive value"}


@dataclass(frozen=True)
class Headline:
    """The figures of one kind of task.

    Attributes:
        metric: of the main table.
        heading: its name there.
        narrow: the same for a column of six letters.
        steps: heading -> metric of what is shown of each pass.
        per_class: the tables with a row for each class.
        rare: the figure that is followed in the rarest classes.
        study: metric -> heading, of the table of a study; the rarest class comes to it.
        pictured: the metric that a study's picture sets against latency.
        unit: what ``data`` counts: ``images``, or ``pixels`` in segmentation.
    """

    metric: str
    heading: str
    narrow: str
    steps: Mapping[str, str]
    per_class: tuple[str, ...]
    rare: str
    study: Mapping[str, str]
    pictured: str
    unit: str


CLASSIFICATION = Headline(
    metric="accuracy",
    heading="accuracy",
    narrow="accu-\nracy",
    steps={"accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "ECE": "ece", "NLL": "nll"},
    per_class=("sensitivity", "specificity", "ppv", "npv"),
    rare="sensitivity",
    study={"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "ece": "ECE"},
    pictured="balanced_accuracy",
    unit="images",
)
SEGMENTATION = Headline(
    metric="mean_dice",
    heading="mean Dice",
    narrow="mean\nDice",
    steps={"mean Dice": "mean_dice", "pixel accuracy": "accuracy", "ECE": "ece", "NLL": "nll"},
    per_class=("dice", "iou", "hd95", "sensitivity"),
    rare="dice",
    study={"mean_dice": "mean Dice", "accuracy": "pixel accuracy", "ece": "ECE"},
    pictured="mean_dice",
    unit="pixels",
)


def segments(record: Record) -> bool:
    """Whether the task is segmentation."""
    return bool(dig(record.recipe, "task", "kind") == "segmentation")


def of(record: Record) -> Headline:
    """The figures of the record's task."""
    return SEGMENTATION if segments(record) else CLASSIFICATION
