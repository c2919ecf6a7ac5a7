"""Checks the calibration that a camera's frames come with, when it changes, and warns of what is doubtful about it.

Uses of ROS only the fields of camera_info.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metric3d_ros.camera import Camera, check_camera, check_camera_info
from metric3d_ros.errors import CameraError

# A camera that focuses by itself may change its calibration with every image.
_CHECK_EVERY_S = 1.0
_WARN_EVERY_S = 10.0
_NUMBERS = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class CalibrationReport:
    """What was found when a calibration was last checked."""

    findings: tuple[str, ...] = ()
    without_ray: float = 0.0
    """Share of the image's pixels that have no ray, and so no point, 0 to 1."""

    @property
    def summary(self) -> str:
        """The first finding in one line, with the number of the others; "" if there is none."""
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        return f"{self.findings[0]}{more}" if self.findings else ""


class CalibrationWatch:
    """Keeps a report of one camera's calibration."""

    def __init__(self, *, warn: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic) -> None:
        """`warn` takes one line for the log."""
        self._warn = warn
        self._clock_s = clock_s
        self._seen: Any = None
        self._seen_s = float("-inf")
        self._warned_s: dict[str, float] = {}
        self._pending: list[str] = []
        self.report: CalibrationReport | None = None
        """None before the first frame."""

    def check(self, camera: Camera, description: Any, *, rectified: bool) -> None:
        """Take a frame's camera, and the camera_info it was made from, None if numbers alone describe it."""
        seen = camera, rectified, _content(description)
        now_s = self._clock_s()
        if seen != self._seen and now_s - self._seen_s >= _CHECK_EVERY_S:
            self._seen, self._seen_s = seen, now_s
            self._find(camera, description, rectified=rectified)
        self._pending = [text for text in self._pending if not self._warn_of(text, now_s)]

    def _find(self, camera: Camera, description: Any, *, rectified: bool) -> None:
        try:
            findings = (
                check_camera(camera) if description is None else check_camera_info(description, rectified=rectified)
            )
        except CameraError:  # a part that is not used, such as K of a rectified image
            findings = []
        self.report = CalibrationReport(tuple(map(str, findings)), camera.share_without_ray())
        self._pending = list(self.report.findings)

    def _warn_of(self, text: str, now_s: float) -> bool:
        """Log `text` unless the same with other numbers was logged a moment ago; return whether it was."""
        kind = _NUMBERS.sub("", text)
        if now_s - self._warned_s.get(kind, float("-inf")) < _WARN_EVERY_S:
            return False
        self._warned_s[kind] = now_s
        self._warn(text)
        return True


def _content(info: Any) -> Any:
    if info is None:
        return None
    roi = info.roi
    return (
        (*map(float, info.k), *map(float, info.p), *map(float, info.d), *map(float, info.r)),
        (info.width, info.height, info.binning_x, info.binning_y, str(info.distortion_model)),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
