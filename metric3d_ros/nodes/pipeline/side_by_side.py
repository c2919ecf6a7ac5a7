"""Runs independent tasks on the calling thread and others beside it; no ROS here."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]

# What a frame's tasks share out is some milliseconds of work: more threads than this only get into each other's way.
_MOST_THREADS = 4


class SideBySide:
    """Threads that wait for tasks. Called by one thread at a time."""

    def __init__(self, *, threads: int | None = None) -> None:
        """Use this many threads, the caller's included; None for one on each core, up to four."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._others = min(cores, _MOST_THREADS) - 1 if threads is None else threads - 1
        self._pool = ThreadPoolExecutor(max(self._others, 1), thread_name_prefix="metric3d_outputs")

    def run(self, tasks: Iterable[Task]) -> None:
        """Run all tasks, started in their order; return when all have ended. Tasks raise nothing."""
        waiting = deque(tasks)

        def work() -> None:
            while True:
                try:
                    task = waiting.popleft()
                except IndexError:
                    return
                task()

        others = []
        # Without memory, or with too many threads, no new one starts: then the caller's does it all.
        with contextlib.suppress(RuntimeError, MemoryError):
            for _ in range(min(self._others, len(waiting) - 1)):
                others.append(self._pool.submit(work))
        work()
        for other in others:
            other.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
