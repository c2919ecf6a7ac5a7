"""Counts exactly how many messages of a topic got lost on their way here. Knows nothing of ROS."""

from collections.abc import Callable, Collection, Hashable


class SequenceWatch:
    """Looks for gaps in the numbers that a publisher gives its messages.

    A message can be lost in the transport, or in this process, where a newer one takes its place in a full queue before
    anybody has looked at it; the middleware reports neither reliably. Numbers are those of one publisher: with several
    of them, or a new one, gaps mean nothing and are not counted. Messages before the first and after the last one that
    came are not counted either. Called by one thread.
    """

    def __init__(self, publishers: Callable[[], Collection[Hashable]]) -> None:
        """Prepare for the first message; `publishers()` tells who publishes now. It is asked after each gap only."""
        self._publishers = publishers
        self._known: frozenset[Hashable] = frozenset()
        self._last: int | None = None

    def add(self, number: int | None) -> int:
        """Take the number of the message that came, None where the middleware gives none; return how many are missing.

        These were sent after the message before and had not come when this one did.
        """
        last, self._last = self._last, number
        if number is None:
            return 0
        if last is not None and number == last + 1:
            return 0
        before, self._known = self._known, frozenset(self._publishers())
        if last is None or number <= last or len(before) != 1 or self._known != before:
            return 0
        return number - last - 1
