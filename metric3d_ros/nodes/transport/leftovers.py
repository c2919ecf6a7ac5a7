"""Removes from /dev/shm what processes left there that were killed; what a living process holds is never touched.

Each shared-memory segment of Fast DDS has a lock file beside it, NAME_el, on which its process holds flock(2) for as
long as it lives; the kernel drops the lock with the process. `fastdds shm clean` goes by the same rule. Ports are left
to Fast DDS: they are small, and the next process with the same port takes its place over.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

PROFILE_PREFIX = "metric3d_fastdds_"

_SEGMENT_LOCK = re.compile(r"(fastrtps|fastdds)_[0-9a-f]{16}_el")
_PROFILE = re.compile(PROFILE_PREFIX + r"\w+\.xml")
# A process that is just starting has made its lock file and may not have locked it yet.
_YOUNG_S = 1.0


def remove_leftovers(folder: Path) -> int:
    """Remove the segments and profiles of this user's dead processes from `folder`; return how many bytes they held."""
    freed = 0
    if any(_SEGMENT_LOCK.fullmatch(path.name) and _is_young_and_free(path) for path in _listed(folder)):
        time.sleep(_YOUNG_S)  # the process lived for less than that, or it is just starting
    for path in _listed(folder):
        if _SEGMENT_LOCK.fullmatch(path.name):
            freed += _remove_if_dead(path, path.with_name(path.name.removesuffix("_el")))
        elif _PROFILE.fullmatch(path.name):
            freed += _remove_if_dead(path)
    return freed


def hold(descriptor: int) -> None:
    """Mark a file of one's own as that of a living process, for as long as `descriptor` is open."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_young_and_free(lock: Path) -> bool:
    """Whether a lock file is brand new and nobody is seen to hold it; to try it could disturb a process that starts."""
    try:
        status = lock.lstat()
        return _is_young(status) and f":{status.st_ino} " not in Path("/proc/locks").read_text()
    except OSError:
        return False


def _is_young(status: os.stat_result) -> bool:
    return time.time() - status.st_mtime < _YOUNG_S


def _remove_if_dead(lock: Path, *beside: Path) -> int:
    """Remove the files `beside` a lock file, then the lock file itself, if no process holds it; return their bytes."""
    with contextlib.suppress(OSError), _locked(lock) as free:
        if free:
            sizes = [_remove(path) for path in (*beside, lock)]
            return sum(sizes)
    return 0


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock file as its process would; False if that process lives, if it is another user's, or brand new."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or _is_young(status):
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        # It may have been removed and made anew between the two calls; the lock is then on the old one.
        yield os.path.samestat(status, os.lstat(path))
    finally:
        os.close(descriptor)


def _remove(path: Path) -> int:
    try:
        size = path.lstat().st_blocks * 512
        path.unlink()
    except OSError:
        return 0
    return size
