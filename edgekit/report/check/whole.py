"""A record and what lies beside it, checked by every rule."""

from __future__ import annotations

from pathlib import Path

from edgekit.record import Record
from edgekit.report.check.artifacts import artifacts, files
from edgekit.report.check.data import data
from edgekit.report.check.differences import differences
from edgekit.report.check.finding import Finding
from edgekit.report.check.gates import gates
from edgekit.report.check.measurements import measurements
from edgekit.report.check.predictions import predictions
from edgekit.report.check.protocol import protocol
from edgekit.report.check.views import views


def check(record: Record, folder: Path | None = None) -> list[Finding]:
    """Everything that does not hold; nothing for an honest record.

    Args:
        record: the record.
        folder: what lies beside it: ``artifacts/``, ``checklist.md``, ``checklist.tex`` and ``report.html``, each
            checked where it is there.
    """
    found = [
        *data(record),
        *artifacts(record),
        *measurements(record),
        *predictions(record),
        *differences(record),
        *protocol(record),
        *gates(record),
    ]
    if folder is not None:
        found += [*files(record, folder), *views(record, folder)]
    return found
