"""What a deployment checklist must hold: nine categories, and the items of each by words of their names.

Source: the review's sections 5.2 to 5.6 and its checklist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Required:
    """An item: its name, a pattern that its name or column holds, and what its text must hold as a figure.

    Attributes:
        name: as edgekit writes it.
        words: pattern of the names that stand for it.
        unit: pattern of a figure with its unit that a value must hold; none where words are enough.
        example: such a figure.
    """

    name: str
    words: re.Pattern[str]
    unit: re.Pattern[str] | None = None
    example: str = ""


_NUMBER = r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?\s*"
_TIME = _NUMBER + r"(?:ns|[µu]s|ms|s|sec|seconds?|milliseconds?|microseconds?)\b"
_SIZE = _NUMBER + r"(?:bytes?|[kKMGT]i?B)\b"
_ENERGY = _NUMBER + r"(?:[µumk]?J|joules?|[mk]?Wh)\b"
_POWER = _NUMBER + r"(?:[mk]?W|watts?)\b"


def _item(name: str, words: str, unit: str = "", example: str = "") -> Required:
    return Required(
        name, re.compile(words, re.IGNORECASE), re.compile(unit, re.IGNORECASE) if unit else None, example
    )


#: Title, pattern of the headings that stand for it, items.
CATEGORIES: tuple[tuple[str, re.Pattern[str], tuple[Required, ...]], ...] = tuple(
    (title, re.compile(words, re.IGNORECASE), items)
    for title, words, items in (
        (
            "Task",
            r"^(clinical )?task",
            (
                _item("Clinical task", r"clinical|^task|purpose"),
                _item("Modality", r"modality"),
                _item("Input resolution", r"resolution|input (size|shape)", r"\d+ ?[x×] ?\d+", "224 x 224"),  # noqa: RUF001
                _item("Preprocessing pipeline", r"preprocess"),
                _item("Dataset scale", r"data ?set|scale|number of images", r"\d", "1,200 images"),
                _item("Class imbalance", r"imbalance|class (balance|counts|distribution)"),
            ),
        ),
        (
            "Hardware platform",
            r"hardware",
            (
                _item("Device model", r"device|processor|cpu|model"),
                _item("Memory capacity", r"memory|ram", _SIZE, "16 GB"),
                _item("Power mode", r"power"),
                _item("Thermal constraints", r"therm|cooling|temperature"),
                _item("System load", r"load"),
            ),
        ),
        (
            "Software stack",
            r"software",
            (
                _item("Runtime engine and version", r"runtime|engine", r"\d+\.\d+|\bv\d", "ONNX Runtime 1.31"),
                _item("Backend configuration", r"backend|configuration|provider"),
                _item("Compiler optimizations", r"compiler|optimi[sz]ation"),
                _item("Operating system", r"operating system|\bos\b"),
                _item("Driver", r"driver"),
            ),
        ),
        (
            "Numerical precision",
            r"precision|quanti[sz]ation",
            (
                _item("Precision executed", r"precision (executed|used)|executed precision|^precision"),
                _item("PTQ or QAT", r"ptq|qat|quanti[sz]ation method|^method"),
                _item("Calibration set", r"calibration"),
                _item("Granularity", r"granularity|per.?(tensor|channel)"),
                _item("Layers kept at higher precision", r"layers|higher precision|kept"),
            ),
        ),
        (
            "Inference protocol",
            r"protocol|inference",
            (
                _item("Batch size", r"batch", r"\d", "1"),
                _item("Warm-up runs", r"warm", r"\d", "50"),
                _item("Timed runs", r"timed|runs|iterations|repetitions", r"\d", "200"),
                _item("Synchronization method", r"synchroni[sz]"),
                _item("Scope of I/O handling", r"scope|i/o|included"),
            ),
        ),
        (
            "Latency reporting",
            r"latency",
            (
                _item("p50", r"p50|median", _TIME, "5.18 ms"),
                _item("p90", r"p90|90th", _TIME, "5.36 ms"),
                _item("Variance across runs", r"variance|deviation|variability|spread|\bsd\b", r"\d", "0.1 ms"),
                _item("Throttling or drift", r"throttl|drift"),
            ),
        ),
        (
            "Memory footprint",
            r"memory",
            (
                _item("Model size on disk", r"size|disk", _SIZE, "4.2 MB"),
                _item("Peak runtime memory", r"peak", _SIZE, "409 MB"),
                _item("Additional runtime or compiler buffers", r"buffer|additional|workspace", _SIZE, "60 MB"),
            ),
        ),
        (
            "Energy and power",
            r"energy|power",
            (
                _item("Measurement method", r"method|meter|source"),
                _item("Idle power subtracted", r"idle", _POWER, "12.1 W"),
                _item("Energy per inference", r"per inference|joule|^energy$", _ENERGY, "0.94 J"),
                _item("Variance of energy", r"variance|deviation|spread", r"\d", "0.02 J"),
            ),
        ),
        (
            "Reliability and safety",
            r"reliability|safety",
            (
                _item("ECE after optimization", r"\bece\b|calibration error", r"\d", "0.037"),
                _item("NLL after optimization", r"\bnll\b|log.?likelihood", r"\d", "0.41"),
                _item("Sensitivity of the rarest classes", r"rare|sensitivity|recall|dice of", r"\d", "0.81"),
                _item("Robustness to noise", r"noise|corruption"),
                _item("Robustness to resolution shift", r"resolution"),
                _item("Failure modes", r"failure"),
            ),
        ),
    )
)
