"""What stands above the ground, and the laser scan of it, for cameras at any tilt; the ground plane says what is up."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.geometry.ground import GroundPlane
from metric3d_ros.geometry.scan import Scan

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

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


def find_obstacles(points: Array, ground: GroundPlane, *, options: ObstacleOptions = ObstacleOptions()) -> Mask:
    """Return which points are obstacles: (...) bool.

    `points` (..., 3) float32 are metres in the optical frame, NaN where invalid; such points are no obstacles.
    """
    heights = ground.heights(points)
    with np.errstate(invalid="ignore"):
        square = np.einsum("...i,...i->...", points, points) - (heights - np.float32(ground.height_m)) ** 2
        distance = np.sqrt(np.maximum(square, np.float32(0)))
        least = np.float32(options.min_height_m) + np.float32(options.tilt_tolerance_rad) * distance
        found = (heights >= least) & (heights <= np.float32(options.max_height_m))
        return np.asarray(found & (distance <= np.float32(options.max_range_m)))


def obstacles_to_scan(
    points: Array,
    obstacles: Mask,
    ground: GroundPlane,
    *,
    angle_increment_rad: float = math.radians(0.5),
    min_range_m: float = 0.1,
    max_range_m: float = 10.0,
) -> Scan:
    """Return the distance along the ground to the nearest obstacle in each direction that the points lie in.

    `points` (..., 3) are metres in the optical frame, NaN where invalid; `obstacles` (...) are those that count. The
    scan is level whatever the camera's tilt: it starts at the foot of the camera, 0 is where the optical axis points,
    angles are counterclockwise from above. A direction with points and no obstacle within reach is +Inf; without
    points it is NaN; with an obstacle nearer than `min_range_m` it is -Inf.

    Raises ConfigurationError for limits that cannot be used, DataError if no point is valid.
    """
    if not (0 <= min_range_m < max_range_m and angle_increment_rad > 0):
        raise ConfigurationError(
            f"scan ranges are {min_range_m:g} to {max_range_m:g} m in steps of {angle_increment_rad:g} rad, expected 0 "
            "<= least < greatest and a step above 0"
        )
    forward, left = level_axes(ground)
    flat = points.reshape(-1, 3)
    ahead, aside = (flat @ axis.astype(np.float32) for axis in (forward, left))
    valid = np.isfinite(ahead) & np.isfinite(aside)
    if not valid.any():
        raise DataError("no point is valid, so there is no direction to scan; expected at least one")
    angles = np.arctan2(aside, ahead)
    least = float(np.min(angles[valid]))
    bins = np.zeros(len(flat), np.intp)
    bins[valid] = np.rint((angles[valid] - least) / angle_increment_rad)
    ranges = np.full(bins.max() + 1, np.nan, np.float32)
    ranges[bins[valid]] = np.inf
    distance = np.hypot(ahead, aside)
    with np.errstate(invalid="ignore"):
        near = valid & obstacles.reshape(-1) & (distance <= max_range_m)
    np.fmin.at(ranges, bins[near], distance[near])
    ranges[ranges < min_range_m] = -np.inf
    return Scan(ranges_m=ranges, angle_min_rad=least, angle_increment_rad=angle_increment_rad)


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
