"""What a runtime's own INT8 quantizer is: a candidate beside the files of edgekit's one quantized program."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.runtimes.base import Exported
from edgekit.target import Target


class OwnInt8(Protocol):
    """A runtime's own quantizer, with the settings that its makers recommend. One file each, listed here.

    Attributes:
        name: short, part of the artifact's name.
        packages: distributions whose versions determine the file.
        missing: the modules that it needs, with the names of their distributions, and the extra that brings them.
    """

    name: str
    packages: tuple[str, ...]
    missing: tuple[dict[str, str], str]

    def quantize(self, made: Exported, images: NDArray[np.float32], target: Target, folder: Path) -> Exported:
        """Write an INT8 file into ``folder``.

        Args:
            made: the runtime's file in float32.
            images: training inputs ``float32[k, C, *spatial]`` for calibration, the same that edgekit's own uses.
            target: what it is for.
            folder: an empty one.

        Raises:
            UnsupportedError: the tool cannot take the network.
        """
        ...
