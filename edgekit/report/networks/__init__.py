"""What 'edgekit models' says of the catalogue's networks: a table, one network in full, or JSON. Needs no torch."""

from __future__ import annotations

from edgekit.report.networks.card import lines
from edgekit.report.networks.known import Known, all_known, known
from edgekit.report.networks.notes import Notes
from edgekit.report.networks.table import LEGEND, table

__all__ = ["LEGEND", "Known", "Notes", "all_known", "known", "lines", "table"]
