"""An estimate from the CPU's rated power, for those who ask for one. It measures nothing, and says so."""

from __future__ import annotations

import os
import time

from edgekit.measure.meters.base import Reading


class RatedPower:
    """Thermal design power times the share of all cores that this process kept busy.

    An order of magnitude at best: neither the clock nor the kind of work nor memory enters.
    """

    estimated = True
    update_period_s = 0.0

    def __init__(self, tdp_w: float, cores: int | None = None) -> None:
        """
        Args:
            tdp_w: thermal design power of the CPU in watts.
            cores: logical cores that share it; none for those of this machine.
        """
        self._tdp_w = tdp_w
        self._cores = cores or os.cpu_count() or 1
        self._started_s = 0.0
        self.source = f"estimated, not measured: rated power of {tdp_w:g} W"
        self.scope = f"CPU time of the process over {self._cores} logical cores; no memory, no idle power"

    def start(self) -> None:
        """See ``Meter``."""
        self._started_s = time.process_time()

    def keep(self) -> None:
        """See ``Meter``."""

    def stop(self) -> Reading:
        """See ``Meter``."""
        busy_s = time.process_time() - self._started_s
        return Reading(self._tdp_w * busy_s / self._cores, busy_s > 0)
