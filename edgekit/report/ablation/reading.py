"""How the tables of a study are to be read: what the intervals hold and what they do not."""

from __future__ import annotations

from edgekit.evaluate.repeats import student_t
from edgekit.recipe import Membership

#: From this many seeds on the intervals are no longer called wide.
_MANY = 10


def lines(study: Membership) -> list[str]:
    """One statement each, as plain text."""
    return [
        *_seeds(len(study.seeds)),
        _latency(study),
        "'speed-up' and 'less' compare with the baseline's file of the same name, or, where it has none, with its "
        "most precise one on the same target; 'over' and 'less' name it.",
        "The rarest class is the one with the fewest training images.",
        "Who picks the best row by these figures makes them optimistic: they are of the test split.",
    ]


def _seeds(n: int) -> list[str]:
    if n == 0:
        return [
            "One run a candidate: the intervals are over the test images. How much a figure depends on the seed is "
            "not known; 'seeds' in the study tells."
        ]
    if n == 1:
        return ["One seed: how much a figure depends on it is not known, and no interval is given."]
    wide = " With so few seeds they are wide, and may reach below 0 or above 1." if n < _MANY else ""
    return [
        f"n = {n} seeds. Figures over the test split are means over the seeds; their 95 % intervals are those of "
        f"the mean by Student's t, {student_t(n - 1):.2f} standard errors to each side.{wide}",
        "These intervals say how much a figure depends on the seed. They say nothing of the size of the test "
        "split: each run's checklist has intervals over its images.",
    ]


def _latency(study: Membership) -> str:
    every = study.timed_seeds == "all"
    timed = "every seed" if every else f"seed {study.seeds[0]}" if study.seeds else "every candidate"
    how = "over the seeds" if every and len(study.seeds) > 1 else "by order statistics and by bootstrap"
    return (
        f"Latency: the files of {timed} were timed in turn in one session, batch 1, in fresh processes. p50 and "
        f"speed-up have 95 % intervals {how}."
    )
