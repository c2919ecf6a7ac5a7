"""The machine of a benchmark: processor, GPU, and the versions of the packages involved."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from metric3d_ros import __version__

_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "numpy", "opencv-python-headless", "torch")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "asimd", "i8mm", "bf16")
"""Instructions that the speed of matrix products depends on."""
_GPU_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Return the machine as names and values for JSON; call it before there is anything to do, for `busy_percent`."""
    text = _read("/proc/cpuinfo")
    flags = set((_entry(text, "flags") or _entry(text, "Features") or "").split())
    memory = _entry(_read("/proc/meminfo"), "MemTotal")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "board": _read("/proc/device-tree/model").strip("\0\n") or None,
        "cpu": _entry(text, "model name") or platform.processor() or platform.machine(),
        "cpu_instructions": [flag for flag in _FLAGS if flag in flags],
        "cores": usable_cores(),
        "memory_mib": int(memory.split()[0]) // 1024 if memory else None,
        "gpus": describe_gpus(),
        "busy_percent": busy_percent(),
    }


def busy_percent(*, seconds: float = 0.5) -> float | None:
    """Return how busy all cores are with other things while this process sleeps, 0 to 100; None if unknown."""
    before = _cpu_ticks()
    time.sleep(seconds)
    after = _cpu_ticks()
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(100 * (after[0] - before[0]) / (after[1] - before[1]), 1)


def _cpu_ticks() -> tuple[int, int] | None:
    """Return the ticks of all cores so far: those not idle (stolen by other virtual machines included), and all."""
    fields = _read("/proc/stat").partition("\n")[0].split()[1:9]
    if len(fields) < 8:
        return None
    ticks = [int(field) for field in fields]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def describe_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect a benchmark."""
    versions = {"metric3d_ros": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def describe_gpus() -> list[dict[str, str]]:
    """Return name, driver and memory of each GPU that NVIDIA's driver reports."""
    try:
        done = subprocess.run(_GPU_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]
    return [dict(zip(("name", "driver", "memory"), row, strict=True)) for row in rows if len(row) == 3]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _entry(text: str, key: str) -> str | None:
    found = re.search(rf"^{re.escape(key)}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None
