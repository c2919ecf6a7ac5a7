"""The peak memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had at once; 0 if the system does not report it.

    On Linux not `ru_maxrss`: it starts with the parent's peak, which is too large if the parent loaded PyTorch.
    """
    if _STATUS.exists():
        peak = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
