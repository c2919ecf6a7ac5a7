"""How long the latest frames took, stage by stage, as percentiles. No ROS here."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

WAIT, DECODE, OUTPUTS, TOTAL = "wait", "decode", "outputs", "total"
"""Stages beside the estimator's own: from the frame being complete until it is worked on, its decoding, the building
and publishing of all outputs, and all of it from complete to published. A topic's name is the stage of that output
alone; outputs of large images are made side by side."""
ESTIMATE_STAGES = ("prepare", "infer", "finish")
"""The estimator's."""
CORRECT = "correct"
"""The corrections of edges, sky, scale and stability, if any is on."""
AGE = "age"
"""From the image's stamp until everything was published, on the node's clock; missing if the stamp is of another."""

WINDOW_S = 10.0
_MOST_FRAMES = 1000


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that half of the frames, and 95 of 100, did not exceed."""

    p50_ms: float
    p95_ms: float


class FrameTimes:
    """Milliseconds by stage of the frames of the last ten seconds. One thread may add while another reads."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._frames: deque[tuple[float, dict[str, float]]] = deque(maxlen=_MOST_FRAMES)

    def add(self, times_ms: Mapping[str, float]) -> None:
        """Add one frame's milliseconds by stage."""
        with self._lock:
            self._frames.append((self._clock_s(), dict(times_ms)))

    def percentiles(self) -> dict[str, Percentiles]:
        """Return the percentiles by stage, in the order in which stages came first; empty if nothing was done."""
        with self._lock:
            oldest_s = self._clock_s() - WINDOW_S
            while self._frames and self._frames[0][0] < oldest_s:
                self._frames.popleft()
            frames = [times_ms for _, times_ms in self._frames]
        stages = dict.fromkeys(stage for times_ms in frames for stage in times_ms)
        result = {}
        for stage in stages:
            p50, p95 = np.percentile([times_ms[stage] for times_ms in frames if stage in times_ms], [50, 95])
            result[stage] = Percentiles(float(p50), float(p95))
        return result
