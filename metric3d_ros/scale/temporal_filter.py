"""TemporalFilter: averages the depth of each point over the frames that show it, for a camera that may move.

What a frame's depth differs from what the frames before let one expect is mostly the network's flicker. Only a part of
it is believed, where the point is the same one and the difference is small: what moves by itself, and what was hidden
before, keeps its own depth. The correction is found in a small image; depth keeps its own resolution.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.scale.motion import Motion

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TemporalFilterOptions:
    """How a temporal filter works. Raises ConfigurationError for values that cannot be used."""

    new_share: float = 0.3
    """Part of a frame's own difference that is believed: 1 does nothing."""
    max_change: float = 0.05
    """A pixel whose depth differs from the expected one by more than this (log ratio) keeps its own. It also limits
    what the filter can do to something that moves by itself: (1 - `new_share`) of this."""

    def __post_init__(self) -> None:
        if not (0 < self.new_share <= 1 and self.max_change > 0):
            raise ConfigurationError(
                f"temporal filter: new_share is {self.new_share:g}, max_change {self.max_change:g}; expected above 0, "
                "the first at most 1"
            )


class TemporalFilter:
    """Filters the depth of one camera; use one for each."""

    def __init__(self, options: TemporalFilterOptions = TemporalFilterOptions()) -> None:
        self.options = options
        self._newest_m: Array | None = None
        """(h, w), the last frame's depth as `Motion` has it."""
        self._filtered_m = np.empty((0, 0), np.float32)
        """(h, w), the same as it was returned."""

    def update(self, depth_m: Array, motion: Motion, *, factor: float = 1.0) -> Array:
        """Return the filtered depth (H, W) metres; NaN, infinite and <= 0 stay as they are.

        `motion` compares the frame with the one before; `depth_m` is its depth times `factor`. A cut, a motion that is
        not known, and a frame after one that did not come here, start anew.
        """
        small_m = motion.depth_m * np.float32(factor)
        follows = not motion.is_cut and motion.is_known and motion.previous_m is self._newest_m
        self._newest_m = motion.depth_m
        if not follows or motion.same_point is None:
            self._filtered_m = small_m
            return depth_m
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.log(motion.expect(self._filtered_m, factor=factor) / small_m)
            usable = motion.same_point & (np.abs(change) <= np.float32(self.options.max_change))
        kept = np.float32(1 - self.options.new_share)
        correction = np.exp(np.where(usable, change * kept, np.float32(0)))
        self._filtered_m = small_m * correction
        spread = cv2.resize(correction, depth_m.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(depth_m * spread, np.float32)
