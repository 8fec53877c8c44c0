"""Compression-identified exemplars of a study's candidate: its files of all seeds against its sources of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit import arrays
from edgekit.errors import InputError
from edgekit.evaluate import exemplars
from edgekit.evaluate.figures import softmax
from edgekit.record import SOURCE, Exemplars

#: With fewer models on a side it is only changed predictions, and is called that.
LEAST_SEEDS = 2


def find(logits: Mapping[int, Mapping[str, Path]]) -> list[Exemplars]:
    """By Hooker's and by Holste's definition, of each artifact that two seeds or more have; none with one seed.

    Args:
        logits: seed -> name of the artifact -> file of its logits ``[n, classes]`` on the one test split.
    """
    found = []
    names = dict.fromkeys(name for own in logits.values() for name in own if name != SOURCE)
    for name in names:
        seeds = tuple(seed for seed, own in logits.items() if name in own and SOURCE in own)
        if len(seeds) < LEAST_SEEDS:
            continue
        before, after = (np.stack([arrays.read(logits[seed][one]) for seed in seeds]) for one in (SOURCE, name))
        places = exemplars.hooker(before.argmax(axis=2), after.argmax(axis=2))
        found.append(Exemplars(artifact=name, definition="hooker", seeds=seeds, images=tuple(places.tolist())))
        try:
            p = [np.stack([softmax(one) for one in population]) for population in (before, after)]
            places = exemplars.holste(p[0], p[1])
        except InputError as error:
            why = error.problem
            found.append(Exemplars(artifact=name, definition="holste", seeds=seeds, not_found_reason=why))
            continue
        found.append(Exemplars(artifact=name, definition="holste", seeds=seeds, images=tuple(places.tolist())))
    return found
