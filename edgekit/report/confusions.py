"""The confusions that grew: pairs of true and predicted class that an artifact makes more often than the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.record import SOURCE, Predictions, Record
from edgekit.report import classes
from edgekit.report.analysis import Analysis
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown

#: With fewer images of a class a share moves by more than three points with each of them.
FEW = 30
_MOST = 5


@dataclass(frozen=True)
class Grown:
    """One pair: how often it is made before and after, of so many test images of the true class."""

    truth: str
    predicted: str
    before: int
    after: int
    images: int

    @property
    def said(self) -> str:
        """``2 -> 5 of 40 (5.0 % to 12.5 %)``, and that they are few."""
        shares = f"{self.before / self.images:.1%} to {self.after / self.images:.1%}"
        few = f"; only {self.images} images of the class" if self.images < FEW else ""
        return f"{self.before} → {self.after} of {self.images} ({shares}{few})"


def grown(source: Predictions, other: Predictions, labels: Sequence[int], names: Sequence[str]) -> list[Grown]:
    """The pairs that became more frequent, the largest growth first."""
    counted = [
        Counter((label, called) for label, called in zip(labels, one.predicted, strict=False) if label != called)
        for one in (source, other)
    ]
    images = Counter(labels)
    found = [
        Grown(_name(names, label), _name(names, called), counted[0][label, called], count, images[label])
        for (label, called), count in counted[1].items()
        if count > counted[0][label, called]
    ]
    return sorted(found, key=lambda one: (one.before - one.after, one.truth, one.predicted))


def table(record: Record, artifacts: Sequence[str]) -> Analysis | None:
    """The pairs that grew most in each compared artifact; none where nothing was predicted, or nothing grew."""
    by_name = {one.artifact: one for one in record.predictions}
    source = by_name.get(SOURCE)
    compared = [name for name in artifacts if name != SOURCE and name in by_name]
    if source is None or not record.labels or not compared:
        return None
    names = [one.name for one in classes.counts(record)]
    rows = []
    for artifact in compared:
        pairs = grown(source, by_name[artifact], record.labels, names)
        rows += [
            (f"{oneline(artifact)}: {one.truth} called {one.predicted}", [Shown(one.said)]) for one in pairs[:_MOST]
        ]
    if not rows:
        return None
    said = [
        "Counts on the test split, source to artifact, and their share of the images of the true class; of each "
        f"artifact the {_MOST} pairs that grew most. A pair may grow while another shrinks by as much."
    ]
    return Analysis("Confusions that grew", ["artifact and confusion", "source → artifact"], rows, said)


def _name(names: Sequence[str], index: int) -> str:
    return oneline(names[index]) if 0 <= index < len(names) else f"class {index}"
