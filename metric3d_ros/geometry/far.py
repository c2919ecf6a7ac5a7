"""Which pixels are sky or too far for the network to tell: far, never a wall and never a point.

A network has no word for sky. It gives it its ceiling, or, if trained on something like it, a large depth with low
confidence, which is no wall at one depth: the sky is where a region of far or doubtful pixels reaches the top of the
image. Up is the image's top, so turn images upright first.
"""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

# The image is judged at about this width.
_WIDTH = 160


@dataclasses.dataclass(frozen=True, kw_only=True)
class FarOptions:
    """What counts as far. Raises ConfigurationError for values that cannot be used."""

    ceiling_m: float = 150.0
    """Depth from here on is the network's ceiling: far wherever it is."""
    sky_from_m: float = 20.0
    """Sky is at least this far away in the network's eyes: a room's ceiling is not."""
    max_confidence: float = 0.6
    """Sky has at most this confidence, if there is any."""
    min_share: float = 0.002
    """Sky is a region of at least this part of the image."""

    def __post_init__(self) -> None:
        if not 0 < self.sky_from_m <= self.ceiling_m:
            raise ConfigurationError(
                f"far: sky_from_m is {self.sky_from_m:g}, ceiling_m {self.ceiling_m:g}; expected 0 < first <= second"
            )
        if not (self.max_confidence >= 0 and self.min_share >= 0):
            raise ConfigurationError(
                f"far: max_confidence is {self.max_confidence:g}, min_share {self.min_share:g}; expected at least 0"
            )


def find_far(depth_m: Array, *, confidence: Array | None = None, options: FarOptions = FarOptions()) -> Mask:
    """Return which pixels are sky or beyond the network's reach: (H, W) bool.

    `depth_m` is (H, W) metres along the optical axis, NaN or <= 0 where invalid, +Inf where already known to be far;
    `confidence` (H, W) is 0 to 1, or None.
    """
    with np.errstate(invalid="ignore"):
        far = depth_m >= options.ceiling_m
        candidates = depth_m >= options.sky_from_m
        if confidence is not None:
            candidates &= (confidence <= options.max_confidence) | far
    if not candidates.any():
        return np.asarray(far)
    return np.asarray(far | _reaching_the_top(candidates, options.min_share))


def _reaching_the_top(candidates: Mask, min_share: float) -> Mask:
    """Return the connected regions of `candidates` (H, W) that reach the top row and are large enough."""
    height, width = candidates.shape
    shrink = max(1.0, width / _WIDTH)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    # A cell belongs to a region if most of it does; its own pixels decide in the end.
    cells = cv2.resize(candidates.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    _, labels, figures, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    large = figures[:, cv2.CC_STAT_AREA] >= max(1.0, min_share * cells.size)
    top = figures[:, cv2.CC_STAT_TOP] == 0
    chosen = large & top
    chosen[0] = False
    region = cv2.dilate(chosen[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    grown = cv2.resize(region, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(grown & candidates)
