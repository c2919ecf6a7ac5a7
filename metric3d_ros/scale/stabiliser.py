"""ScaleStabiliser: takes the breathing of a network's scale from frame to frame out, without latency and without drift.

Between two frames all depth changes by a common factor, which is the camera's motion and the change of the network's
scale together. Motion is smooth and breathing is not: what the factor differs from that of the last few frames is
breathing. The correction adds these differences up and forgets them with a time constant, so that it stays near 1.
"""

import collections
import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError

Array = NDArray[np.float32]

_STEPS_OF_MOTION = 8
# As many pixels as this tell the common factor to a tenth of a percent.
_PIXELS = 6000
_LEAST_PIXELS = 50


@dataclass(frozen=True, kw_only=True)
class StabiliserOptions:
    """How a stabiliser works. Raises ConfigurationError for values that cannot be used."""

    memory: float = 0.7
    """Part of a correction that is left in the next frame: 0 does nothing, near 1 holds the scale for long."""
    max_correction: float = 0.1
    """Largest correction (log factor)."""
    cut_change: float = 0.25
    """Median change of log depth, or of brightness as a part of full scale, at which the scene is another one."""

    def __post_init__(self) -> None:
        if not (0 <= self.memory < 1 and self.max_correction > 0 and self.cut_change > 0):
            raise ConfigurationError(
                f"stabiliser: memory is {self.memory:g}, max_correction {self.max_correction:g}, cut_change "
                f"{self.cut_change:g}; expected 0 to below 1, and above 0"
            )


class ScaleStabiliser:
    """Returns for each frame the factor that steadies its depth."""

    def __init__(self, options: StabiliserOptions = StabiliserOptions()) -> None:
        self.options = options
        self.resets = 0
        """How often a cut or an exposure jump was seen."""
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._previous: Array | None = None
        self._brightness: Array | None = None
        self._correction = 0.0
        self._motion: collections.deque[float] = collections.deque(maxlen=_STEPS_OF_MOTION)

    def update(self, depth_m: Array, rgb: NDArray[np.uint8] | None = None) -> float:
        """Return what to multiply `depth_m` by: (H, W) metres, NaN, infinite or <= 0 where invalid.

        `rgb` (H, W, 3) is the frame's image; it tells cuts and exposure jumps, at which the factor starts at 1 again.
        The cost does not grow with the image: some 6000 pixels are compared.
        """
        step = max(1, round(math.sqrt(depth_m.size / _PIXELS)))
        with np.errstate(invalid="ignore", divide="ignore"):
            sampled = np.asarray(np.log(depth_m[::step, ::step]), np.float32)
        brightness = None if rgb is None else np.asarray(rgb[::step, ::step, 1] / 255, np.float32)
        change = self._common_change(sampled)
        if self._is_cut(sampled, brightness, change):
            self.reset()
            self.resets += 1
        elif change is not None:
            self._correct(change)
        self._previous, self._brightness = sampled, brightness
        return math.exp(self._correction)

    def _common_change(self, sampled: Array) -> float | None:
        """Return the median change of log depth; None if there is nothing to compare with."""
        if self._previous is None or self._previous.shape != sampled.shape:
            return None
        with np.errstate(invalid="ignore"):
            changes = sampled - self._previous
        changes = changes[np.isfinite(changes)]
        return float(np.median(changes)) if changes.size >= _LEAST_PIXELS else None

    def _is_cut(self, sampled: Array, brightness: Array | None, change: float | None) -> bool:
        if self._previous is None:
            return False
        if change is None or abs(change) > self.options.cut_change:
            return True
        with np.errstate(invalid="ignore"):
            if np.nanmedian(np.abs(sampled - self._previous - change)) > self.options.cut_change:
                return True
        if brightness is None or self._brightness is None:
            return False
        return bool(np.median(np.abs(brightness - self._brightness)) > self.options.cut_change)

    def _correct(self, change: float) -> None:
        motion = statistics.fmean(self._motion) if len(self._motion) == _STEPS_OF_MOTION else change
        self._motion.append(change)
        correction = self.options.memory * self._correction - (change - motion)
        self._correction = max(-self.options.max_correction, min(self.options.max_correction, correction))
