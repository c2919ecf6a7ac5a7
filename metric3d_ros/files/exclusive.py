"""Files and folders that one process at a time works on: locked, so that a dead process holds nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def hold_file(path: Path, *, on_wait: Callable[[], object], every_s: float | None = None) -> Iterator[int]:
    """Hold a file, made if it is not there, until the context ends; yield its descriptor.

    Waits for another process that holds it, after `on_wait()`, which is called again every `every_s` seconds, if given.
    That process may have moved or removed the file meanwhile: then the descriptor is of the file as it was, and
    `is_at(descriptor, path)` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            while every_s is not None and not _lock_at_once(descriptor):
                time.sleep(every_s)
                on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: as good as it can be
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a folder that exists until the context ends; wait for another process that holds it."""
    with _open_folder(folder) as descriptor:
        with contextlib.suppress(OSError):  # as above
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def hold_folder_at_once(folder: Path) -> Iterator[None]:
    """Hold a folder that exists until the context ends; BlockingIOError if another process holds it."""
    with _open_folder(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # as above
        yield


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one that has the name `path` now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def save_to_disk(path: Path) -> None:
    """Write a file's content, or a folder's names, through to the disk, so that a power failure does not undo it."""
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
