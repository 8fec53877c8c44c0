"""``samples.csv``: every sample of a record, one a row, for statistics that edgekit does not make."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from edgekit.record import Measurement, Record

COLUMNS = ("artifact", "metric", "process", "index", "value", "unit", "conditions")


def render(record: Record) -> str:
    """CSV in long form. Values are as exact as in the record; ``conditions`` is JSON.

    ``process`` is the process that gave the sample, empty where the figure belongs to none, such as one over all
    images. ``index`` counts the samples of a process, from 0. What was not measured has no row.
    """
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in record.measurements:
        conditions = json.dumps(row.conditions, ensure_ascii=False, sort_keys=True)
        for process, index, value in _samples(row):
            table.writerow((row.artifact, row.metric, process, index, repr(value), row.unit, conditions))
    return written.getvalue()


def _samples(row: Measurement) -> Iterator[tuple[object, int, float]]:
    samples = row.samples or ()
    if "process" not in row.conditions and row.conditions.get("processes") == len(samples):
        # One sample of each process: what it took to load, its memory, its energy.
        yield from ((process, 0, value) for process, value in enumerate(samples))
        return
    process = row.conditions.get("process", "")
    yield from ((process, index, value) for index, value in enumerate(samples))
