"""What stands above the ground, and the laser scan of it, for cameras at any tilt; the ground plane says what is up."""

import dataclasses
import math
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.geometry.ground import GroundPlane
from metric3d_ros.geometry.scan import Scan

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
T = TypeVar("T", float, Array)

# Of the optical axis on the ground; a camera that looks straight down has its image's top ahead.
_LEAST_FORWARD = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObstacleOptions:
    """What counts as an obstacle. Raises ConfigurationError for values that cannot be used."""

    min_height_m: float = 0.1
    """What is lower is ground: a threshold above the ground's roughness and the depth's error."""
    max_height_m: float = 2.0
    """What is higher does not stand in the robot's way: the robot's height and some clearance."""
    max_range_m: float = 10.0
    """What is farther, along the ground, is left out."""
    tilt_tolerance_rad: float = 0.01
    """Grows the least height by this part of the distance: what an error of the ground's tilt lifts off the ground."""

    def __post_init__(self) -> None:
        if not 0 < self.min_height_m < self.max_height_m:
            raise ConfigurationError(
                f"obstacles are {self.min_height_m:g} to {self.max_height_m:g} m high, expected 0 < least < greatest"
            )
        if not (self.max_range_m > 0 and self.tilt_tolerance_rad >= 0):
            raise ConfigurationError(
                f"obstacles: max_range_m is {self.max_range_m:g}, tilt_tolerance_rad {self.tilt_tolerance_rad:g}; "
                "expected above 0 and at least 0"
            )

    def least_height_m(self, distance_m: T) -> T:
        """How high something must stand at a distance along the ground, metres, to be an obstacle."""
        return self.min_height_m + self.tilt_tolerance_rad * distance_m


def find_obstacles(points: Array, ground: GroundPlane, *, options: ObstacleOptions = ObstacleOptions()) -> Mask:
    """Return which points are obstacles: (...) bool.

    `points` (..., 3) float32 are metres in the optical frame, NaN where invalid; such points are no obstacles.
    """
    heights = ground.heights(points)
    with np.errstate(invalid="ignore"):
        square = np.einsum("...i,...i->...", points, points) - (heights - np.float32(ground.height_m)) ** 2
        distance = np.sqrt(np.maximum(square, np.float32(0)))
        found = (heights >= options.least_height_m(distance)) & (heights <= np.float32(options.max_height_m))
        return np.asarray(found & (distance <= np.float32(options.max_range_m)))


def obstacles_to_scan(
    points: Array,
    obstacles: Mask,
    ground: GroundPlane,
    *,
    options: ObstacleOptions = ObstacleOptions(),
    trusted: Mask | None = None,
    angle_increment_rad: float = math.radians(0.5),
    min_range_m: float = 0.1,
    max_range_m: float = 10.0,
) -> Scan:
    """Return the distance along the ground to the nearest obstacle in each direction that the points lie in.

    `points` (h, w, 3) of an image's pixels, or any (N, 3), are metres in the optical frame, NaN where invalid;
    `obstacles` (h, w) or (N,) are those that count, found with `options`, whose range ends the scan's. `trusted` are
    the points whose distance counts; None is all. The scan is level whatever the camera's tilt: it starts at the foot
    of the camera, 0 is where the optical axis points, angles are counterclockwise from above. A pixel of an
    obstacle fills all beams as far as its neighbouring pixels.

    A direction with an obstacle nearer than `min_range_m` is -Inf. Without an obstacle within reach it is +Inf if a
    point that is farther away shows that one would have been seen all the way. It is NaN if nothing is seen as far as
    that, such as with only floor nearby, or if an obstacle within reach is not trusted.

    Raises ConfigurationError for limits that cannot be used, DataError if no point is valid and trusted.
    """
    max_range_m = min(max_range_m, options.max_range_m)
    if not (0 <= min_range_m < max_range_m and angle_increment_rad > 0):
        raise ConfigurationError(
            f"scan ranges are {min_range_m:g} to {max_range_m:g} m in steps of {angle_increment_rad:g} rad, expected 0 "
            "<= least < greatest and a step above 0"
        )
    ahead, aside = (points @ axis.astype(np.float32) for axis in level_axes(ground))
    known = np.isfinite(ahead) & np.isfinite(aside)
    if trusted is not None:
        known &= trusted
    if not known.any():
        raise DataError("no point is valid, so there is no direction to scan; expected at least one")
    angles, distance = np.arctan2(aside, ahead), np.hypot(ahead, aside)
    with np.errstate(invalid="ignore"):
        within = obstacles & (distance <= max_range_m)
        clear = known & ~within & (distance >= max_range_m)
        near, doubtful = known & within, ~known & within & (distance >= min_range_m)
    # A ray shows free space only if, at the maximum range, it passes at a height where an obstacle would stop it.
    height = ground.height_m + (ground.heights(points)[clear] - ground.height_m) * (max_range_m / distance[clear])
    clear[clear] = (height >= options.least_height_m(max_range_m)) & (height <= options.max_height_m)
    directions = _Directions(angles, step_rad=angle_increment_rad)
    ranges = np.full(directions.count, np.nan, np.float32)
    ranges[directions.of(clear)] = np.inf
    for _, bins in directions.across(doubtful):
        ranges[bins] = np.nan
    for chosen, bins in directions.across(near):
        np.fmin.at(ranges, bins, distance[near][chosen])
    ranges[ranges < min_range_m] = -np.inf
    return Scan(
        ranges_m=ranges,
        angle_min_rad=directions.least_rad,
        angle_increment_rad=angle_increment_rad,
        max_range_m=float(max_range_m),
    )


