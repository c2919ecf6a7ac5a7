"""The polynomial lens (OpenCV's plumb_bob and rational models), on the branch that starts at the optical axis."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.roots import first_root
from metric3d_ros.camera.lenses.tilted_sensor import through, tilt_matrix

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Points = tuple[Float64Array, Float64Array]

# 89.994 degrees off the axis; a ray with z = 1 of more than that overflows what it is multiplied with.
_FARTHEST = 1e4
_DIRECTIONS = 96
_TABLE_SIZE = 2048
_MOST_STEPS = 8
# Arrays of this many points stay in a processor's cache.
_BLOCK_POINTS = 16_384
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
        self._tilt = tilt_matrix(tilt_x, tilt_y) if tilt_x or tilt_y else None
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
        self._image_reaches = self._find_image_reaches()

    @property
    def widest_deg(self) -> float:
        """The angle off the axis up to which there are rays in at least one direction, in degrees."""
        return math.degrees(math.atan(self._greatest_limit))

    def distort(self, x: Float64Array, y: Float64Array) -> Points:
        """Return where points (x, y, 1) appear on the plane z = 1; NaN beyond the model's branch."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            square = x * x
            square += y * y
            outside = ~self._is_on_branch(x, y, square)
            x, y = self._bend(x, y, square)
            if self._tilt is not None:
                x, y, w = through(self._tilt, x, y)
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
            x, y, w = through(self._untilt, x, y)
            outside = ~(w > 0)
        square = x * x + y * y
        outside |= ~self._is_within_reach(x, y, square)
        found_x, found_y = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        inside = np.flatnonzero(~outside)
        table = self._radial_table(float(np.sqrt(np.max(square[inside], initial=0.0))))
        for first in range(0, inside.size, _BLOCK_POINTS):
            block = inside[first : first + _BLOCK_POINTS]
            start = None if near is None else (near[0][block], near[1][block])
            found_x[block], found_y[block] = self._solve(x[block], y[block], start, table)
        return found_x, found_y

    def _solve(self, x: Float64Array, y: Float64Array, near: Points | None, table: Points) -> Points:
        if near is None:
            found_x, found_y = _from_radius(x, y, table)
        else:
            found_x, found_y = near
            without = np.flatnonzero(np.isnan(found_x))
            found_x[without], found_y[without] = _from_radius(x[without], y[without], table)
        unfinished = self._step(x, y, found_x, found_y)
        open_points = np.flatnonzero(unfinished)
        for _ in range(_MOST_STEPS):
            if not open_points.size:
                break
            part_x, part_y = found_x[open_points], found_y[open_points]
            unfinished = self._step(x[open_points], y[open_points], part_x, part_y)
            found_x[open_points], found_y[open_points] = part_x, part_y
            open_points = open_points[unfinished]
        unknown = ~self._is_on_branch(found_x, found_y, found_x * found_x + found_y * found_y)
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

    def _radial_table(self, target: float) -> Points:
        """Return radii, and where the radial part alone puts them: up to `target`, or to the branch's end."""
        radii = np.linspace(0, self._farthest_needed(target), _TABLE_SIZE)
        return radii, radii * self._radial(radii * radii)

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

    def _is_within_reach(self, x: Float64Array, y: Float64Array, square: Float64Array) -> BoolArray:
        """Whether the branch may have something that appears at (x, y), before the sensor's tilt."""
        within = np.asarray(square <= float(self._image_reaches.min()) ** 2, np.bool_)
        others = np.flatnonzero(~within & (square <= float(self._image_reaches.max()) ** 2))
        within[others] = square[others] <= self._image_reaches[_sector(x[others], y[others])] ** 2
        return within

    def _is_on_branch(self, x: Float64Array, y: Float64Array, square: Float64Array) -> BoolArray:
        """Whether each point lies on the model's branch; `square` is x^2 + y^2."""
        on_branch = np.asarray(square <= self._least_limit**2, np.bool_)
        if on_branch.all():
            return on_branch
        others = np.nonzero(~on_branch & (square <= self._greatest_limit**2))
        before = _sector(x[others], y[others])
        limit = np.minimum(self._limits[before], self._limits[(before + 1) % _DIRECTIONS])
        on_branch[others] = square[others] <= limit * limit
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
    def _find_image_reaches(self) -> Float64Array:
        """Return, per sector of the image, a radius that the image of the branch, before the tilt, does not leave.

        The farthest point of a direction lies on the image of the branch's edge: anywhere else the model is one to one
        around the point, and something farther is seen as well.
        """
        limits = np.minimum(self._limits, np.roll(self._limits, -1))[:, None]
        # Along the edge: an arc for each sector, and from its end to where the next one begins.
        radii = np.concatenate(
            [np.repeat(limits, 5, axis=1), np.linspace(limits, np.roll(limits, -1), 6)[1:, :, 0].T], axis=1
        )
        turns = np.arange(_DIRECTIONS)[:, None] + np.array([0, 0.25, 0.5, 0.75, *[1] * 6])
        angles = turns * (2 * np.pi / _DIRECTIONS)
        x, y = (plane.ravel() for plane in self._bend(radii * np.cos(angles), radii * np.sin(angles), radii * radii))
        # Between two of these points the edge may lie a little farther out.
        edge = 1.01 * np.hypot(x, y)
        if not np.isfinite(edge).all():
            return np.full(_DIRECTIONS, 1e150)
        sectors = _sector(x, y)
        crossed = (np.roll(sectors, -1) - sectors + _DIRECTIONS // 2) % _DIRECTIONS - _DIRECTIONS // 2
        if np.abs(crossed).max() > _DIRECTIONS // 8:
            return np.full(_DIRECTIONS, edge.max())
        farther = np.maximum(edge, np.roll(edge, -1))
        reaches = np.zeros(_DIRECTIONS)
        for step in range(-int(np.max(-crossed)) - 1, int(np.max(crossed)) + 2):
            on_the_way = (np.minimum(crossed, 0) - 1 <= step) & (step <= np.maximum(crossed, 0) + 1)
            np.maximum.at(reaches, (sectors[on_the_way] + step) % _DIRECTIONS, farther[on_the_way])
        return reaches

    def _is_forward(self, x: Float64Array, y: Float64Array) -> BoolArray:
        here = self._slopes(x, y)
        forward = here.determinant > 0
        if self._tilt is not None:
            forward &= through(self._tilt, here.x, here.y)[2] > 0
        return np.asarray(forward, np.bool_)

    def _radial(self, square: Float64Array) -> Float64Array:
        k1, k2, _, _, k3, k4, k5, k6, *_ = self._k
        radial = _polynomial(square, 1.0, k1, k2, k3)
        if self._is_rational:
            radial /= _polynomial(square, 1.0, k4, k5, k6)
        return radial

    # Both write the formula of the manual as x' = x g + r^2 h and y' = y g + r^2 i, with
    # g = radial + 2 p1 y + 2 p2 x, h = p2 + s1 + s2 r^2 and i = p1 + s3 + s4 r^2, and work in place: half the time.
    def _bend(self, x: Float64Array, y: Float64Array, square: Float64Array) -> Points:
        """Return distorted coordinates, before the sensor's tilt; `square` is x^2 + y^2."""
        factor = self._radial(square)
        if self._is_radial:
            return x * factor, y * factor
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4, _, _ = self._k
        factor += (2 * p2) * x
        factor += (2 * p1) * y
        bent_x = x * factor
        factor *= y
        for bent, constant, growing in ((bent_x, p2 + s1, s2), (factor, p1 + s3, s4)):
            if constant or growing:
                bent += square * _polynomial(square, constant, growing) if growing else constant * square
        return bent_x, factor

    def _slopes(self, x: Float64Array, y: Float64Array) -> _Slopes:
        """Return distorted coordinates, before the sensor's tilt, with their derivatives."""
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, _, _ = self._k
        square = x * x
        square += y * y
        factor = _polynomial(square, 1.0, k1, k2, k3)
        twice_slope = _polynomial(square, 2 * k1, 4 * k2, 6 * k3)
        if self._is_rational:
            below = 1 / _polynomial(square, 1.0, k4, k5, k6)
            factor *= below
            twice_slope -= factor * _polynomial(square, 2 * k4, 4 * k5, 6 * k6)
            twice_slope *= below
        by_x, by_y = x * twice_slope, y * twice_slope  # of the factor
        if self._is_radial:
            x_by_y = x * by_y
            by_x *= x
            by_x += factor
            by_y *= y
            by_y += factor
            return _Slopes(x * factor, y * factor, by_x, x_by_y, x_by_y, by_y)
        by_x += 2 * p2
        by_y += 2 * p1
        factor += (2 * p2) * x
        factor += (2 * p1) * y
        bent_x, bent_y = x * factor, y * factor
        bent_x += square * _polynomial(square, p2 + s1, s2)
        bent_y += square * _polynomial(square, p1 + s3, s4)
        prism_x, prism_y = _polynomial(square, 2 * (p2 + s1), 4 * s2), _polynomial(square, 2 * (p1 + s3), 4 * s4)
        x_by_y, y_by_x = x * by_y, y * by_x
        x_by_y += y * prism_x
        y_by_x += x * prism_y
        by_x += prism_x
        by_x *= x
        by_x += factor
        by_y += prism_y
        by_y *= y
        by_y += factor
        return _Slopes(bent_x, bent_y, by_x, x_by_y, y_by_x, by_y)


def _polynomial(x: Float64Array, *coefficients: float) -> Float64Array:
    """Return a polynomial of x, its coefficients in ascending order."""
    count = len(coefficients)
    while count > 2 and not coefficients[count - 1]:
        count -= 1
    total = coefficients[count - 1] * x
    total += coefficients[count - 2]
    for coefficient in coefficients[count - 3 :: -1] if count > 2 else ():
        total *= x
        total += coefficient
    return np.asarray(total, np.float64)


def _sector(x: Float64Array, y: Float64Array) -> npt.NDArray[np.intp]:
    """Return between which direction, counted from the x axis, and the next one the points lie."""
    return np.asarray(np.floor(np.arctan2(y, x) * (_DIRECTIONS / (2 * np.pi))).astype(np.intp) % _DIRECTIONS, np.intp)


def _from_radius(x: Float64Array, y: Float64Array, table: Points) -> Points:
    """Return the points that a table of radii and their images puts at (x, y), in the same direction."""
    radii, images = table
    target = np.hypot(x, y)
    radius = np.interp(target, images, radii)
    scale = np.where(target > 1e-12, radius / target, 1.0)
    return x * scale, y * scale


def _radial_slope(above: tuple[float, ...], below: tuple[float, ...]) -> list[float]:
    """Return the numerator of d(r N/D)/dr as a polynomial of s = r^2: N D + 2 s (N' D - N D')."""
    total = [0.0] * (len(above) + len(below) - 1)
    for i, a in enumerate(above):
        for j, b in enumerate(below):
            total[i + j] += a * b * (1 + 2 * i - 2 * j)
    return total
