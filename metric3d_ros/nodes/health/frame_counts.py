"""What became of all of a camera's frames, and why one is dropped. No ROS here."""

import re
import threading
import time
from collections.abc import Callable
from enum import Enum

from metric3d_ros.files.excerpts import printable

_WARN_EVERY_S = 5.0
_MOST_REASONS = 20
_NUMBERS = re.compile(r"\d+")


class Dropped(Enum):
    """Why a frame that was received is not published; the value is what /diagnostics shows."""

    REPLACED = "a newer one came"
    """Before there was time for this one."""
    WITHOUT_CAMERA_INFO = "no camera_info"
    UNWANTED = "no subscribers"
    DISABLED = "disabled"
    """By ~/set_enabled."""
    BAD = "bad"
    """Its image, its camera or the network's run failed: see `FrameCounts.last_reason`."""


class FrameCounts:
    """Counts of one camera's frames since the start.

    Each frame that was received ends in exactly one count: `published`, or one of `dropped`. Frames are received and
    lost on one thread, published on one, and dropped on any.
    """

    def __init__(self, *, warn: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic) -> None:
        """`warn` takes one line for the log."""
        self.received = 0
        self.lost = 0
        """Sent, but never received: see LostImages."""
        self.published = 0
        self.dropped = dict.fromkeys(Dropped, 0)
        self.last_reason = ""
        """Why the last bad one was dropped."""
        self._warn = warn
        self._clock_s = clock_s
        self._warned_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def drop(self, why: Dropped) -> None:
        """Count a frame that ends here."""
        with self._lock:
            self.dropped[why] += 1

    def drop_bad(self, error: Exception) -> None:
        """Count a frame that `error` ends, and warn of it: of each reason once in 5 s."""
        with self._lock:
            self.dropped[Dropped.BAD] += 1
            self.last_reason = printable(" ".join(str(error).split())) or type(error).__name__
            reason, is_news = self.last_reason, self._is_news()
        if is_news:
            self._warn(f"frame dropped: {reason}")

    def _is_news(self) -> bool:
        # Sizes and lengths may differ from frame to frame; the reason is still the same.
        reason = _NUMBERS.sub("", self.last_reason)
        now_s = self._clock_s()
        self._warned_s = {known: at_s for known, at_s in self._warned_s.items() if now_s - at_s < _WARN_EVERY_S}
        if reason in self._warned_s or len(self._warned_s) >= _MOST_REASONS:
            return False
        self._warned_s[reason] = now_s
        return True
