"""A thread that works on the newest item of each source and forgets those that it had no time for; no ROS here."""

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")


class Mailbox(Generic[S, T]):
    """One slot for each source: a new item takes the place of one that nobody has fetched yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._slots: dict[S, T] = {}
        self._closed = False

    def put(self, source: S, item: T) -> T | None:
        """Store `item`; return the item that it replaced, or `item` itself when the mailbox is closed."""
        with self._changed:
            if self._closed:
                return item
            replaced = self._slots.get(source)
            self._slots[source] = item
            self._changed.notify()
            return replaced

    def wait(self) -> bool:
        """Wait for an item; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._closed)
            return not self._closed

    def take_all(self) -> dict[S, T] | None:
        """Wait for items and return all that wait, at most one of each source; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._closed)
            if self._closed:
                return None
            taken, self._slots = self._slots, {}
            return taken

    def close(self) -> None:
        """Drop what waits and wake whoever is waiting."""
        with self._changed:
            self._closed = True
            self._slots.clear()
            self._changed.notify_all()


class Worker(Generic[S, T]):
    """Runs `prepare` once and then `work` on whatever is newest, in a thread of its own.

    Exceptions of `prepare` and `work` go to `on_error`; the thread goes on after those of `work` and ends after one of
    `prepare`.
    """

    def __init__(
        self,
        *,
        prepare: Callable[[], None],
        work: Callable[[Mapping[S, T]], None],
        on_error: Callable[[Exception], None],
        name: str,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare for `start`.

        Args:
            pace: called when there is something to work on, which may still be replaced; it may wait.
        """
        self._prepare = prepare
        self._pace = pace
        self._work = work
        self._on_error = on_error
        self._mailbox: Mailbox[S, T] = Mailbox()
        # A daemon, because nothing can interrupt an inference; `stop` tells whether it was left behind.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, source: S, item: T) -> T | None:
        """Hand over an item; return the one that it replaced and that will never be worked on, if any."""
        return self._mailbox.put(source, item)

    def stop(self, *, timeout_s: float) -> bool:
        """End the thread after what it is doing; return whether it ended within `timeout_s`."""
        self._mailbox.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._prepare()
        except Exception as error:
            self._on_error(error)
            return
        while self._mailbox.wait():
            try:
                self._pace()
                items = self._mailbox.take_all()
                if items is not None:
                    self._work(items)
            except Exception as error:
                self._on_error(error)
