"""What became of one camera's frames, and how often to say so. Knows nothing of ROS."""

import re
import threading
import time
from collections.abc import Callable

_SAY_EVERY_S = 5.0
_MOST_REASONS = 20
_NUMBERS = re.compile(r"\d+")


class FrameCounts:
    """Counts of frames since the start; each frame that was received ends in exactly one of the others but `lost`.

    Those that end on more than one thread are counted by methods.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.received = 0
        self.lost = 0
        """Sent, but never received: see SequenceWatch."""
        self.published = 0
        self.replaced = 0
        """Newer ones came before there was time for them."""
        self.without_camera_info = 0
        self.unwanted = 0
        """Nobody had subscribed to any output."""
        self.disabled = 0
        """The node was disabled."""
        self.bad = 0
        self.last_reason = ""
        """Why the last bad one was dropped."""
        self._clock_s = clock_s
        self._said_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def add_unwanted(self) -> None:
        """Count a frame that nobody wanted."""
        with self._lock:
            self.unwanted += 1

    def add_bad(self, error: Exception) -> bool:
        """Count a frame that was dropped for `error`; return whether to log it: each reason once in 5 s."""
        with self._lock:
            self.bad += 1
            self.last_reason = " ".join(str(error).split()) or type(error).__name__
            return self._is_worth_saying()

    def _is_worth_saying(self) -> bool:
        # Sizes and lengths may differ from frame to frame; the reason is still the same.
        reason = _NUMBERS.sub("", self.last_reason)
        now_s = self._clock_s()
        self._said_s = {said: at_s for said, at_s in self._said_s.items() if now_s - at_s < _SAY_EVERY_S}
        if reason in self._said_s or len(self._said_s) >= _MOST_REASONS:
            return False
        self._said_s[reason] = now_s
        return True
