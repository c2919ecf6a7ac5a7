"""Processes the newest item of each source and drops the ones it replaces; may overlap two stages. No ROS here."""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")


class Scheduler(Generic[S, T, R]):
    """Decides which items are processed, when, and on which thread.

    A newer item replaces the waiting one of the same source, which is dropped; nothing else queues. A first thread
    runs `work` on all items that wait, at most one of each source. `then` takes what `work` returns.

    With a network on a GPU, `work` waits for it while the processor is idle. There `then` overlaps: it runs on a second
    thread, beside `work` on the next items. So that no item gets old between the two, the next ones are chosen only
    when their `work` is expected to end as the `then` before it does.
    """

    def __init__(
        self,
        *,
        prepare: Callable[[], None],
        work: Callable[[Mapping[S, T]], R],
        then: Callable[[R], None] = lambda _: None,
        overlap: Callable[[], bool] = lambda: False,
        after_round: Callable[[Mapping[S, T], float], None] = lambda *_: None,
        on_error: Callable[[Exception], None],
        name: str,
    ) -> None:
        """Prepare for `start`.

        Args:
            prepare: runs once, before anything else, on the first thread. If it raises, the scheduler ends.
            then: what remains to be done once `work` has returned; without overlap on the same thread.
            overlap: whether `then` gets a thread of its own; asked once, after `prepare`.
            after_round: gets the items and the seconds from their choice until `then` had done or taken them.
            on_error: gets each exception of the others; those of `work` and `then` do not end the scheduler.
            name: the first thread's.
        """
        self._prepare, self._work, self._then = prepare, work, then
        self._overlap, self._after_round, self._on_error = overlap, after_round, on_error
        lock = threading.Lock()
        self._arrived, self._handed_over, self._done = (threading.Condition(lock) for _ in range(3))
        self._waiting: dict[S, T] = {}
        self._between: list[R] = []
        """What `then` works on, on the second thread: one result at most."""
        self._closed = self._ended = False
        self._handed_over_s = self._work_s = self._then_s = 0.0
        # Daemons, because nothing can interrupt an inference; `stop` returns whether one was left behind.
        self._first = threading.Thread(target=self._run, name=name, daemon=True)
        self._second = threading.Thread(target=self._run_second, name=f"{name}_then", daemon=True)

    def start(self) -> None:
        """Start the first thread."""
        self._first.start()

    def offer(self, source: S, item: T) -> T | None:
        """Hand over an item; return the one that is dropped for it, if any; once stopped, that is the item itself."""
        with self._arrived:
            if self._closed:
                return item
            replaced = self._waiting.get(source)
            self._waiting[source] = item
            self._arrived.notify()
            return replaced

    def stop(self, *, timeout_s: float) -> bool:
        """End both threads after what they are doing; return whether they ended, for which each gets `timeout_s`."""
        with self._arrived:
            self._closed = True
            self._waiting.clear()
            self._arrived.notify_all()
            self._done.notify_all()
        if self._first.ident is not None:
            self._first.join(timeout_s)
        if self._first.is_alive():
            # The second thread ends after the first one. What it is publishing or saving now need not suffer for that.
            with self._done:
                self._done.wait_for(lambda: not self._between, timeout_s)
            return False
        if self._second.ident is not None:
            self._second.join(timeout_s)
        return not self._second.is_alive()

    def _run(self) -> None:
        try:
            self._prepare()
            if self._overlap():
                self._second.start()
        except Exception as error:  # a thread has no caller: `on_error` decides
            self._on_error(error)
            return
        while self._run_round():
            pass
        with self._handed_over:
            self._ended = True
            self._handed_over.notify_all()

    def _run_round(self) -> bool:
        """Work on what is newest; return False once stopped."""
        items = self._take()
        if items is None:
            return False
        try:
            started_s = time.monotonic()
            result = self._work(items)
            self._work_s = time.monotonic() - started_s
            if self._second.ident is None:
                self._then(result)
            else:
                self._hand_over(result)
            self._after_round(items, time.monotonic() - started_s)
        except Exception as error:  # as above; the next items may be good
            self._on_error(error)
        return True

    def _take(self) -> dict[S, T] | None:
        """Wait for items, and until it is time for them; return all that wait then; None once stopped."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closed)
            self._pace()
            if self._closed:
                return None
            taken, self._waiting = self._waiting, {}
            return taken

    def _pace(self) -> None:
        """Wait until `work` on what is newest would end as the present `then` does; the lock is held."""
        while self._between and not self._closed:
            left_s = self._handed_over_s + self._then_s - self._work_s - time.monotonic()
            if left_s <= 0:
                return
            self._done.wait(left_s)

    def _hand_over(self, result: R) -> None:
        """Give a result to the second thread once that is free."""
        with self._done:
            self._done.wait_for(lambda: not self._between)
            self._between.append(result)
            self._handed_over_s = time.monotonic()
            self._handed_over.notify()

    def _run_second(self) -> None:
        while True:
            with self._handed_over:
                self._handed_over.wait_for(lambda: self._between or self._ended)
                if not self._between:
                    return
            try:
                self._then(self._between[0])
            except Exception as error:  # as above
                self._on_error(error)
            with self._done:
                self._then_s = time.monotonic() - self._handed_over_s
                self._between.clear()
                self._done.notify_all()
