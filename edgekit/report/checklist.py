"""The deployment-first reporting checklist of a record: nine categories, no item left blank."""

from __future__ import annotations

from edgekit.record import Record
from edgekit.report.categories import costs, energy, machine, numerics, safety, task
from edgekit.report.items import Item, Section

__all__ = ["Item", "Section", "rows"]


def rows(record: Record) -> list[Section]:
    """The whole checklist of a record, in the order of the paper that it comes from."""
    return [
        Section("Task", task.items(record)),
        Section("Hardware platform", machine.hardware(record)),
        Section("Software stack", machine.software(record)),
        Section("Numerical precision", numerics.precision(record)),
        Section("Inference protocol", numerics.protocol(record)),
        Section("Latency reporting", costs.latency(record)),
        Section("Memory footprint", costs.memory(record)),
        Section("Energy and power", energy.items(record)),
        Section("Reliability and safety", safety.items(record)),
    ]
