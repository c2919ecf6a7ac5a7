"""Which pixels of estimated depth truly fly, and what a filter made of them, judged by true depth."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TOLERANCE = 0.05
"""A flying pixel is farther than this part of its depth from each true surface around it."""
REACH_PX = 4
"""How many pixels to each side count as around."""


@dataclass(frozen=True)
class FilterCounts:
    """What a filter did to one image or several: counts add up."""

    flying: int = 0
    flying_removed: int = 0
    good: int = 0
    good_removed: int = 0

    def __add__(self, other: "FilterCounts") -> "FilterCounts":
        return FilterCounts(
            self.flying + other.flying,
            self.flying_removed + other.flying_removed,
            self.good + other.good,
            self.good_removed + other.good_removed,
        )

    @property
    def flying_share(self) -> float:
        """Share of the known pixels that fly."""
        return self.flying / max(self.flying + self.good, 1)

    @property
    def recall(self) -> float:
        """Share of the flying pixels that were removed; NaN if none flies."""
        return self.flying_removed / self.flying if self.flying else math.nan

    @property
    def loss(self) -> float:
        """Share of the other pixels that were removed."""
        return self.good_removed / max(self.good, 1)


def label_flying_pixels(
    estimated_m: FloatImage, true_m: FloatImage, *, tolerance: float = TOLERANCE, reach_px: int = REACH_PX
) -> Mask:
    """Return which pixels of `estimated_m` (H, W) lie between the true surfaces around them, and on none: (H, W) bool.

    Around is a square of `reach_px` to each side; on a surface is within the part `tolerance` of it. Both depths are
    metres, NaN where not known; take a wrong scale of the whole image out before. Raises DataError when the sizes
    differ.
    """
    if estimated_m.shape != true_m.shape:
        raise DataError(
            f"estimated depth has shape {estimated_m.shape}, the true one {true_m.shape}; expected the same"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        estimated, true = np.log(estimated_m), np.log(true_m)
    known = np.isfinite(true)
    square = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    nearest = cv2.erode(np.where(known, true, np.float32(np.inf)), square)
    farthest = cv2.dilate(np.where(known, true, np.float32(-np.inf)), square)
    height, width = true.shape
    around = np.pad(true, reach_px, constant_values=np.nan)
    closest = np.full(true.shape, np.inf, np.float32)
    for down in range(2 * reach_px + 1):
        for right in range(2 * reach_px + 1):
            closest = np.fmin(closest, np.abs(around[down : down + height, right : right + width] - estimated))
    with np.errstate(invalid="ignore"):
        between = (estimated > nearest) & (estimated < farthest)
    return np.asarray(between & (closest > math.log1p(tolerance)) & known)


def count_filtered(flying: Mask, removed: Mask, true_m: FloatImage) -> FilterCounts:
    """Return how many flying and other pixels (H, W) a filter removed, of those whose true depth is known."""
    known = np.isfinite(true_m)
    return FilterCounts(
        flying=int((flying & known).sum()),
        flying_removed=int((flying & removed & known).sum()),
        good=int((~flying & known).sum()),
        good_removed=int((~flying & removed & known).sum()),
    )
