"""Pinhole: size, focal lengths and principal point of one image, without its lens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pinhole:
    """Where pixels lie on the plane z = 1.

    Attributes:
        width, height: the image's size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def plane_coordinates(self) -> tuple[Float64Array, Float64Array]:
        """Return where columns (W,) and rows (H,) lie on the plane z = 1, as seen through a perfect lens."""
        u = (np.arange(self.width, dtype=np.float64) - self.cx) / self.fx
        v = (np.arange(self.height, dtype=np.float64) - self.cy) / self.fy
        return u, v
