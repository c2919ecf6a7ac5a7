"""Refuses messages larger than images may be, as soon as they come, and tells when their memory may be given back."""

import time
from collections.abc import Callable
from typing import Any

from metric3d_ros.errors import MessageError

# Of the largest encoding: four samples of 16 bits.
_BYTES_PER_PIXEL = 8
# Memory is given back once such messages have stopped, and not too often, since the subscription is made anew for it.
_QUIET_S = 3.0
_AGAIN_S = 30.0


class LargeMessages:
    """Checks messages of one topic, and remembers when the last one was refused."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._refused_s: float | None = None
        self._given_back_s = -_AGAIN_S

    def check_pixels(self, size_hw: tuple[int, int], *, max_pixels: int) -> None:
        """Raise MessageError for an image of more than `max_pixels`."""
        height, width = size_hw
        if height * width > max_pixels:
            self._refused_s = self._now_s()
            raise MessageError(
                f"the image is {width} x {height} pixels, expected at most {max_pixels} pixels: "
                "lower the camera's resolution or raise max_pixels"
            )

    def check_bytes(self, message: Any, *, max_pixels: int) -> None:
        """Raise MessageError for more data than any image of `max_pixels` has."""
        most = max_pixels * _BYTES_PER_PIXEL
        if len(message.data) > most:
            self._refused_s = self._now_s()
            raise MessageError(
                f"the message has {len(message.data)} bytes of data, expected at most {most} for an image of "
                f"{max_pixels} pixels: check its publisher, or raise max_pixels"
            )

    def may_be_given_back(self) -> bool:
        """Return, once, that the memory of refused messages is held for nothing."""
        now_s = self._now_s()
        if self._refused_s is None or now_s - self._refused_s < _QUIET_S or now_s - self._given_back_s < _AGAIN_S:
            return False
        self._refused_s, self._given_back_s = None, now_s
        return True
