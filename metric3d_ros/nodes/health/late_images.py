"""Counts the images that are too old when their outputs come out, and what took the time. No ROS here."""

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 10.0
_MOST_IMAGES = 100
# Of a network that takes longer than the window for an image, too.
_FEWEST_IMAGES = 3
_FORGOTTEN_S = 600.0
# The first image of a size also takes memory and plans for it.
_FEWEST_LATE = 2


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """What became of the last images of one camera."""

    images: int
    late: int
    """How many of them were too old."""
    median_s: float
    """From an image's arrival until its outputs were published."""
    estimate_s: float
    """The part of the network, median."""
    other_s: float
    """The parts of decoding and of outputs, median."""

    @property
    def is_too_slow(self) -> bool:
        """Whether most images are too old."""
        return self.late >= _FEWEST_LATE and 2 * self.late >= self.images


class LateImages:
    """Keeps how long the last images took. One thread may add while another reads."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._images: deque[tuple[float, float, float, float]] = deque(maxlen=_MOST_IMAGES)

    def add(self, *, total_ms: float, estimate_ms: float, other_ms: float) -> None:
        """Add an image whose outputs have come out just now."""
        with self._lock:
            self._images.append((self._clock_s(), total_ms / 1e3, estimate_ms / 1e3, other_ms / 1e3))

    def summarise(self, *, max_age_s: float) -> Lateness | None:
        """Return how late the last images were; None if there are none.

        Those of the last ten seconds count, and at least the last three.
        """
        now_s = self._clock_s()
        with self._lock:
            images = [image for image in self._images if now_s - image[0] < _FORGOTTEN_S]
        recent = [image for image in images if now_s - image[0] < WINDOW_S]
        if len(recent) < _FEWEST_IMAGES:
            recent = images[-_FEWEST_IMAGES:]
        if not recent:
            return None
        _, totals_s, estimates_s, others_s = zip(*recent, strict=True)
        return Lateness(
            images=len(recent),
            late=sum(total_s > max_age_s for total_s in totals_s),
            median_s=statistics.median(totals_s),
            estimate_s=statistics.median(estimates_s),
            other_s=statistics.median(others_s),
        )
