"""ScaleStabiliser: takes the breathing of a network's scale from frame to frame out, without latency and without drift.

What all depth changes by between two frames, beyond what the camera's motion explains, is breathing. The correction
adds these changes up and forgets them with a time constant, so that it stays near 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.scale.motion import Motion

Array = NDArray[np.float32]

_LEAST_PIXELS = 50


@dataclass(frozen=True, kw_only=True)
class StabiliserOptions:
    """How a stabiliser works. Raises ConfigurationError for values that cannot be used."""

    memory: float = 0.7
    """Part of a correction that is left in the next frame: 0 does nothing, near 1 holds the scale for long."""
    max_correction: float = 0.1
    """Largest correction (log factor)."""

    def __post_init__(self) -> None:
        if not (0 <= self.memory < 1 and self.max_correction > 0):
            raise ConfigurationError(
                f"stabiliser: memory is {self.memory:g}, max_correction {self.max_correction:g}; expected 0 to below "
                "1, and above 0"
            )


class ScaleStabiliser:
    """Returns for each frame the factor that steadies its depth."""

    def __init__(self, options: StabiliserOptions = StabiliserOptions()) -> None:
        self.options = options
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._newest_m: Array | None = None
        self._correction = 0.0

    def update(self, motion: Motion) -> float:
        """Return what to multiply the depth of a frame by; `motion` compares it with the one before.

        At a cut, and after a frame that did not come here, it is 1. If the camera's motion is not known the last
        correction fades.
        """
        if motion.is_cut or motion.previous_m is not self._newest_m:
            self.reset()
        else:
            change = self._change(motion)
            correction = self.options.memory * self._correction - change
            self._correction = max(-self.options.max_correction, min(self.options.max_correction, correction))
        self._newest_m = motion.depth_m
        return math.exp(self._correction)

    def _change(self, motion: Motion) -> float:
        """Return the median change of log depth beyond the motion's; 0 if it cannot be told."""
        if motion.previous_m is None or not motion.is_known:
            return 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            changes = np.log(motion.depth_m / motion.expect(motion.previous_m))[motion.same_point]
        changes = changes[np.isfinite(changes)]
        return float(np.median(changes)) if changes.size >= _LEAST_PIXELS else 0.0
