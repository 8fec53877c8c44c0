"""How much memory of an NVIDIA GPU this process holds, as its driver tells."""

from __future__ import annotations

import os


def device_memory() -> tuple[int | None, str | None]:
    """Bytes on all GPUs now, or why they are not known.

    The driver tells what is held, not its peak. Runtimes keep what they once took, so that after the runs it is
    close to it.
    """
    try:
        import pynvml
    except ImportError:
        return None, "the package 'nvidia-ml-py' is not installed (pip install 'edgekit[nvml]')"
    try:
        pynvml.nvmlInit()
        held = [
            one.usedGpuMemory
            for index in range(pynvml.nvmlDeviceGetCount())
            for one in pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(index))
            if one.pid == os.getpid()
        ]
    except pynvml.NVMLError as error:
        return None, f"NVML does not tell the memory of processes: {error}"
    known = [int(one) for one in held if one is not None]
    if not known:
        return None, "the driver does not list this process (a container hides its number, or a Jetson)"
    return sum(known), None
