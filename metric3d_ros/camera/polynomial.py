"""The polynomial lens (OpenCV's plumb_bob and rational models), on the branch that starts at the optical axis."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.roots import first_root

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Points = tuple[Float64Array, Float64Array]

# 89.994 degrees off the axis; a ray with z = 1 of more than that overflows what it is multiplied with.
_FARTHEST = 1e4
_DIRECTIONS = 96
_TABLE_SIZE = 2048
_MOST_STEPS = 8
# Arrays of this many points stay in a processor's cache.
_BLOCK_POINTS = 8192
_CONVERGED = 1e-4


class _Slopes(NamedTuple):
    """Distorted coordinates and their derivatives by x and y."""

    x: Float64Array
    y: Float64Array
    x_by_x: Float64Array
    x_by_y: Float64Array
    y_by_x: Float64Array
    y_by_y: Float64Array

    @property
    def determinant(self) -> Float64Array:
        return self.x_by_x * self.y_by_y - self.x_by_y * self.y_by_x


class PolynomialLens:
    """OpenCV's polynomial model: radial and tangential distortion, thin prism and tilted sensor.

    Coefficients in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tx ty; the formula is that of the camera
    calibration page of OpenCV's manual. cv2.projectPoints agrees but also computes derivatives nobody needs here, at
    40 times the cost; cv2.undistortPoints takes any root.

    The model's branch is what can be reached from the axis, outwards in a straight line, before the model turns around:
    while the determinant of its derivatives is above 0. Outside of it one place of the image would belong to several
    directions, and the model, which was fitted within, means nothing.
    """

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        self._k = (*coefficients, *(0.0,) * (14 - len(coefficients)))
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tilt_x, tilt_y = self._k
        self._tilt = _tilt_matrix(tilt_x, tilt_y) if tilt_x or tilt_y else None
        self._untilt = None if self._tilt is None else np.asarray(np.linalg.inv(self._tilt), np.float64)
        self._is_radial = not (p1 or p2 or s1 or s2 or s3 or s4)
        self._is_rational = bool(k4 or k5 or k6)
        pole = math.sqrt(first_root((1.0, k4, k5, k6), _FARTHEST**2))
        turn = math.sqrt(first_root(_radial_slope((1.0, k1, k2, k3), (1.0, k4, k5, k6)), _FARTHEST**2))
        self._radial_limit = min(turn, pole * (1 - 1e-9), _FARTHEST)
        # What is not radial moves the turn, in either direction.
        self._reach = min(1.5 * self._radial_limit, pole * (1 - 1e-9), _FARTHEST)
        self._limits = np.full(_DIRECTIONS, self._radial_limit)
        if not (self._is_radial and self._tilt is None):
            self._limits = self._find_limits()
        self._least_limit, self._greatest_limit = float(self._limits.min()), float(self._limits.max())
        self._image_reach = self._find_image_reach()

    @property
    def widest_deg(self) -> float:
        """The angle off the axis up to which there are rays in at least one direction, in degrees."""
        return math.degrees(math.atan(self._greatest_limit))

    def distort(self, x: Float64Array, y: Float64Array) -> Points:
        """Return where points (x, y, 1) appear on the plane z = 1; NaN beyond the model's branch."""
        outside = ~self._is_on_branch(x, y)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x, y = self._bend(x, y)
            if self._tilt is not None:
                x, y, w = _through(self._tilt, x, y)
                outside |= ~(w > 0)
        x[outside] = y[outside] = np.nan
        return x, y

    # Absurd coefficients overflow, and what they give is NaN in the end.
    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def undistort(self, x: Float64Array, y: Float64Array, *, near: Points | None = None) -> Points:
        """Return the points on the plane z = 1 that appear at (x, y); NaN where the model has none on its branch.

        Newton's method, from the points `near` where they are not NaN, or from where the radial part alone would put
        the point: one step for all, more for those that need them.
        """
        outside = np.zeros(x.shape, np.bool_)
        if self._untilt is not None:
            x, y, w = _through(self._untilt, x, y)
            outside = ~(w > 0)
        outside |= ~(x * x + y * y <= self._image_reach**2)
        found_x, found_y = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        inside = np.flatnonzero(~outside)
        for first in range(0, inside.size, _BLOCK_POINTS):
            block = inside[first : first + _BLOCK_POINTS]
            start = None if near is None else (near[0][block], near[1][block])
            found_x[block], found_y[block] = self._solve(x[block], y[block], start)
        return found_x, found_y

    def _solve(self, x: Float64Array, y: Float64Array, near: Points | None) -> Points:
        if near is None:
            found_x, found_y = self._guess(x, y)
        else:
            found_x, found_y = near
            without = np.flatnonzero(np.isnan(found_x))
            found_x[without], found_y[without] = self._guess(x[without], y[without])
        unfinished = self._step(x, y, found_x, found_y)
        open_points = np.flatnonzero(unfinished)
        for _ in range(_MOST_STEPS):
            if not open_points.size:
                break
            part_x, part_y = found_x[open_points], found_y[open_points]
            unfinished = self._step(x[open_points], y[open_points], part_x, part_y)
            found_x[open_points], found_y[open_points] = part_x, part_y
            open_points = open_points[unfinished]
        unknown = ~self._is_on_branch(found_x, found_y)
        unknown[open_points] = True
        found_x[unknown] = found_y[unknown] = np.nan
        return found_x, found_y

    def _step(self, x: Float64Array, y: Float64Array, found_x: Float64Array, found_y: Float64Array) -> BoolArray:
        """Move found points, in place, to where they appear at (x, y); return which have not converged."""
        here = self._slopes(found_x, found_y)
        determinant = here.determinant
        off_x, off_y = x - here.x, y - here.y
        move_x = (off_x * here.y_by_y - off_y * here.x_by_y) / determinant
        move_y = (off_y * here.x_by_x - off_x * here.y_by_x) / determinant
        # Beyond the turn: back towards the axis.
        beyond = ~(determinant > 0)
        if beyond.any():
            move_x[beyond], move_y[beyond] = -0.1 * found_x[beyond], -0.1 * found_y[beyond]
        found_x += move_x
        found_y += move_y
        unfinished = ~(np.abs(move_x) + np.abs(move_y) <= _CONVERGED * (1 + np.abs(found_x) + np.abs(found_y)))
        return np.asarray(unfinished | beyond, np.bool_)

    def _guess(self, x: Float64Array, y: Float64Array) -> Points:
        target = np.hypot(x, y)
        finite = target[np.isfinite(target)]
        top = self._farthest_needed(float(np.max(finite, initial=0.0)))
        radii = np.linspace(0, top, _TABLE_SIZE)
        radius = np.interp(target, radii * self._radial(radii * radii), radii)
        scale = np.where(target > 1e-12, radius / target, 1.0)
        return x * scale, y * scale

    def _farthest_needed(self, target: float) -> float:
        """Return a radius whose image, by the radial part, lies at or beyond `target`, or the branch's end."""
        low, high = 0.0, self._radial_limit
        while high - low > 1e-3 * high:
            middle = (low + high) / 2
            if middle * float(self._radial(np.array(middle * middle))) < target:
                low = middle
            else:
                high = middle
        return high

    def _is_on_branch(self, x: Float64Array, y: Float64Array) -> BoolArray:
        radius = np.hypot(x, y)
        on_branch = np.asarray(radius <= self._least_limit, np.bool_)
        others = np.flatnonzero(~on_branch & (radius <= self._greatest_limit))
        if others.size:
            turn = np.arctan2(y[others], x[others]) / (2 * np.pi) * _DIRECTIONS
            before = np.floor(turn).astype(np.intp)
            limit = np.minimum(self._limits[before % _DIRECTIONS], self._limits[(before + 1) % _DIRECTIONS])
            on_branch[others] = radius[others] <= limit
        return on_branch

    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def _find_limits(self) -> Float64Array:
        """Return for each of some directions the radius at which the model turns around first."""
        angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        spread = np.tan(np.linspace(0, math.atan(self._reach), 257))[1:]
        radii = np.union1d(spread, self._reach * np.geomspace(1e-6, 1, 97))
        # By parts that stay in a processor's cache.
        parts = zip(np.split(cos, _DIRECTIONS // 24), np.split(sin, _DIRECTIONS // 24), strict=True)
        turned = ~np.concatenate([self._is_forward(c * radii, s * radii) for c, s in parts])
        turns = turned.any(axis=1)
        first = np.where(turns, turned.argmax(axis=1), len(radii) - 1)
        high = radii[first]
        low = np.where(first > 0, radii[first - 1], 0.0)
        for _ in range(30):
            middle = (low + high) / 2
            forward = self._is_forward(cos * middle[:, None], sin * middle[:, None])[:, 0]
            low, high = np.where(forward, middle, low), np.where(forward, high, middle)
        limits = np.where(turns, low, self._reach)
        # A fold that begins between two directions shows in neither.
        return np.minimum(limits, np.minimum(np.roll(limits, 1), np.roll(limits, -1)))

    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def _find_image_reach(self) -> float:
        """Return a radius that the image of the branch, before the sensor's tilt, does not leave."""
        angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
        edge = np.hypot(*self._bend(self._limits * np.cos(angles), self._limits * np.sin(angles)))
        # Between two directions the edge may lie a little farther out.
        reach = 1.01 * float(np.max(edge))
        return reach if math.isfinite(reach) else 1e150

    def _is_forward(self, x: Float64Array, y: Float64Array) -> BoolArray:
        here = self._slopes(x, y)
        forward = here.determinant > 0
        if self._tilt is not None:
            forward &= _through(self._tilt, here.x, here.y)[2] > 0
        return np.asarray(forward, np.bool_)

    def _radial(self, square: Float64Array) -> Float64Array:
        k1, k2, _, _, k3, k4, k5, k6, *_ = self._k
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        if self._is_rational:
            radial = radial / (1 + square * (k4 + square * (k5 + square * k6)))
        return np.asarray(radial, np.float64)

    def _bend(self, x: Float64Array, y: Float64Array) -> Points:
        """Return distorted coordinates, before the sensor's tilt."""
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4, _, _ = self._k
        square = x * x + y * y
        radial = self._radial(square)
        bent_x, bent_y = x * radial, y * radial
        if not self._is_radial:
            cross = 2 * x * y
            bent_x += p1 * cross + p2 * (square + 2 * x * x) + square * (s1 + square * s2)
            bent_y += p2 * cross + p1 * (square + 2 * y * y) + square * (s3 + square * s4)
        return bent_x, bent_y

    def _slopes(self, x: Float64Array, y: Float64Array) -> _Slopes:
        """Return distorted coordinates, before the sensor's tilt, with their derivatives."""
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, _, _ = self._k
        xx, yy, xy = x * x, y * y, x * y
        square = xx + yy
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        twice_slope = 2 * k1 + square * (4 * k2 + square * (6 * k3))
        if self._is_rational:
            below = 1 / (1 + square * (k4 + square * (k5 + square * k6)))
            radial *= below
            twice_slope = (twice_slope - radial * (2 * k4 + square * (4 * k5 + square * (6 * k6)))) * below
        x_by_y = y_by_x = xy * twice_slope
        x_by_x, y_by_y = radial + xx * twice_slope, radial + yy * twice_slope
        bent_x, bent_y = x * radial, y * radial
        if not self._is_radial:
            bent_x += 2 * p1 * xy + p2 * (square + 2 * xx) + square * (s1 + square * s2)
            bent_y += 2 * p2 * xy + p1 * (square + 2 * yy) + square * (s3 + square * s4)
            prism_x, prism_y = 2 * (s1 + 2 * s2 * square), 2 * (s3 + 2 * s4 * square)
            shared = 2 * p1 * x + 2 * p2 * y
            x_by_x += 2 * p1 * y + 6 * p2 * x + x * prism_x
            y_by_x = x_by_y + shared + x * prism_y
            x_by_y = x_by_y + shared + y * prism_x
            y_by_y += 2 * p2 * x + 6 * p1 * y + y * prism_y
        return _Slopes(bent_x, bent_y, x_by_x, x_by_y, y_by_x, y_by_y)


def _radial_slope(above: tuple[float, ...], below: tuple[float, ...]) -> list[float]:
    """Return the numerator of d(r N/D)/dr as a polynomial of s = r^2: N D + 2 s (N' D - N D')."""
    total = [0.0] * (len(above) + len(below) - 1)
    for i, a in enumerate(above):
        for j, b in enumerate(below):
            total[i + j] += a * b * (1 + 2 * i - 2 * j)
    return total


def _tilt_matrix(tilt_x: float, tilt_y: float) -> Float64Array:
    """Return the homography onto a sensor that is turned by `tilt_x`, then `tilt_y` (radians)."""
    sin_x, cos_x, sin_y, cos_y = math.sin(tilt_x), math.cos(tilt_x), math.sin(tilt_y), math.cos(tilt_y)
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    turned = about_y @ about_x
    onto_sensor = np.array([[turned[2, 2], 0, -turned[0, 2]], [0, turned[2, 2], -turned[1, 2]], [0, 0, 1]])
    return np.asarray(onto_sensor @ turned, np.float64)


def _through(matrix: Float64Array, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return x, y and w of points through a homography; only points with w > 0 stay on their side of the horizon."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return (
        (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w,
        (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w,
        w,
    )
