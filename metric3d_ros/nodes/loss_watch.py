"""Tells from the stamps whether a camera's images get lost on their way here. Knows nothing of ROS."""

from collections import deque

import numpy as np

WINDOW_S = 5.0
_FAR_BELOW = 0.5
# Fewer tell nothing: a camera that has just started, or one image every few seconds.
_FEWEST_EXPECTED = 20
_FEWEST_IMAGES = 8
# A camera with a rate of its own shows gaps that are whole multiples of its period, give or take this part of it.
_TOLERANCE = 0.15
_REGULAR = 0.8
_FEWEST_EVEN_GAPS = 3
_EVEN_PERIODS = 1.5
_MOST_STAMPS = 5000


class LossWatch:
    """Compares how many images came with how many must have been sent.

    What was sent follows from camera_info with the images' own stamps, which is small and hardly ever lost, or else
    from the stamps of the images: a camera sends one each period, and the period is the smallest gap that is seen.
    Only stamps count, so it makes no difference how fast a recording or a simulation runs. Called by one thread.
    """

    def __init__(self) -> None:
        self._images: deque[int] = deque(maxlen=_MOST_STAMPS)
        self._infos: deque[int] = deque(maxlen=_MOST_STAMPS)

    def add_image(self, stamp_ns: int) -> None:
        """Note an image that came."""
        _add(self._images, stamp_ns)

    def add_camera_info(self, stamp_ns: int) -> None:
        """Note a camera_info that came."""
        _add(self._infos, stamp_ns)

    def explain(self) -> str | None:
        """Return what is missing, such as "of 150 images in 5 s only 3 came"; None where nothing conspicuous is."""
        seen, expected, span_s = self._by_camera_info() or self._by_gaps() or (1, 1, 0.0)
        if expected < _FEWEST_EXPECTED or seen >= _FAR_BELOW * expected:
            return None
        return f"by their stamps the camera sent {expected} images in {span_s:.1f} s, and {seen} came"

    def _by_camera_info(self) -> tuple[int, int, float] | None:
        """Return how many images came, were sent, in which time; None where camera_info has stamps of its own."""
        infos = set(self._infos)
        if len(infos) < _FEWEST_EXPECTED:
            return None
        first, last = min(infos), max(infos)
        images = {stamp for stamp in self._images if first <= stamp <= last}
        matched = sorted(images & infos)
        if len(matched) < _REGULAR * len(images) or not images:
            return None
        gaps = np.diff(matched)
        period = (last - first) / (len(infos) - 1)
        if len(gaps) >= _FEWEST_EVEN_GAPS and np.ptp(gaps) < _EVEN_PERIODS * period:
            return None  # somebody lets every so-many-th image through; losses come at random
        return len(matched), len(infos), (last - first) / 1e9

    def _by_gaps(self) -> tuple[int, int, float] | None:
        stamps = np.unique(np.array(self._images, np.int64))
        if len(stamps) < _FEWEST_IMAGES:
            return None
        gaps = np.diff(stamps).astype(np.float64)
        period = float(np.percentile(gaps, 10))
        periods = gaps / period
        if np.mean(np.abs(periods - np.round(periods)) < _TOLERANCE) < _REGULAR:
            return None
        return len(stamps), int(np.round(periods).sum()) + 1, float(stamps[-1] - stamps[0]) / 1e9


def _add(stamps: deque[int], stamp_ns: int) -> None:
    if stamps and stamp_ns < stamps[-1] - WINDOW_S * 1e9:
        stamps.clear()  # a recording started over
    stamps.append(stamp_ns)
    while stamps[-1] - stamps[0] > WINDOW_S * 1e9:
        stamps.popleft()
