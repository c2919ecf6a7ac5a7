"""The image size and batch size that fit into memory, learnt from those that did not."""

from __future__ import annotations

import math

from metric3d_ros.estimation.inference_size import MIN_SIDE_PX, limit_pixels

_STEP = 0.5
"""Each failure halves the pixels, which is a quarter of the memory where attention holds most of it."""


class MemoryLimit:
    """Limits inputs to less than those for which memory ran out."""

    def __init__(self) -> None:
        self.max_pixels = math.inf
        """Of one image."""
        self.max_images: int | None = None
        """Batch size; None as long as every one has fitted."""

    def limit(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the largest size of the same aspect that is allowed."""
        return size_hw if math.prod(size_hw) <= self.max_pixels else limit_pixels(size_hw, self.max_pixels)

    def lower(self, size_hw: tuple[int, int], *, images: int) -> str | None:
        """Allow less than `images` of `size_hw` (height, width), which did not fit.

        Returns one sentence about what is done from now on; None if there is nothing smaller to try.
        """
        if images > 1:
            self.max_images = images // 2
            return f"{images} images at once do not fit into memory: at most {self.max_images} from now on"
        before = math.prod(size_hw)
        self.max_pixels = max(before * _STEP, MIN_SIDE_PX**2)
        height, width = self.limit(size_hw)
        if height * width >= before:
            return None
        return (
            f"an image of {size_hw[1]}x{size_hw[0]} does not fit into memory: inference runs at {width}x{height} from "
            "now on, until inference_size is set again"
        )
