"""The equidistant lens (OpenCV's fisheye model), on the branch that starts at the optical axis."""

import math

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.roots import first_root

Float64Array = npt.NDArray[np.float64]
Points = tuple[Float64Array, Float64Array]

# A ray with z = 1 cannot lie farther off the axis.
_WIDEST_RAD = math.radians(89.9)
_TABLE_SIZE = 2048


class EquidistantLens:
    """theta_d = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8), Kannala and Brandt 2006, eq. 6.

    Beyond the angle where theta_d stops growing one place of the image would belong to several directions. The model
    was fitted within that angle and means nothing outside of it.
    """

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        self._k = coefficients
        slope = [1.0, *((2 * rank + 3) * k for rank, k in enumerate(coefficients))]
        self.widest_rad = min(_WIDEST_RAD, math.sqrt(first_root(slope, _WIDEST_RAD**2)))
        """The angle off the axis up to which there are rays."""

    @property
    def widest_deg(self) -> float:
        """The angle off the axis up to which there are rays, in degrees."""
        return math.degrees(self.widest_rad)

    def distort(self, x: Float64Array, y: Float64Array) -> Points:
        """Return where points (x, y, 1) appear on the plane z = 1; NaN beyond the widest angle."""
        radius = np.hypot(x, y)
        angle = np.arctan(radius)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(radius > 1e-12, self.image_radius(angle) / radius, 1.0)
        scale[~(angle <= self.widest_rad)] = np.nan
        return x * scale, y * scale

    def undistort(self, x: Float64Array, y: Float64Array, *, near: Points | None = None) -> Points:
        """Return the points on the plane z = 1 that appear at (x, y); NaN where the model has none on its branch.

        Takes points `near` them as any lens does, and needs none: it has one unknown only.
        """
        target = np.hypot(x, y)
        top = self._widest_needed(float(np.max(target, initial=0.0)))
        angles = np.linspace(0, top, _TABLE_SIZE)
        images = self.image_radius(angles)
        theta = np.interp(target, images, angles)
        # Between two knots the model is nearly straight; near its turning point a step may lead out of the table.
        for _ in range(2):
            with np.errstate(divide="ignore", invalid="ignore"):
                step = (self.image_radius(theta) - target) / self._slope(theta)
            theta = np.clip(theta - np.where(np.isfinite(step), step, 0.0), 0, top)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(target > 1e-12, np.tan(theta) / target, 1.0)
        scale[~(target <= images[-1])] = np.nan
        return x * scale, y * scale

    def _widest_needed(self, target: float) -> float:
        """Return an angle whose image lies at or beyond `target`, or the widest one."""
        low, high = 0.0, self.widest_rad
        while high - low > 1e-3 * high:
            middle = (low + high) / 2
            if float(self.image_radius(np.array(middle))) < target:
                low = middle
            else:
                high = middle
        return high

    def image_radius(self, theta: Float64Array) -> Float64Array:
        """Return how far from the principal point, on the plane z = 1, rays `theta` radians off the axis appear."""
        k1, k2, k3, k4 = self._k
        square = theta * theta
        return np.asarray(theta * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))), np.float64)

    def _slope(self, theta: Float64Array) -> Float64Array:
        k1, k2, k3, k4 = self._k
        square = theta * theta
        return np.asarray(1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4))), np.float64)
