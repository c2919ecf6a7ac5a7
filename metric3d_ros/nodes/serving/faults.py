"""What others sent and this node could not use: counted, and logged in one line now and then. The node goes on."""

import threading
import time
from collections.abc import Callable
from typing import Any

from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.excerpts import printable

_LOG_EVERY_S = 10.0
_LONGEST_TEXT = 300


class Faults:
    """Counts what `note` gets, from any thread."""

    def __init__(self, log: Any, *, now_s: Callable[[], float] = time.monotonic) -> None:
        """`log` is a ROS logger."""
        self._log = log
        self._now_s = now_s
        self._lock = threading.Lock()
        self._logged_s: dict[tuple[str, str], float] = {}
        self._not_logged = 0
        self.count = 0
        """Since the start."""
        self.last = ""
        """The newest one, in one line; "" if there was none."""

    def note(self, what: str, error: BaseException, *, part: str = "") -> str:
        """Count that `what` failed with `error`, log it if no such `what` was logged lately; return it in words.

        `what` is not made of what was sent: each value that others can choose would get log lines of its own.
        `part` may be.
        """
        named = "" if isinstance(error, Metric3DError) else f"{type(error).__name__}: "
        text = f"{what} refused: {_short(part)}{named}{one_line(error)}"
        kind, now_s = (what, type(error).__name__), self._now_s()
        with self._lock:
            self.count += 1
            self.last = text
            lately = now_s - self._logged_s.get(kind, -_LOG_EVERY_S) < _LOG_EVERY_S
            if lately:
                self._not_logged += 1
                return text
            # Whoever sends something new each time shall not fill the memory.
            self._logged_s = {each: at_s for each, at_s in self._logged_s.items() if now_s - at_s < _LOG_EVERY_S}
            self._logged_s[kind] = now_s
            others, self._not_logged = self._not_logged, 0
        self._log.warning(f"{text} (and {others} others since the last such line)" if others else text)
        return text


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, not longer than a log line should be."""
    return printable(_short(" ".join(str(error).split()))) or type(error).__name__


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
