"""Reads how much of the GPU's memory is in use, from the driver's own library; nothing where there is none."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20


@dataclass(frozen=True)
class GpuMemory:
    """Memory of the GPU that this process uses, in MiB; `used_mib` is that of all processes together."""

    used_mib: int
    total_mib: int


def read_gpu_memory(load: Callable[[str], Any] = ctypes.CDLL) -> GpuMemory | None:
    """Return the memory of the first visible CUDA device, the one that ONNX Runtime takes; None where it is not known.

    Call it only once a model runs on that device: it joins the context that is there, and would make one otherwise.
    """
    try:
        cuda = load("libcuda.so.1")
    except OSError:
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        if cuda.cuCtxPushCurrent_v2(context):
            return None
        failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)
    return None if failed else GpuMemory((total.value - free.value) // _MIB, total.value // _MIB)
