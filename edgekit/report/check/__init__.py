"""``edgekit check``: does a record hold together, and do the checklists beside it say what the record says?

A checklist without a record is read as it stands: what is missing in it, and what contradicts itself.
"""

from edgekit.report.check.finding import Finding, annotation
from edgekit.report.check.lint import lint
from edgekit.report.check.places import check_path
from edgekit.report.check.whole import check

__all__ = ["Finding", "annotation", "check", "check_path", "lint"]
