"""The compression-identified exemplars of a study: how many, and among whom they are common."""

from __future__ import annotations

from edgekit.record import Exemplars, Record
from edgekit.report import changed_images, results
from edgekit.report.ablation.runs import Runs

HEADINGS = ("candidate", "artifact", "definition", "seeds", "images", "commonest among")
TEXT = (
    "Images of which the population of compressed files, one a seed, says something else than the population of "
    "their sources: by the label that most predict (Hooker 2019), and the 5 % whose mean predictions order the "
    "classes least alike (Holste 2023). In brackets, how many times commoner they are there than in the rest."
)


def rows(runs: Runs) -> list[list[str]]:
    """One a candidate, artifact that ships, and definition; none where no candidate has several seeds."""
    found = []
    for candidate in runs.study.candidates:
        own = [one.record for one in runs.of(candidate)]
        # A run that was made again alone knows fewer seeds.
        best = max(own, key=lambda one: max((len(each.seeds) for each in one.exemplars), default=0), default=None)
        if best is None:
            continue
        shipped = {one.name for one in results.exported(best)}
        found += [_row(best, candidate, one) for one in best.exemplars if one.artifact in shipped]
    return found


def _row(record: Record, candidate: str, one: Exemplars) -> list[str]:
    seeds = ", ".join(map(str, one.seeds))
    head = [candidate, one.artifact, one.definition.capitalize(), seeds]
    if one.images is None:
        return [*head, "not found", one.not_found_reason or "no reason recorded"]
    return [
        *head,
        f"{len(one.images)} of {len(record.labels)}",
        changed_images.common(record, one.images) or "none",
    ]
