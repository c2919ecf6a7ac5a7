"""Find the ground plane in a depth image, robustly, with its uncertainty; refuse what is no ground.

A plane with unit normal n (up, towards the camera) at the camera's height h holds the points with n . P = -h. With
q = -n / h that is q . P = 1, and q . P - 1 is the relative error of a point's depth, which is what networks get wrong
evenly near and far. So the plane is a linear least-squares problem in q, with weights that leave out what stands on
the ground. The network's normals are a second opinion of the tilt: where its depth is bent, they are the better one.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry.deprojection import check_size, depth_to_points
from metric3d_ros.geometry.normals import normals_from_depth

Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

# The image is judged in cells of about this many to the longer side.
_CELLS = 80
_HYPOTHESES = 64
# Relative depth error of a point of the ground in the search, and at which its weight reaches 0 in the fit.
_SEARCH_ERROR = 0.05
_FIT_ERROR = 0.08
# A point lies below a plane if its depth exceeds the plane's by this part; a floor has next to none.
_BELOW = 0.15
_ROUNDS = 6
# A network's errors are alike in neighbouring cells: so many of the 80 x 60 cells are as good as one independent one.
# Measured: the height of the demo model's floors is then off by one standard deviation in the median frame.
_CELLS_ALIKE = 420.0
# How far the mean of a network's normals on a floor lies from the floor's, in each of two directions.
_NORMALS_STD_RAD = math.radians(2.5)


# A ramp ahead: the mean normals of the ground's near and far part differ by more. Those of the demo model's level
# floors differ by less than 3.4 degrees in nine of ten frames. The robot stands on what is near: without this, the
# camera's height is 20 % too large before a ramp of 8 degrees; with it, it is right until the ramp fills the view.
_BEND_DEG = 4.5
_NEAR_SHARE, _FAR_FROM = 0.4, 0.6
_LEAST_CELLS_OF_BEND = 60
_BENDS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroundOptions:
    """What counts as ground. Raises ConfigurationError for values that cannot be used."""

    up: tuple[float, float, float] = (0.0, -1.0, 0.0)
    """Where up roughly is in the optical frame; (0, -1, 0) is a camera that stands upright."""
    max_tilt_deg: float = 50.0
    """How far the ground's normal may lie from `up`, at most."""
    min_share: float = 0.05
    """The least part of the image's valid pixels that must be ground."""
    max_below_share: float = 0.25
    """How many pixels may lie below the plane, as a part of those on it: below a table lies the floor."""
    min_height_m: float = 0.03
    """The least height of the camera above the ground."""
    max_height_m: float = 10.0
    """The greatest height of the camera above the ground."""

    def __post_init__(self) -> None:
        length = math.hypot(*self.up)
        if not (math.isfinite(length) and length > 0):
            raise ConfigurationError(f"up is {self.up}, expected a direction such as (0, -1, 0)")
        object.__setattr__(self, "up", tuple(float(c) / length for c in self.up))
        if not (0 < self.max_tilt_deg < 90 and 0 < self.min_share <= 1 and self.max_below_share >= 0):
            raise ConfigurationError(
                f"ground: max_tilt_deg is {self.max_tilt_deg:g}, min_share {self.min_share:g}, max_below_share "
                f"{self.max_below_share:g}; expected 0 to 90 degrees, a part of 1, and at least 0"
            )
        if not 0 < self.min_height_m < self.max_height_m:
            raise ConfigurationError(
                f"ground: heights are {self.min_height_m:g} to {self.max_height_m:g} m, expected 0 < least < greatest"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GroundPlane:
    """The ground in the optical frame: the points P with normal . P + height_m = 0."""

    normal: Float64Array
    """(3,) unit, away from the ground."""
    height_m: float
    """The camera's height above the ground, metres."""
    covariance: Float64Array
    """(4, 4) of (normal, height_m): how well the pixels fix the plane; a wrong scale of all depth is not in it."""
    share: float
    """Part of the image's valid pixels that lie on the plane."""
    spread: float
    """Median relative depth error of the pixels on the plane."""

    @property
    def pitch_rad(self) -> float:
        """How far the optical axis points below the horizon."""
        return math.asin(max(-1.0, min(1.0, -float(self.normal[2]))))

    @property
    def roll_rad(self) -> float:
        """How far the camera is turned about its optical axis; positive is clockwise, as seen by itself."""
        return math.atan2(-float(self.normal[0]), -float(self.normal[1]))

    @property
    def tilt_std_rad(self) -> float:
        """Standard deviation of the normal's direction in its worst direction."""
        return math.sqrt(max(float(np.linalg.eigvalsh(self.covariance[:3, :3])[-1]), 0.0))

    def scaled(self, factor: float) -> GroundPlane:
        """Return the plane of the same scene with all depth multiplied by `factor`."""
        by = np.array([1.0, 1.0, 1.0, factor])
        return dataclasses.replace(self, height_m=self.height_m * factor, covariance=self.covariance * np.outer(by, by))

    def heights(self, points: Array) -> Array:
        """Return how high above the ground (..., 3) points are: (...) float32 metres, NaN where a point is."""
        heights = points @ self.normal.astype(np.float32) + np.float32(self.height_m)
        return np.asarray(heights, np.float32)


@dataclasses.dataclass(frozen=True)
class NoGround:
    """There is no ground to be found, and why."""

    reason: str


def find_ground(
    depth_m: Array,
    camera: Camera,
    *,
    normals: Array | None = None,
    options: GroundOptions = GroundOptions(),
    seed: int = 0,
) -> GroundPlane | NoGround:
    """Find the ground in a depth image, or return why there is none.

    `depth_m` is (H, W) metres along the optical axis, NaN, infinite or <= 0 where invalid; `normals` (H, W, 3) are the
    network's, unit vectors in the optical frame, or None to take them from depth. The same input gives the same result.

    Raises CameraError when the camera's size is not the image's.
    """
    check_size(depth_m, camera)
    points, directions, valid = _cells(depth_m, camera, normals)
    if valid < 3:
        return NoGround("no pixel has a depth")
    up = np.asarray(options.up)
    level = directions @ up > math.cos(math.radians(options.max_tilt_deg))
    least = max(options.min_share * valid, 3)
    if level.sum() < least:
        return NoGround(
            f"{level.sum() / valid:.1%} of the image faces up, expected at least {options.min_share:.0%} of ground"
        )
    found = _search(points, points[level], up, options, np.random.default_rng(seed))
    if found is None:
        return NoGround(
            f"no plane lies {options.min_height_m:g} to {options.max_height_m:g} m below the camera and within "
            f"{options.max_tilt_deg:g} degrees of level"
        )
    q, weights, covariance = _fit_near(found, points, directions, trusted=normals is not None)
    return _judge(q, weights, covariance, points, valid, up, options)


def _cells(depth_m: Array, camera: Camera, normals: Array | None) -> tuple[Float64Array, Float64Array, int]:
    """Return points (N, 3) and normals (N, 3) of the image's cells that have both, and how many have a point."""
    shrink = max(1.0, max(depth_m.shape) / _CELLS)
    size = max(2, round(camera.width / shrink)), max(2, round(camera.height / shrink))
    small = camera.scaled(*size)
    # Infinity would make its cell infinite; a cell at an edge of what is known is left out.
    depth = np.where((depth_m > 0) & np.isfinite(depth_m), depth_m, np.float32(np.nan))
    depth = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_AREA), np.float32)
    points = depth_to_points(depth, small)
    if normals is None:
        # Slopes magnify noise: from the mean of 3 x 3 cells, more of a noisy floor's cells face up.
        directions = normals_from_depth(np.asarray(cv2.GaussianBlur(depth, (3, 3), 1.0), np.float32), small)
    else:
        directions = np.asarray(cv2.resize(normals, size, interpolation=cv2.INTER_AREA), np.float32)
    length = np.linalg.norm(directions, axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        directions = directions / length
    has_point = np.isfinite(points).all(axis=2)
    both = has_point & np.isfinite(directions).all(axis=2)
    return points[both].astype(np.float64), directions[both].astype(np.float64), int(has_point.sum())


def _search(
    points: Float64Array, level: Float64Array, up: Float64Array, options: GroundOptions, rng: np.random.Generator
) -> Float64Array | None:
    """Return q of the plane through three level points that most level points lie on and few points lie below."""
    chosen = level[rng.integers(len(level), size=(_HYPOTHESES, 3))]
    volume = np.linalg.det(chosen)
    usable = np.abs(volume) > 1e-6 * np.linalg.norm(chosen, axis=2).prod(axis=1)
    q = np.linalg.solve(chosen[usable], np.ones((int(usable.sum()), 3, 1)))[..., 0]
    length = np.linalg.norm(q, axis=1)
    height, tilt_cosine = 1 / np.maximum(length, 1e-9), (-q @ up) / np.maximum(length, 1e-9)
    q = q[
        (tilt_cosine > math.cos(math.radians(options.max_tilt_deg)))
        & (height >= options.min_height_m)
        & (height <= options.max_height_m)
    ]
    if not len(q):
        return None
    on_plane = np.abs(level @ q.T - 1) < _SEARCH_ERROR
    below = points @ q.T - 1 > _BELOW
    best = int(np.argmax(on_plane.sum(axis=0) - below.sum(axis=0)))
    return np.asarray(q[best], np.float64)


def _fit_near(
    q: Float64Array, points: Float64Array, directions: Float64Array, *, trusted: bool
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Fit as `_fit` does, to the near part of a ground that bends: weights are 0 beyond the bend."""
    near = np.ones(len(points), np.bool_)
    q, weights, covariance = _fit(q, points, directions, trusted=trusted)
    for _ in range(_BENDS):
        limit = _bend(q, points, directions, near) if trusted and weights.any() else None
        if limit is None:
            break
        near &= points[:, 2] <= limit
        fitted, of_near, covariance_of_near = _fit(q, points[near], directions[near], trusted=trusted)
        if not of_near.any():
            break
        q, covariance, weights = fitted, covariance_of_near, np.zeros(len(points))
        weights[near] = of_near
    return q, weights, covariance


def _bend(q: Float64Array, points: Float64Array, directions: Float64Array, near: NDArray[np.bool_]) -> float | None:
    """Return up to which depth the ground is to be taken as plane; None if all that is `near` is."""
    on_ground = near & (directions @ (-q / np.linalg.norm(q)) > math.cos(math.radians(30)))
    on_ground &= np.abs(points @ q - 1) < _BELOW
    if on_ground.sum() < _LEAST_CELLS_OF_BEND:
        return None
    depth, normals = points[on_ground, 2], directions[on_ground]
    close, far = np.quantile(depth, (_NEAR_SHARE, _FAR_FROM))
    means = [normals[part].mean(axis=0) for part in (depth <= close, depth >= far)]
    cosine = float(means[0] @ means[1] / (np.linalg.norm(means[0]) * np.linalg.norm(means[1])))
    return float(far) if math.degrees(math.acos(min(1.0, cosine))) > _BEND_DEG else None


def _fit(
    q: Float64Array, points: Float64Array, directions: Float64Array, *, trusted: bool
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return q, the weight of each point (Tukey's biweight) and the covariance of q; all weights 0 if there is none.

    The mean of the normals counts as well if they are `trusted`, as much as the scatter of the depths lets it.
    """
    covariance: Float64Array = np.zeros((3, 3))
    for _ in range(_ROUNDS):
        length = float(np.linalg.norm(q))
        alike = directions @ (-q / length) > math.cos(math.radians(30))
        error = points @ q - 1
        weights = np.where(alike, np.clip(1 - (error / _FIT_ERROR) ** 2, 0, None) ** 2, 0.0)
        if np.count_nonzero(weights) < 3:
            return q, np.zeros(len(points)), covariance
        variance = float(np.sum(weights * error**2) / np.sum(weights)) + 1e-8
        weighted = points * (weights / (variance * _CELLS_ALIKE))[:, None]
        information = weighted.T @ points
        right = weighted.sum(axis=0)
        if trusted:
            # The part of q across the mean normal is 0, but for the tilt's error times |q|.
            mean = (directions * weights[:, None]).sum(axis=0)
            mean /= np.linalg.norm(mean)
            information += (np.eye(3) - np.outer(mean, mean)) / (length * _NORMALS_STD_RAD) ** 2
        if np.linalg.cond(information) > 1e12:
            return q, np.zeros(len(points)), covariance
        covariance = np.asarray(np.linalg.inv(information), np.float64)
        q = covariance @ right
    return q, weights, covariance


def _judge(
    q: Float64Array,
    weights: Float64Array,
    covariance_of_q: Float64Array,
    points: Float64Array,
    valid: int,
    up: Float64Array,
    options: GroundOptions,
) -> GroundPlane | NoGround:
    length = float(np.linalg.norm(q))
    normal, height = -q / length, 1 / length
    error = points @ q - 1
    on_plane = (weights > 0) & (np.abs(error) < _SEARCH_ERROR)
    share, below = float(on_plane.sum()) / valid, int((error > _BELOW).sum())
    if share < options.min_share:
        return NoGround(f"{share:.1%} of the image lies on the lowest plane, expected at least {options.min_share:.0%}")
    if below > options.max_below_share * on_plane.sum():
        return NoGround(
            f"{below / valid:.0%} of the image lies below the plane that {share:.0%} lies on: a table, not the ground"
        )
    tilt = math.degrees(math.acos(max(-1.0, min(1.0, float(normal @ up)))))
    if tilt > options.max_tilt_deg:
        return NoGround(f"the plane is tilted by {tilt:.0f} degrees, expected at most {options.max_tilt_deg:g}: a wall")
    if not options.min_height_m <= height <= options.max_height_m:
        return NoGround(
            f"the plane lies {height:.2f} m below the camera, expected {options.min_height_m:g} to "
            f"{options.max_height_m:g} m"
        )
    covariance = _covariance(q, covariance_of_q)
    plane = GroundPlane(
        normal=normal,
        height_m=height,
        covariance=covariance,
        share=share,
        spread=float(np.median(np.abs(error[on_plane]))),
    )
    if plane.tilt_std_rad > math.radians(5) or math.sqrt(covariance[3, 3]) > 0.2 * height:
        return NoGround("what is seen of the plane is too narrow a strip to tell its tilt")
    return plane


def _covariance(q: Float64Array, of_q: Float64Array) -> Float64Array:
    """Return the covariance (4, 4) of normal = -q / |q| and height = 1 / |q|."""
    length = float(np.linalg.norm(q))
    to_normal = -(np.eye(3) - np.outer(q, q) / length**2) / length
    jacobian = np.vstack([to_normal, -q / length**3])
    return np.asarray(jacobian @ of_q @ jacobian.T, np.float64)
