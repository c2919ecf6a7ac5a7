"""Finds the camera_info of each image: by stamp, or else the one that fits best. Knows only the messages' fields."""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from metric3d_ros.camera import described_size_hw
from metric3d_ros.camera.resizing import is_resized
from metric3d_ros.messages.stamps import NO_STAMP, NS_PER_S, apart_ns, stamp_ns
from metric3d_ros.nodes.frame import Frame, PairedBy

# Enough for a driver that publishes camera_info a few frames early, and for as many cameras as share one topic.
_REMEMBERED = 32
# A driver that stamps camera_info like its images may lose one now and then; one that has stopped must not stop us, nor
# one that sends camera_info with every other image only.
_JUDGED_IMAGES = 8
_MISSES_BEFORE_FALLBACK = 3
_ANY_SIZE = (0, 0)

SCALING_REMEDY = "set the parameter camera_info_scaling to scale"
"""How a user asks for a camera_info that is scaled to its images."""


@dataclass(frozen=True)
class _Info:
    message: Any
    stamp_ns: int
    frame_id: str
    size_hw: tuple[int, int]


class CameraInfoPairing:
    """Pairs the images of one camera with its camera_info messages, in whichever order they arrive.

    An image waits for the camera_info with its own stamp while the camera is known to publish those. Else it takes the
    one with the nearest stamp within the tolerance, or the last one (published once, latched, or at its own pace), of
    the same frame_id and size; or waits for one. If the frame_id proves nothing, because it is empty or another one,
    size and topic have to do, if nothing suggests that the camera_info is another camera's. Only the newest image
    waits.
    """

    def __init__(
        self,
        *,
        tolerance_ns: int = 0,
        doubt: Callable[[], str] = lambda: "its frame_id is that of another camera",
        any_size: bool = False,
    ) -> None:
        """Prepare for the first message.

        Args:
            tolerance_ns: how far apart stamps may be that count as of one moment.
            doubt: returns why what comes as camera_info may be another camera's; "" if it can only be this one's.
            any_size: camera_info will be scaled to its images, so that their sizes need not be equal.
        """
        self._any_size = any_size
        self._tolerance_ns = tolerance_ns
        self._doubt = doubt
        self._recent: OrderedDict[tuple[int, str], _Info] = OrderedDict()
        """The last ones of each stamp and frame_id."""
        self._last: OrderedDict[tuple[str, tuple[int, int]], _Info] = OrderedDict()
        self._image_frames: deque[str] = deque(maxlen=_REMEMBERED)
        self._waiting: Frame | None = None
        self._newest_stamp_ns: int | None = None
        self._has_matched = False
        """Whether a camera_info with the newest image's stamp has come, be it too late for that image."""
        self._matches: deque[bool] = deque(maxlen=_JUDGED_IMAGES)
        """The same of the images before."""

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits for a camera_info."""
        return self._waiting is not None

    @property
    def seen_camera_info(self) -> bool:
        """Whether any camera_info has come."""
        return bool(self._last)

    def add_image(self, image: Frame) -> tuple[Frame | None, Frame | None]:
        """Take an image; return the frame that is complete now, and the waiting one that is dropped for it, if any."""
        self._image_frames.append(str(image.header.frame_id))
        replaced, self._waiting = self._waiting, None
        if self._newest_stamp_ns is not None:
            self._matches.append(self._has_matched)
        self._newest_stamp_ns, self._has_matched = stamp_ns(image), False
        frame = self._pair(image)
        self._waiting = image if frame is None else None
        return frame, replaced

    def add_camera_info(self, info: Any) -> Frame | None:
        """Take a camera_info; return the frame that it completes, if any."""
        size_hw = _ANY_SIZE if self._any_size else described_size_hw(info)
        taken = _Info(info, stamp_ns(info), str(info.header.frame_id), size_hw)
        _remember(self._recent, (taken.stamp_ns, taken.frame_id), taken)
        _remember(self._last, (taken.frame_id, taken.size_hw), taken)
        self._has_matched |= taken.stamp_ns == self._newest_stamp_ns != NO_STAMP
        image, self._waiting = self._waiting, None
        if image is None:
            return None
        frame = self._pair(image)
        self._waiting = image if frame is None else None
        return frame

    def explain_waiting(self, *, topic: str = "camera_info") -> str:
        """Return why the waiting image has no camera_info yet, and what to do about it."""
        assert self._waiting is not None, "it is_waiting"
        frame, size = _frame_and_size(self._waiting)
        wanted = f"the image (frame_id '{frame}', {size[1]}x{size[0]})"
        if not self._last:
            return f"no camera_info has come for {wanted}"
        last = next(reversed(self._last.values()))
        height, width = described_size_hw(last.message)
        described = f"{width}x{height}"
        start = f"no camera_info fits {wanted}; the last one on {topic} is for frame_id '{last.frame_id}', {described}"
        if self._candidate(frame, _ANY_SIZE if self._any_size else size) is None:
            return (
                f"{start}: publish the camera_info of the images as they are, resize both alike, or remap camera_info "
                f"to the topic of this camera and this size{_explain_factor((width, height), (size[1], size[0]))}"
            )
        if self._expects_stamp:
            return f"{start}; those with the images' stamps have stopped: check their publisher"
        apart_s = min(apart_ns(each.stamp_ns, stamp_ns(self._waiting)) for each in self._recent.values()) / NS_PER_S
        return (
            f"{start}, {apart_s:.3g} s apart. It may be another camera's, because {self._explain_doubt()}: let its "
            "driver set the images' frame_id, or remap camera_info to a topic of this camera alone"
        )

    def _pair(self, image: Frame) -> Frame | None:
        frame, size = _frame_and_size(image)
        size = _ANY_SIZE if self._any_size else size
        stamp = stamp_ns(image)
        has_own = self._has_own(frame)
        info = self._recent.get((stamp, frame))
        if info is None and not has_own and stamp != NO_STAMP:
            info = self._with_stamp(stamp, size)
        if info is not None:
            self._has_matched = stamp != NO_STAMP
            return image.complete(info.message, PairedBy.STAMP if info.frame_id == frame else PairedBy.STAMP_ALONE)
        last = self._candidate(frame, size)
        if last is None or self._expects_stamp or (not has_own and self._explain_doubt()):
            return None
        near = self._nearest(stamp, last)
        if not has_own:
            return image.complete((near or last).message, PairedBy.SIZE_ALONE)
        if near is not None:
            return image.complete(near.message, PairedBy.NEAREST_STAMP)
        return image.complete(last.message, PairedBy.LAST)

    def _has_own(self, frame: str) -> bool:
        """Return whether any camera_info has this frame_id, and so proves whose it is."""
        return bool(frame) and any(info_frame == frame for info_frame, _ in self._last)

    def _candidate(self, frame: str, size: tuple[int, int]) -> _Info | None:
        """Return the last camera_info that may describe such an image, whatever its stamp."""
        if self._has_own(frame):
            return self._last.get((frame, size))
        return next((each for each in reversed(self._last.values()) if each.size_hw == size), None)

    @property
    def _expects_stamp(self) -> bool:
        """Whether the camera is known to publish camera_info with the images' stamps."""
        return any(self._matches) and self._matches.count(False) < _MISSES_BEFORE_FALLBACK

    def _explain_doubt(self) -> str:
        """Return why camera_info of another frame_id may be another camera's; "" if it can only be this one's."""
        frames = {each.frame_id for each in self._recent.values()}
        if len(frames) > 1:
            return f"there are those with {_named(frames)}"
        if len(set(self._image_frames)) > 1:
            return f"there are images with {_named(set(self._image_frames))}"
        return self._doubt()

    def _with_stamp(self, stamp: int, size: tuple[int, int]) -> _Info | None:
        """Return the camera_info with this stamp, whatever its frame_id; None if several of them might be meant."""
        found = [each for each in self._recent.values() if each.stamp_ns == stamp]
        fitting = [each for each in found if each.size_hw == size] or found
        return fitting[0] if len(fitting) == 1 else None

    def _nearest(self, stamp: int, like: _Info) -> _Info | None:
        """Return the camera_info of that frame_id and size with the nearest stamp, if that is within the tolerance."""
        key = (like.frame_id, like.size_hw)
        fitting = [each for each in self._recent.values() if (each.frame_id, each.size_hw) == key]
        nearest = min(fitting, key=lambda each: apart_ns(each.stamp_ns, stamp), default=None)
        return nearest if nearest and apart_ns(nearest.stamp_ns, stamp) <= self._tolerance_ns else None


def _named(frames: Collection[str]) -> str:
    names = sorted(frames)
    return "the frame_ids " + ", ".join(f"'{name}'" for name in names[:4]) + ", ..." * (len(names) > 4)


def _explain_factor(from_wh: tuple[int, int], to_wh: tuple[int, int]) -> str:
    if from_wh == to_wh or not is_resized(from_wh, to_wh):
        return ""
    factor = to_wh[0] / from_wh[0]
    return f"; the sizes differ by a factor of {factor:.4g}: if the image was resized, not cropped, {SCALING_REMEDY}"


def _frame_and_size(image: Frame) -> tuple[str, tuple[int, int]]:
    return str(image.header.frame_id), (int(image.height), int(image.width))


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
