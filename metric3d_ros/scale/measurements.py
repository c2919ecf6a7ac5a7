"""One frame's measurement of the factor by which depth is to be multiplied, from what is known of the scene.

A calibration that is off, or a scene that fools the network, scales all depth alike. Anything with a known distance
tells the factor: a point, the camera's height above the ground, ranges of another sensor. Every measurement has a
spread, and is refused with a reason if it cannot be one.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import GroundPlane, NoGround

Array = NDArray[np.float32]

KNOWN_DISTANCE, CAMERA_HEIGHT, RANGES, FIXED = "known distance", "camera height", "ranges", "fixed"

# The median absolute deviation of a normal distribution, as a part of its standard deviation.
_MAD_OF_STD = 0.6745
# The width of the middle 80 % of a normal distribution, in standard deviations.
_MIDDLE_OF_STD = 2.563
# Up to a third of the ranges may be wrong, and some more may be seen beside an edge.
_LEAST_AGREEING, _AGREE = 0.6, 0.1
# Farther than this a range sensor's beams and the network's sky are no measurement.
_MOST_RANGE_M = 1000.0


@dataclass(frozen=True)
class ScaleMeasurement:
    """A factor for depth, as one frame gives it."""

    source: str
    """`KNOWN_DISTANCE`, `CAMERA_HEIGHT`, `RANGES` or `FIXED`."""
    factor: float
    """True depth = factor * depth."""
    spread: float
    """Standard deviation of log(factor): about the relative error."""
    count: int
    """How many pixels or ranges it rests on."""


@dataclass(frozen=True)
class ScaleRefusal:
    """Why one frame gives no factor."""

    source: str
    reason: str


Measured = ScaleMeasurement | ScaleRefusal


def fixed_scale(factor: float) -> ScaleMeasurement:
    """Return a factor that is given. Raises ConfigurationError if it is not finite and above 0."""
    if not (math.isfinite(factor) and factor > 0):
        raise ConfigurationError(f"the scale factor is {factor:g}, expected above 0; 1 changes nothing")
    return ScaleMeasurement(FIXED, float(factor), 0.0, 1)


def scale_from_known_distance(
    depth_m: Array,
    camera: Camera,
    *,
    distance_m: float,
    box: tuple[int, int, int, int],
    along_axis: bool = False,
    far_m: float = math.inf,
    max_spread: float = 0.1,
) -> Measured:
    """Measure the factor by the known distance of what is seen in a box of pixels.

    `depth_m` is (H, W) metres along the optical axis, NaN or infinite where invalid. `box` is x, y, width, height in
    pixels; 1 x 1 is a pixel. `distance_m` is from the camera to the box's middle as a tape measures it, or along the
    optical axis if `along_axis`. Depth of `far_m` and more is the sky. Refused: a distance that is not above 0, a box
    outside the image, on what is invalid or sky, or across an edge (a spread above `max_spread`).
    """
    if not (math.isfinite(distance_m) and distance_m > 0):
        return ScaleRefusal(KNOWN_DISTANCE, f"the known distance is {distance_m:g} m, expected above 0")
    x, y, width, height = box
    if width < 1 or height < 1 or x < 0 or y < 0 or x + width > camera.width or y + height > camera.height:
        return ScaleRefusal(
            KNOWN_DISTANCE,
            f"the box {width}x{height} at ({x}, {y}) is not within the {camera.width}x{camera.height} image",
        )
    part = slice(y, y + height), slice(x, x + width)
    depth = depth_m[part].astype(np.float64)
    rays = camera.rays()[part].astype(np.float64)
    depth = depth * (rays[..., 2] if along_axis else np.linalg.norm(rays, axis=2))
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(depth) & (depth > 0) & (depth_m[part] < far_m)
    if usable.sum() < max(1, usable.size / 2):
        return ScaleRefusal(KNOWN_DISTANCE, f"{1 - usable.mean():.0%} of the box is sky or has no depth")
    log_ratio = math.log(distance_m) - np.log(depth[usable])
    factor, spread = _robust(log_ratio)
    # Of a box with two surfaces the median deviation sees the larger one only.
    low, high = np.quantile(log_ratio, (0.1, 0.9))
    spread = max(spread, float(high - low) / _MIDDLE_OF_STD)
    if spread > max_spread:
        return ScaleRefusal(
            KNOWN_DISTANCE, f"depth within the box varies by {spread:.0%}, expected one surface: choose a smaller box"
        )
    return ScaleMeasurement(KNOWN_DISTANCE, factor, spread, int(usable.sum()))


def scale_from_camera_height(ground: GroundPlane | NoGround, *, height_m: float, max_spread: float = 0.1) -> Measured:
    """Measure the factor by the camera's known height above the ground that `find_ground` found.

    Refused: a height that is not above 0, no ground, or a plane whose height is less certain than `max_spread`.
    """
    if not (math.isfinite(height_m) and height_m > 0):
        return ScaleRefusal(CAMERA_HEIGHT, f"the camera's height is {height_m:g} m, expected above 0")
    if isinstance(ground, NoGround):
        return ScaleRefusal(CAMERA_HEIGHT, f"no ground: {ground.reason}")
    spread = math.sqrt(max(float(ground.covariance[3, 3]), 0.0)) / ground.height_m
    if not spread <= max_spread:
        return ScaleRefusal(
            CAMERA_HEIGHT, f"the ground's distance is certain to {spread:.0%} only, expected {max_spread:.0%}"
        )
    return ScaleMeasurement(CAMERA_HEIGHT, height_m / ground.height_m, spread, 1)


def scale_from_ranges(
    depth_m: Array,
    camera: Camera,
    points: NDArray[np.floating],
    *,
    far_m: float = math.inf,
    min_count: int = 5,
    max_spread: float = 0.15,
    focal_ratio: float = 1.0,
) -> Measured:
    """Measure the factor by points that another sensor measured, of which up to a third may be wrong.

    `points` (N, 3) are metres in the camera's optical frame, NaN or infinite if a beam found nothing; those behind
    the camera or outside the image do not count. `depth_m` is (H, W) metres along the optical axis. The factor is the
    median of the ratios at the points' pixels; the spread is that of the ratios, not of their median. Points are looked
    up with the camera's focal length divided by `focal_ratio`, as `FocalSearch` gives it. Refused: fewer
    than `min_count` points that meet valid depth below `far_m`, or a spread above `max_spread`.
    """
    xyz = np.asarray(points, np.float64).reshape(-1, 3)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(xyz).all(axis=1) & (np.abs(xyz) < _MOST_RANGE_M).all(axis=1)
        known &= camera.along_rays | (xyz[:, 2] > 0)
    if not known.any():
        return ScaleRefusal(RANGES, f"none of {len(xyz)} ranges is valid and before the camera")
    xyz = xyz[known]
    if focal_ratio != 1:
        pixels = replace(camera, fx=camera.fx / focal_ratio, fy=camera.fy / focal_ratio).project(xyz)
    else:
        pixels = camera.project(xyz)
    with np.errstate(invalid="ignore"):
        u, v = np.rint(pixels[:, 0]), np.rint(pixels[:, 1])
        inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    depth = depth_m[v[inside].astype(np.intp), u[inside].astype(np.intp)].astype(np.float64)
    true = np.linalg.norm(xyz[inside], axis=1) if camera.along_rays else xyz[inside, 2]
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(depth) & (depth > 0) & (depth < far_m)
    if usable.sum() < min_count:
        return ScaleRefusal(
            RANGES, f"{int(usable.sum())} of {len(points)} ranges meet a pixel with depth, expected {min_count}"
        )
    log_ratio = np.log(true[usable]) - np.log(depth[usable])
    factor, spread = _robust(log_ratio)
    agreeing = float(np.mean(np.abs(log_ratio - math.log(factor)) <= max(3 * spread, _AGREE)))
    if spread <= max_spread and agreeing < _LEAST_AGREEING:
        return ScaleRefusal(
            RANGES, f"{agreeing:.0%} of the ranges agree with each other, expected at least {_LEAST_AGREEING:.0%}"
        )
    if spread > max_spread:
        return ScaleRefusal(
            RANGES, f"the ranges disagree with the image by {spread:.0%} among themselves, expected {max_spread:.0%}"
        )
    return ScaleMeasurement(RANGES, factor, spread, int(usable.sum()))


def _robust(log_ratio: NDArray[np.float64]) -> tuple[float, float]:
    """Return the factor of the median log ratio, then of those near it, and the standard deviation of the near ones."""
    median = float(np.median(log_ratio))
    deviation = float(np.median(np.abs(log_ratio - median))) / _MAD_OF_STD
    near = np.abs(log_ratio - median) <= 3 * deviation + 1e-9
    median = float(np.median(log_ratio[near]))
    return math.exp(median), deviation
