"""Judges how many images of a camera get lost on their way here, by their numbers and by their stamps.

Uses of ROS only the names of publishers, and the path of a profile of Fast DDS.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable

import numpy as np

from metric3d_ros.installed_files import shared_file
from metric3d_ros.messages.stamps import NS_PER_S
from metric3d_ros.nodes.transport.large_messages import PROFILE_FILE, PROFILE_VARIABLES

WINDOW_S = 5.0
_FAR_BELOW = 0.5
# Fewer prove nothing: a camera that has just started, or one image every few seconds.
_FEWEST_EXPECTED = 10
_FEWEST_IMAGES = 6
# A camera with a rate of its own shows gaps that are whole multiples of its period, give or take this part of it.
_TOLERANCE = 0.15
_REGULAR = 0.8
_FEWEST_EVEN_GAPS = 3
_EVEN_PERIODS = 1.5
_MOST_STAMPS = 5000


class LostImages:
    """Both signs of one camera's lost images. Called by one thread."""

    def __init__(self, publishers: Callable[[], Collection[Hashable]]) -> None:
        """`publishers()` returns who publishes the images now; see SequenceGaps."""
        self._sequence = SequenceGaps(publishers)
        self._stamps = StampGaps()

    def add_number(self, number: int | None) -> int:
        """Take the number of an image message; return how many before it were lost: see `SequenceGaps.add`."""
        return self._sequence.add(number)

    def add_image(self, stamp_ns: int) -> None:
        """Take the stamp of an image."""
        self._stamps.add_image(stamp_ns)

    def add_camera_info(self, stamp_ns: int) -> None:
        """Take the stamp of a camera_info."""
        self._stamps.add_camera_info(stamp_ns)

    def explain(self) -> str:
        """Return how many images are missing, and the remedy; "" if that is not conspicuous."""
        missing = self._stamps.explain()
        if missing is None:
            return ""
        return (
            f"{missing}: start the camera with {PROFILE_VARIABLES[0]}={shared_file(PROFILE_FILE)} in its environment "
            "(large images do not fit into Fast DDS's shared memory), or give this machine less to do"
        )


class SequenceGaps:
    """Counts gaps in the numbers that a publisher gives its messages.

    A message can be lost in the transport, or in this process, if a newer one takes its place in a full queue before
    it is read; the middleware reports neither reliably. Numbers are those of one publisher: with several
    of them, or a new one, gaps mean nothing and are not counted. Messages before the first and after the last one that
    came are not counted either. Called by one thread.
    """

    def __init__(self, publishers: Callable[[], Collection[Hashable]]) -> None:
        """Prepare for the first message; `publishers()` returns who publishes now. It is asked after each gap only."""
        self._publishers = publishers
        self._known: frozenset[Hashable] = frozenset()
        self._last: int | None = None

    def add(self, number: int | None) -> int:
        """Take the number of the message that came, None if the middleware gives none; return how many are missing.

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


class StampGaps:
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
        """Return what is missing, such as "by their stamps ... 3 came"; None if nothing conspicuous is."""
        infos = set(self._infos)
        images = sorted(set(self._images))
        matched = [stamp for stamp in images if stamp in infos]
        by_camera_info = len(matched) >= max(1, _REGULAR * len(images))
        return _explain_by_camera_info(matched, infos) if by_camera_info else _explain_by_gaps(images)


def _explain_by_camera_info(images: list[int], infos: set[int]) -> str | None:
    first, last = min(infos), max(infos)
    gaps, period = np.diff(images), (last - first) / max(len(infos) - 1, 1)
    if len(gaps) >= _FEWEST_EVEN_GAPS and np.ptp(gaps) < _EVEN_PERIODS * period:
        return None  # a throttle lets every n-th image through; losses come at random
    return _explain(len(images), len(infos), last - first) if _is_far_below(len(images), len(infos)) else None


def _explain_by_gaps(images: list[int]) -> str | None:
    half = len(images) // 2
    if half < _FEWEST_IMAGES:
        return None
    # In both halves, since a camera that changes its rate shows two kinds of gaps as well.
    if not all(_is_far_below(len(part), _count_periods(part)) for part in (images[:half], images[half:])):
        return None
    return _explain(len(images), _count_periods(images), images[-1] - images[0])


def _count_periods(images: list[int]) -> int:
    """Return how many images a camera sent from the first to the last of these; 0 if it has no steady rate."""
    gaps = np.diff(images).astype(np.float64)
    periods = gaps / np.percentile(gaps, 10)
    if np.mean(np.abs(periods - np.round(periods)) < _TOLERANCE) < _REGULAR:
        return 0
    return int(np.round(periods).sum()) + 1


def _is_far_below(seen: int, sent: int) -> bool:
    return sent >= _FEWEST_EXPECTED and seen < _FAR_BELOW * sent


def _explain(seen: int, sent: int, span_ns: int) -> str:
    return f"by their stamps the camera sent {sent} images in {span_ns / NS_PER_S:.1f} s, and {seen} came"


def _add(stamps: deque[int], stamp_ns: int) -> None:
    if stamps and stamp_ns < stamps[-1] - WINDOW_S * NS_PER_S:
        stamps.clear()  # a recording started over
    stamps.append(stamp_ns)
    while stamps[-1] - stamps[0] > WINDOW_S * NS_PER_S:
        stamps.popleft()
