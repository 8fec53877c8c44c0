"""What an artifact predicts: accuracy, calibration, agreement with its source, and the gates on them."""

from edgekit.evaluate.budgets import check as check_budgets
from edgekit.evaluate.gates import check, check_open
from edgekit.evaluate.parity import Parity, compare, worst
from edgekit.evaluate.task import Task, not_measured, task

__all__ = [
    "Parity",
    "Task",
    "check",
    "check_budgets",
    "check_open",
    "compare",
    "not_measured",
    "task",
    "worst",
]
