"""What became of one camera's frames, and how often to say so. Knows nothing of ROS."""

import time
from collections.abc import Callable

_SAY_EVERY_S = 5.0


class FrameCounts:
    """Counts of frames since the start; each frame that was received ends in exactly one of the others."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.received = 0
        self.published = 0
        self.replaced = 0
        """Newer ones came before there was time for them."""
        self.without_camera_info = 0
        self.unwanted = 0
        """Nobody had subscribed to any output."""
        self.bad = 0
        self.last_reason = ""
        """Why the last bad one was dropped."""
        self._clock_s = clock_s
        self._said_s: dict[type[Exception], float] = {}

    def add_bad(self, error: Exception) -> bool:
        """Count a frame that was dropped for `error`; return whether to log it: once in 5 s for each kind of error."""
        self.bad += 1
        self.last_reason = " ".join(str(error).split()) or type(error).__name__
        now_s = self._clock_s()
        said_s = self._said_s.get(type(error))
        if said_s is not None and now_s - said_s < _SAY_EVERY_S:
            return False
        self._said_s[type(error)] = now_s
        return True
