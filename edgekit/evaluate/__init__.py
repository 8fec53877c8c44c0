"""What an artifact predicts: accuracy, calibration, agreement with its source, and the gates on them."""

from edgekit.evaluate.classification import evaluate, not_measured
from edgekit.evaluate.gates import check
from edgekit.evaluate.parity import Parity, compare

__all__ = ["Parity", "check", "compare", "evaluate", "not_measured"]
