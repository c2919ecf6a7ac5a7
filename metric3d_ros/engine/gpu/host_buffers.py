"""Host memory that a GPU writes results into: allocated once, page-locked, reused once nothing refers to it."""

from __future__ import annotations

import collections
import math
import mmap
import weakref
from typing import Protocol

import numpy as np
import numpy.typing as npt

# Of one size each; a frame has four outputs, and two frames may be on their way.
_MOST_IDLE = 16


class PageLocker(Protocol):
    """What can keep memory where it is: `CudaDriver`."""

    def lock_pages(self, address: int, size_bytes: int) -> bool: ...

    def unlock_pages(self, address: int) -> None: ...


class HostBuffers:
    """Lends arrays; the memory of one is lent again only after the last view of it is gone.

    So an array stays valid as long as anything refers to it, without a copy and without being overwritten, and in the
    steady state no memory is taken or returned. May be used by one thread at a time; arrays may die in any thread.
    """

    def __init__(self, locker: PageLocker | None) -> None:
        """`locker` page-locks what is lent; None leaves the memory pageable."""
        self._locker = locker
        self._idle: collections.deque[_Block] = collections.deque()

    def lend(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[np.generic]:
        """Return an array of that shape and type, uninitialised."""
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._take_idle(size_bytes) or _Block(size_bytes, self._locker)
        # Every view made of it has this array as its base, so that it lives as long as any of them.
        owner = np.frombuffer(block.memory, np.uint8, size_bytes)
        weakref.finalize(owner, self._idle.append, block).atexit = False
        return owner.view(dtype).reshape(shape)

    def _take_idle(self, size_bytes: int) -> _Block | None:
        found = None
        for _ in range(len(self._idle)):
            block = self._idle.popleft()
            if found is None and block.size_bytes == size_bytes:
                found = block
            else:
                self._idle.append(block)
        while len(self._idle) > _MOST_IDLE:
            self._idle.popleft().release()
        return found


class _Block:
    """Whole pages, page-locked if that works."""

    def __init__(self, size_bytes: int, locker: PageLocker | None) -> None:
        self.size_bytes = size_bytes
        self.memory = mmap.mmap(-1, max(size_bytes, 1))
        self._locker = locker
        self._address = np.frombuffer(self.memory, np.uint8).ctypes.data
        self._locked = locker is not None and locker.lock_pages(self._address, len(self.memory))

    def release(self) -> None:
        """Unlock the pages; the memory is freed once nothing refers to it."""
        if self._locked and self._locker is not None:
            self._locker.unlock_pages(self._address)
