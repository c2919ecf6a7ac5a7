"""The lens models: what bends the rays between the plane z = 1 and the image."""

from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.equidistant import EquidistantLens
from metric3d_ros.camera.lenses.names import EQUIDISTANT
from metric3d_ros.camera.lenses.polynomial import PolynomialLens

Float64Array = npt.NDArray[np.float64]
Points = tuple[Float64Array, Float64Array]


class Lens(Protocol):
    """What bends the rays: between the plane z = 1 and where its points appear there."""

    @property
    def widest_deg(self) -> float:
        """The angle off the axis up to which there are rays."""

    def __hash__(self) -> int:
        """Rays are cached by lens."""

    def distort(self, x: Float64Array, y: Float64Array) -> Points:
        """Return where points (x, y, 1) appear; NaN where the lens model does not reach."""

    def undistort(self, x: Float64Array, y: Float64Array, *, near: Points | None = None) -> Points:
        """Return the points that appear at (x, y), NaN where there are none; `near` them are these, where not NaN."""


@lru_cache(maxsize=64)
def lens_of(model: str, coefficients: tuple[float, ...]) -> Lens | None:
    """Return the lens of a model that has coefficients; None, a perfect one, if there are none."""
    if not coefficients:
        return None
    return EquidistantLens(coefficients) if model == EQUIDISTANT else PolynomialLens(coefficients)
