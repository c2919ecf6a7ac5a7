"""Finds the camera_info of each image: by stamp, or the last one that fits. Knows only the messages' fields."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

# Enough for a driver that publishes camera_info a few frames early, and for as many cameras as share one topic.
_REMEMBERED_INFOS = 32
# A driver that stamps camera_info like its images may lose one now and then; one that has stopped must not stop us.
_MISSES_BEFORE_FALLBACK = 3


@dataclass(frozen=True)
class Pair:
    """An image with its camera_info; `by_stamp` tells whether both carry the same stamp."""

    image: Any
    camera_info: Any
    by_stamp: bool


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message with a header, in nanoseconds."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def described_size_hw(info: Any) -> tuple[int, int]:
    """Return the (height, width) of the image that a camera_info describes, after region of interest and binning."""
    height, width = int(info.roi.height) or int(info.height), int(info.roi.width) or int(info.width)
    return height // max(int(info.binning_y), 1), width // max(int(info.binning_x), 1)


class CameraInfoPairing:
    """Pairs the images of one camera with its camera_info messages, in whichever order they arrive.

    An image waits for the camera_info with its own stamp while the camera is known to publish those. Else it takes the
    last camera_info of the same frame_id and size (published once, latched, or at its own pace), or waits for one.
    Only the newest image waits.
    """

    def __init__(self) -> None:
        self._by_stamp: OrderedDict[int, Any] = OrderedDict()
        self._last: OrderedDict[tuple[str, tuple[int, int]], Any] = OrderedDict()
        self._waiting: Any = None
        self._unmatched_stamp_ns: int | None = None
        self._expects_stamp = False
        self._misses = 0

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits for a camera_info."""
        return self._waiting is not None

    @property
    def seen_camera_info(self) -> bool:
        """Whether any camera_info has come."""
        return bool(self._by_stamp)

    def add_image(self, image: Any) -> tuple[Pair | None, Any]:
        """Take an image; return the pair that can go on now, if any, and the waiting image that it replaces, if any."""
        replaced, self._waiting = self._waiting, None
        if replaced is not None and self._expects_stamp:
            self._misses += 1
            self._expects_stamp = self._misses < _MISSES_BEFORE_FALLBACK
        info = self._by_stamp.get(stamp_ns(image))
        if info is not None:
            return self._matched(image, info), replaced
        fallback = self._fall_back(image)
        if fallback is not None:
            return fallback, replaced
        self._waiting = image
        return None, replaced

    def add_camera_info(self, info: Any) -> Pair | None:
        """Take a camera_info; return the pair that it completes, if any."""
        _remember(self._by_stamp, stamp_ns(info), info)
        _remember(self._last, (info.header.frame_id, described_size_hw(info)), info)
        image, self._waiting = self._waiting, None
        if image is None:
            if stamp_ns(info) == self._unmatched_stamp_ns:  # it came too late this time: the next image waits
                self._expects_stamp, self._misses = True, 0
            return None
        if stamp_ns(image) == stamp_ns(info):
            return self._matched(image, info)
        pair = self._fall_back(image)
        self._waiting = image if pair is None else None
        return pair

    def explain_waiting(self) -> str:
        """Return why the waiting image has no camera_info yet, and what to do about it."""
        frame, size = _frame_and_size(self._waiting)
        wanted = f"the image (frame_id '{frame}', {size[1]}x{size[0]})"
        if not self.seen_camera_info:
            return f"no camera_info has come for {wanted}: check that its topic is published, or remap camera_info"
        last_frame, (height, width) = next(reversed(self._last))
        return (
            f"no camera_info fits {wanted}; the last one is for frame_id '{last_frame}', {width}x{height}: "
            "remap camera_info to the topic of this camera and this size"
        )

    def _matched(self, image: Any, info: Any) -> Pair:
        self._expects_stamp, self._misses = True, 0
        return Pair(image, info, by_stamp=True)

    def _fall_back(self, image: Any) -> Pair | None:
        info = None if self._expects_stamp else self._last.get(_frame_and_size(image))
        if info is None:
            return None
        self._unmatched_stamp_ns = stamp_ns(image)
        return Pair(image, info, by_stamp=False)


def _frame_and_size(image: Any) -> tuple[str, tuple[int, int]]:
    return str(image.header.frame_id), (int(image.height), int(image.width))


def _remember(infos: OrderedDict[Any, Any], key: Any, info: Any) -> None:
    infos.pop(key, None)
    infos[key] = info
    if len(infos) > _REMEMBERED_INFOS:
        infos.popitem(last=False)
