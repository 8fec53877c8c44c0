"""The energy of one NVIDIA GPU through NVML: its counter, or its power sampled where it has none."""

from __future__ import annotations

from typing import Any

from edgekit.errors import DeviceError
from edgekit.measure.meters.base import Absent, Meter, Reading
from edgekit.measure.meters.sampled import Sampled

#: NVML does not state it. Its readings are known to move every 20 to 100 ms; the slowest is assumed here.
UPDATE_PERIOD_S = 0.1
#: From Ampere on nvmlDeviceGetPowerUsage is an average over one second (NVML's reference).
AVERAGED_FROM = 7  # NVML_DEVICE_ARCH_AMPERE
AVERAGED_S = 1.0
_READ_EVERY_S = 0.05


class NvmlCounter:
    """The total energy counter of a GPU (Volta and later), in millijoules since its driver was loaded."""

    estimated = False
    source = "NVML nvmlDeviceGetTotalEnergyConsumption"
    update_period_s = UPDATE_PERIOD_S

    def __init__(self, nvml: Any, handle: Any, scope: str) -> None:
        """
        Args:
            nvml: the module ``pynvml``, initialized.
            handle: of the GPU.
            scope: see ``Meter``.
        """
        self.scope = scope
        self._nvml = nvml
        self._handle = handle
        self._first_mj = self._read_mj()

    def start(self) -> None:
        """See ``Meter``."""
        self._first_mj = self._read_mj()

    def keep(self) -> None:
        """See ``Meter``; 64 bits of millijoules do not wrap."""

    def stop(self) -> Reading:
        """See ``Meter``."""
        used_mj = self._read_mj() - self._first_mj
        if used_mj < 0:
            raise DeviceError("the NVML energy counter went back: the driver was loaded anew")
        return Reading(used_mj / 1e3, used_mj > 0)

    def _read_mj(self) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError_NotSupported:
            raise
        except self._nvml.NVMLError as error:
            raise DeviceError(f"the NVML energy counter cannot be read any more: {error}") from error


def find(gpu: int = 0) -> Meter | Absent:
    """The meter of GPU ``gpu``."""
    try:
        import pynvml
    except ImportError:
        return Absent("the package 'nvidia-ml-py' is not installed (pip install 'edgekit[nvml]')")
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
        name = pynvml.nvmlDeviceGetName(handle)
        scope = f"GPU {gpu}: {name if isinstance(name, str) else name.decode()}, whole board"
        try:
            return NvmlCounter(pynvml, handle, scope)
        except pynvml.NVMLError_NotSupported:
            return _sampled(pynvml, handle, scope)
    except (pynvml.NVMLError, DeviceError) as error:
        return Absent(f"no energy through NVML: {error}")


def _sampled(nvml: Any, handle: Any, scope: str) -> Meter | Absent:
    def read_w() -> float:
        try:
            return float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1e3
        except nvml.NVMLError as error:
            raise DeviceError(str(error)) from error

    try:
        read_w()
        averaged = nvml.nvmlDeviceGetArchitecture(handle) >= AVERAGED_FROM
    except DeviceError:
        return Absent(
            "no energy through NVML: this GPU has neither an energy counter nor a power reading "
            "(Volta and later have a counter; for a Jetson name energy_meter 'jetson')"
        )
    except nvml.NVMLError:
        averaged = True
    # An average reaches into the time before the window; over twenty of its lengths that is little.
    period_s = AVERAGED_S if averaged else UPDATE_PERIOD_S
    source = "NVML nvmlDeviceGetPowerUsage" + (" (averages over 1 s)" if averaged else "")
    return Sampled(source, scope, read_w, _READ_EVERY_S, period_s)
