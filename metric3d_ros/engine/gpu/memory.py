"""Reads how much of the GPU's memory is in use, from the driver's own library; nothing if there is none."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metric3d_ros.engine.gpu.driver import CudaDriver

_MIB = 1 << 20


@dataclass(frozen=True)
class GpuMemory:
    """Memory of the GPU that this process uses, in MiB; `used_mib` is that of all processes together."""

    used_mib: int
    total_mib: int


def read_gpu_memory(load: Callable[[str], Any] = ctypes.CDLL) -> GpuMemory | None:
    """Return the memory of the GPU that the model runs on; None if it is not known."""
    driver = CudaDriver.load(load)
    memory = driver.read_memory_bytes() if driver is not None else None
    if memory is None:
        return None
    free_bytes, total_bytes = memory
    return GpuMemory((total_bytes - free_bytes) // _MIB, total_bytes // _MIB)
