"""TemporalFilter: averages each pixel's depth over frames as long as neither its depth nor its colour changes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TemporalFilterOptions:
    """How a temporal filter works. Raises ConfigurationError for values that cannot be used."""

    new_share: float = 0.3
    """Part of a frame's own depth in its result where nothing moves: 1 does nothing."""
    max_change: float = 0.05
    """A pixel whose depth changes by more than this part has moved: it keeps its own depth."""
    max_brightness_change: int = 12
    """A pixel whose brightness changes by more than this (0 to 255) has moved."""

    def __post_init__(self) -> None:
        if not (0 < self.new_share <= 1 and self.max_change > 0 and self.max_brightness_change > 0):
            raise ConfigurationError(
                f"temporal filter: new_share is {self.new_share:g}, max_change {self.max_change:g}, "
                f"max_brightness_change {self.max_brightness_change}; expected above 0, the first at most 1"
            )


class TemporalFilter:
    """Filters the depth of one camera; use one for each."""

    def __init__(self, options: TemporalFilterOptions = TemporalFilterOptions()) -> None:
        self.options = options
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._depth_m: Array | None = None
        self._grey: NDArray[np.uint8] | None = None

    def update(self, depth_m: Array, rgb: NDArray[np.uint8]) -> Array:
        """Return the filtered depth (H, W) metres; NaN, infinite and <= 0 stay as they are.

        `rgb` (H, W, 3) uint8 is the frame's image. An image of another size starts anew.
        """
        grey = np.asarray(cv2.blur(rgb[..., 1], (3, 3)), np.uint8)
        if self._depth_m is None or self._grey is None or self._depth_m.shape != depth_m.shape:
            self._depth_m, self._grey = depth_m.copy(), grey
            return depth_m
        still = cv2.absdiff(grey, self._grey) <= self.options.max_brightness_change
        with np.errstate(invalid="ignore"):
            change = self._depth_m - depth_m
            # False for NaN and infinity, on either side; two infinities give NaN.
            still &= (np.abs(change) <= np.float32(self.options.max_change) * depth_m) & (depth_m < np.inf)
            filtered = depth_m + np.where(still, change * np.float32(1 - self.options.new_share), np.float32(0))
        self._depth_m, self._grey = np.asarray(filtered, np.float32), grey
        return self._depth_m
