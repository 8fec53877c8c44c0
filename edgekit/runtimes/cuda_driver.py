"""The GPU's memory and stream through NVIDIA's driver library, which is wherever a GPU is: no package is needed.

Names and arguments are those of the CUDA driver API. TensorRT works in the same, primary, context.
"""

from __future__ import annotations

import ctypes
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import DeviceError

_LIBRARY = "libcuda.so.1"


def missing() -> str | None:
    """Why there is no driver here; none when there is."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return f"there is no NVIDIA driver ({_LIBRARY})"
    return None


class Gpu:
    """One GPU, its primary context and one stream.

    Attributes:
        name: as the driver tells it.
        stream: the stream's handle.
    """

    def __init__(self, index: int = 0) -> None:
        """Args: index: of the GPU.

        Raises:
            DeviceError: there is none, or no driver.
        """
        try:
            self._driver = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise DeviceError(f"there is no NVIDIA driver: {error}") from None
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuInit", ctypes.c_uint(0))
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, ctypes.c_int(256), device)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
        self.name = name.value.decode(errors="replace")
        self.stream = int(stream.value or 0)

    def allocate(self, size_bytes: int) -> int:
        """Address of new memory on the GPU; it is kept as long as the process."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return address.value

    def to_gpu(self, values: NDArray[Any], address: int) -> None:
        """Copy ``values``, which must be contiguous, in the stream's order."""
        size, place = ctypes.c_size_t(values.nbytes), ctypes.c_void_p(values.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), place, size, ctypes.c_void_p(self.stream))

    def to_host(self, address: int, values: NDArray[Any]) -> None:
        """Copy into ``values``, in the stream's order; there after ``synchronize``."""
        size, place = ctypes.c_size_t(values.nbytes), ctypes.c_void_p(values.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", place, ctypes.c_uint64(address), size, ctypes.c_void_p(self.stream))

    def synchronize(self) -> None:
        """Wait for everything in the stream."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
            raise DeviceError(f"{name} failed: {(text.value or b'unknown error').decode()} (CUDA error {code})")