class _Directions:
    """The scan's beams: fixed steps from the smallest of (...) `angles`, radians, NaN for invalid points."""

    def __init__(self, angles: Array, *, step_rad: float) -> None:
        self._angles, self._step_rad = angles, step_rad
        self._turn = max(round(math.tau / step_rad), 1)
        self.least_rad = float(np.fmin.reduce(angles, axis=None))
        last = self._steps(np.fmax.reduce(angles, axis=None, keepdims=True))
        # Around the foot, -pi and pi are one direction.
        self.count = min(int(last.item()) + 1, self._turn)

    def of(self, points: Mask) -> NDArray[np.intp]:
        """Return the directions (N,) in which the points of (...) `points` lie."""
        return self._steps(self._angles[points]) % self._turn

    def across(self, points: Mask) -> Iterator[tuple[Mask, NDArray[np.intp]]]:
        """Yield the directions that the pixels of (...) `points` fill, and which (N,) of these points fill them.

        Below a camera that looks down, pixels are wider than a step, so the points alone leave directions out.
        """
        if not points.any():
            return
        angles, half = self._angles[points], self._half_widths(points)
        first = self._steps(angles - half)
        more = np.minimum(self._steps(angles + half) - first, self._turn - 1)
        for step in range(int(np.max(more)) + 1):
            bins = (first + step) % self._turn
            chosen = (step <= more) & (bins < self.count)
            yield chosen, bins[chosen]

    def _steps(self, angles: Array) -> NDArray[np.intp]:
        return np.asarray(np.rint((angles - self.least_rad) / self._step_rad), np.intp)

    def _half_widths(self, points: Mask) -> Array:
        """Return half the angle (N,) that each of these pixels fills, from its neighbours; 0 for points of no image."""
        angles = self._angles[points]
        half = np.zeros_like(angles)
        if self._angles.ndim == 2:
            row, column = np.nonzero(points)
            last_row, last_column = np.subtract(points.shape, 1)
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                beside = self._angles[np.clip(row + down, 0, last_row), np.clip(column + right, 0, last_column)]
                apart = np.abs(beside - angles)
                np.fmax(half, np.minimum(apart, math.tau - apart) / 2, out=half)
        return half


def level_axes(ground: GroundPlane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors (3,) along the ground, in the optical frame: where the camera looks, and to its left."""
    up = ground.normal
    for axis in ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0)):
        forward = np.asarray(axis) - up * float(np.dot(axis, up))
        length = float(np.linalg.norm(forward))
        if length > _LEAST_FORWARD:
            forward = forward / length
            break
    return forward, np.cross(up, forward)
