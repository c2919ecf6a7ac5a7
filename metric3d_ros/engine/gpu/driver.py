"""The few calls of NVIDIA's driver library that ONNX Runtime does not offer; nothing if there is no driver."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

_LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_NAME_BYTES = 128


class CudaDriver:
    """The first visible GPU, the one that ONNX Runtime takes.

    Use it only once a model runs on that device: it joins the context that is there, and would make one otherwise.
    """

    def __init__(self, library: Any) -> None:
        self._cuda = library

    @classmethod
    def load(cls, load: Callable[[str], Any] = ctypes.CDLL) -> CudaDriver | None:
        """Return the driver, or None on a machine without one."""
        try:
            return cls(load(_LIBRARY))
        except OSError:
            return None

    def read_memory_bytes(self) -> tuple[int, int] | None:
        """Return the GPU's free memory, for all processes, and its total memory; None if it is not known."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        with self._context() as device:
            if device is None or self._cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)):
                return None
        return free.value, total.value

    def describe_gpu(self) -> str | None:
        """Return what a compiled model depends on: the GPU's name and compute capability, and the driver's version."""
        name = ctypes.create_string_buffer(_NAME_BYTES)
        major, minor, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        with self._context() as device:
            if (
                device is None
                or self._cuda.cuDeviceGetName(name, _NAME_BYTES, device)
                or self._cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
                or self._cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
                or self._cuda.cuDriverGetVersion(ctypes.byref(version))
            ):
                return None
        return f"{name.value.decode(errors='replace')}, {major.value}.{minor.value}, driver {version.value}"

    def lock_pages(self, address: int, size_bytes: int) -> bool:
        """Keep memory where it is, so that the GPU copies from and to it directly; return whether that worked."""
        with self._context() as device:
            return device is not None and not self._cuda.cuMemHostRegister_v2(
                ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), ctypes.c_uint(0)
            )

    def unlock_pages(self, address: int) -> None:
        """Undo `lock_pages`."""
        with self._context() as device:
            if device is not None:
                self._cuda.cuMemHostUnregister(ctypes.c_void_p(address))

    def take_memory(self, size_bytes: int) -> int | None:
        """Take memory of the GPU, for `return_memory`, and return its address; None if there is not that much."""
        address = ctypes.c_uint64()
        with self._context() as device:
            if device is None or self._cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size_bytes)):
                return None
        return address.value

    def return_memory(self, address: int) -> None:
        """Give back what `take_memory` took."""
        with self._context() as device:
            if device is not None:
                self._cuda.cuMemFree_v2(ctypes.c_uint64(address))

    def copy_to_host(self, device_address: int, host_address: int, size_bytes: int) -> bool:
        """Copy memory of the GPU into memory of the host and wait for it; return whether that worked."""
        with self._context() as device:
            return device is not None and not self._cuda.cuMemcpyDtoH_v2(
                ctypes.c_void_p(host_address), ctypes.c_uint64(device_address), ctypes.c_size_t(size_bytes)
            )

    @contextlib.contextmanager
    def _context(self) -> Iterator[ctypes.c_int | None]:
        """Make the GPU's context this thread's own; yield the device, or None if a call fails."""
        cuda, device, context = self._cuda, ctypes.c_int(), ctypes.c_void_p()
        if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
            yield None
            return
        if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
            yield None
            return
        try:
            if cuda.cuCtxPushCurrent_v2(context):
                yield None
                return
            try:
                yield device
            finally:
                cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        finally:
            cuda.cuDevicePrimaryCtxRelease_v2(device)
