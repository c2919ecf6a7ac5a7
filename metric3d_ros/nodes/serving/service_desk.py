"""Serves requests on a thread of its own, so that images go on coming in; what is too much is refused."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

MOST_WAITING = 64
"""Requests that may wait; further ones are refused at once."""

GAP_S = 0.01
"""Between two answers. DDS hands each reply to every client of its service, and by default they keep the newest 10 of
them: a client that reads its replies later than after ten such gaps may lose its own to those of the others."""

Answer = Callable[[], Any]


class ServiceDesk:
    """One thread that answers requests in their order; it starts with the first one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Answer, Future]] = deque()
        self._thread: threading.Thread | None = None
        self.closing = threading.Event()
        """Set once the node ends: what takes long should stop."""

    def submit(self, answer: Answer) -> Future | None:
        """Let the thread call `answer`, which raises nothing; return the future response, or None if too many wait.

        To be called on the executor's thread.
        """
        with self._changed:
            if len(self._waiting) >= MOST_WAITING or self.closing.is_set():
                return None
            future = Future(executor=self._node.executor)
            self._waiting.append((answer, future))
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="services", daemon=True)
                self._thread.start()
        return future

    def close(self, *, timeout_s: float) -> None:
        """End the thread after the request that it works on."""
        with self._changed:
            self.closing.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        answered_s = float("-inf")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self.closing.is_set())
                if self.closing.is_set():
                    return
                answer, future = self._waiting.popleft()
            response = answer()
            self.closing.wait(max(0.0, answered_s + GAP_S - time.monotonic()))
            answered_s = time.monotonic()
            future.set_result(response)
            executor = self._node.executor
            if executor is not None:
                executor.wake()
