"""What a process holds of the machine, from Linux's /proc: memory of its own, descriptors, threads, shared memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class ProcessFigures:
    """One look at a process."""

    own_bytes: int
    """RssAnon: memory that belongs to this process alone; neither files nor segments in /dev/shm."""
    proportional_bytes: int
    """PSS: all it uses, with what others use too counted in part; 0 if the system does not tell."""
    descriptors: int
    threads: int
    shared_files: int
    """Files in /dev/shm, of all processes."""
    shared_bytes: int
    """What these take of /dev/shm."""

    @classmethod
    def of(cls, pid: int) -> ProcessFigures:
        """Look at a process that runs."""
        folder = Path("/proc", str(pid))
        files = [path.stat() for path in _SHARED_MEMORY.iterdir()] if _SHARED_MEMORY.is_dir() else []
        return cls(
            own_bytes=_kibibytes(folder / "status", "RssAnon"),
            proportional_bytes=_kibibytes(folder / "smaps_rollup", "Pss"),
            descriptors=len(os.listdir(folder / "fd")),
            threads=len(os.listdir(folder / "task")),
            shared_files=len(files),
            shared_bytes=sum(each.st_blocks * 512 for each in files),
        )


def _kibibytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # not told to everybody, or not by every kernel
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
