"""Works on two neighbouring items at once: the second half of one beside the first half of the next. No ROS here."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class TwoStages(Generic[S, T]):
    """Runs `first` on the caller's thread and `second` on one of its own; nothing queues in between.

    With the network on a GPU, `first` waits for it while the processor has nothing to do, and `second` is building and
    publishing the outputs of the image before. So that no item gets old between the two, `pace` puts off the choice of
    the next one until its `first` is expected to end when the `second` before it does.
    """

    def __init__(
        self,
        *,
        first: Callable[[S], T],
        second: Callable[[T], None],
        on_error: Callable[[Exception], None],
        name: str,
        overlap: bool = True,
    ) -> None:
        """Start the second stage's thread; without `overlap` there is none, and both run one after the other.

        Args:
            on_error: told of an exception of `second`, after which the stage goes on.
        """
        self._first, self._second, self._on_error = first, second, on_error
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._started_s = 0.0
        self._first_s = self._second_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True) if overlap else None
        if self._thread is not None:
            self._thread.start()

    def pace(self) -> None:
        """Wait until it is time to choose an item for `run`: both stages should end at the same time."""
        with self._changed:
            while self._item is not None and not self._closed:
                left_s = self._started_s + self._second_s - self._first_s - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)

    def run(self, item: S) -> None:
        """Run `first`, whose exceptions come out here, and hand its result to `second` once that is free."""
        started_s = time.monotonic()
        result = self._first(item)
        self._first_s = time.monotonic() - started_s
        if self._thread is None:
            self._second(result)
            return
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._closed)
            if not self._closed:
                self._item, self._started_s = result, time.monotonic()
                self._changed.notify_all()

    def close(self, *, timeout_s: float) -> bool:
        """End the thread after what it is doing; return whether it ended within `timeout_s`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._item is not None or self._closed)
                item = self._item
            if item is None:
                return
            try:
                self._second(item)
            except Exception as error:
                self._on_error(error)
            with self._changed:
                self._second_s = time.monotonic() - self._started_s
                self._item = None
                self._changed.notify_all()
                if self._closed:
                    return
