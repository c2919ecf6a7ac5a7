"""What one camera's frames left behind on their way through: counts, times, and what is being worked on."""

import threading
import time
from collections.abc import Mapping

from metric3d_ros.nodes.health.frame_counts import FrameCounts
from metric3d_ros.nodes.health.frame_times import DECODE, ESTIMATE_STAGES, OUTPUTS, TOTAL, FrameTimes
from metric3d_ros.nodes.health.late_images import LateImages
from metric3d_ros.outputs.result import MissingDepth


class CameraProgress:
    """The record of one camera. The line keeps it; /diagnostics reads it on another thread."""

    def __init__(self, counts: FrameCounts) -> None:
        self.counts = counts
        self.times = FrameTimes()
        self.late = LateImages()
        self.missing_depth = MissingDepth()
        """Of the newest image whose outputs were built."""
        self.ground = ""
        """What was found of the ground in that image; "" if no output asked for it."""
        self.image_hw: tuple[int, int] | None = None
        """(height, width) of the image that the network saw last; None before the first."""
        self.inference_size_hw: tuple[int, int] | None = None
        """(height, width) at which it did."""
        self._lock = threading.Lock()
        self._in_flight = 0
        self._busy_since_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a frame is being worked on."""
        return self._in_flight > 0

    @property
    def busy_s(self) -> float:
        """How long, or how long since the frame before came out; only of use while it `is_busy`."""
        return time.monotonic() - self._busy_since_s

    def begin(self) -> None:
        """Note that work on a frame begins."""
        with self._lock:
            if not self._in_flight:
                self._busy_since_s = time.monotonic()
            self._in_flight += 1

    def end(self) -> None:
        """Note that work on a frame has ended, whatever became of it."""
        with self._lock:
            self._in_flight -= 1
            self._busy_since_s = time.monotonic()

    def note_estimate(self, *, image_hw: tuple[int, int], inference_size_hw: tuple[int, int]) -> None:
        """Note what the network saw."""
        self.image_hw, self.inference_size_hw = image_hw, inference_size_hw

    def finish(self, times_ms: Mapping[str, float]) -> None:
        """Count a frame whose outputs were published; `times_ms` are milliseconds by stage."""
        self.counts.published += 1
        self.times.add(times_ms)
        self.late.add(
            total_ms=times_ms[TOTAL],
            estimate_ms=sum(times_ms.get(stage, 0.0) for stage in ESTIMATE_STAGES),
            other_ms=times_ms[DECODE] + times_ms[OUTPUTS],
        )
