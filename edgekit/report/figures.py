"""How a figure is printed: three significant digits, the unit always there, a reason where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: In a narrow table, where a figure was not measured.
MISSING = "n.m."
RUNTIMES = {
    "torch_eager": "PyTorch eager",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
    "litert": "LiteRT",
    "executorch": "ExecuTorch",
    "coreml": "CoreML",
}


@dataclass(frozen=True)
class Shown:
    """Text for the reader: a value, or why there is none. Exactly one of them, never blank.

    Attributes:
        value: the figure or statement.
        why: why it is missing.
        kind: how it is missing: ``not measured``, ``not recorded``, ``does not apply`` and so on.
        short: the bare figure for a narrow table, without unit and interval.
    """

    value: str | None = None
    why: str | None = None
    kind: str = "not measured"
    short: str = MISSING

    def __post_init__(self) -> None:
        """Raises ValueError when both or neither hold text."""
        if bool(self.value and self.value.strip()) == bool(self.why and self.why.strip()):
            raise ValueError("exactly one of 'value' and 'why' must hold text")

    @property
    def reason(self) -> str | None:
        """``not measured: why``; none where there is a value."""
        return None if self.why is None else f"{self.kind}: {self.why}"

    @property
    def text(self) -> str:
        """The value, or the reason."""
        return self.value or self.reason or ""


def not_measured(why: str) -> Shown:
    """``not measured: why``."""
    return Shown(why=why)


def not_recorded(why: str) -> Shown:
    """``not recorded: why``, for what is stated rather than measured."""
    return Shown(why=why, kind="not recorded")


def does_not_apply(why: str) -> Shown:
    """``does not apply: why``."""
    return Shown(why=why, kind="does not apply")


def decimals(value: float, digits: int = 3) -> int:
    """How many decimals show ``digits`` significant digits of ``value``."""
    if value == 0 or not math.isfinite(value):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def figure(value: float, low: float | None, high: float | None, unit: str = "", places: int | None = None) -> Shown:
    """``5.18 ms (5.16 to 5.20)``, in short ``5.18``. The bounds have the decimals of the value.

    The interval is left out where a bound is none, as it is of very few samples.
    """
    places = decimals(value) if places is None else places
    shown = f"{value:.{places}f}"
    bounds = "" if low is None or high is None else f" ({low:.{places}f} to {high:.{places}f})"
    return Shown(f"{shown}{unit}{bounds}", short=shown)


def number(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, without an exponent unless it is below 1e-4."""
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{decimals(value, digits)}f}"


def milliseconds(seconds: float) -> str:
    """Seconds as ``5.18 ms``."""
    return f"{number(seconds * 1e3)} ms"


def duration(seconds: float) -> str:
    """Seconds as ``5.18 ms``, or as ``2.31 s`` from one second on."""
    return f"{number(seconds)} s" if seconds >= 1 else milliseconds(seconds)


def counted(count: int, what: str) -> str:
    """``1 layer``, ``2 layers``, ``2 processes``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}{'es' if what.endswith('s') else 's'}"


def megabytes(size_bytes: float) -> str:
    """Bytes as ``4.21 MB``, 1 MB being 10^6 bytes."""
    return f"{number(size_bytes / 1e6)} MB"


def large(value: float, unit: str) -> str:
    """``1051000000, 'MAC'`` as ``1.05 GMAC``: with the prefix k, M or G, decimal."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{number(value / factor)} {prefix}{unit}".rstrip()
    return f"{value:.0f} {unit}".rstrip()


def runtime(name: str) -> str:
    """The engine's own name."""
    return RUNTIMES.get(name, name)
