"""Find flying pixels: points that hang in the air between a near and a far surface, as smeared edges of depth give.

A smeared edge is a ramp in depth. So is a floor that is seen at a grazing angle; but a floor's normal shows the
grazing angle, and a ramp's does not. For a plane with normal n, seen along rays r = (x, y, 1), log depth changes by
-n_x / (n . r) per unit of x, and by -n_y / (n . r) per unit of y. What depth changes beyond that is no surface. Of
ranges along unit rays, the change per radian is the tangent of the angle between normal and ray.

Depth is judged in cells of a few pixels, because networks of this kind predict depth at a quarter of the image's size:
between neighbouring pixels their depth has steps that mean nothing. Every step costs the same for each cell.
"""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry.deprojection import check_size

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

# cos of the steepest angle between a normal and its ray that is believed: 87 degrees.
_LEAST_COSINE = 0.05
# Stands for +Inf, so that differences stay finite; no network and no sensor reaches it.
_INFINITY_M = 1e5


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlyingPixelOptions:
    """How `find_flying_pixels` judges. Raises ConfigurationError for values that cannot be used."""

    max_tangent: float = 1.6
    """Tangent of the angle between a surface and the image plane that depth may show beyond what the normals explain;
    1.6 is 58 degrees."""
    normals_share: float = 1.5
    """How many times the slope that the normals show is explained by them: above 1, because their error grows at
    grazing angles."""
    min_gap: float = 0.03
    """A flying pixel is at least this part of its depth away from the nearest and from the farthest depth around it."""
    cell_px: int = 4
    """Side of a cell: about how many pixels of the image there are for each pixel that the network predicts."""
    min_cluster_px: int = 64
    """What is left standing in fewer connected pixels, amid flying ones, is removed too; 0 leaves it."""

    def __post_init__(self) -> None:
        if not (self.max_tangent > 0 and self.normals_share >= 0 and self.min_gap >= 0):
            raise ConfigurationError(
                f"flying pixels: max_tangent is {self.max_tangent:g}, normals_share {self.normals_share:g}, min_gap "
                f"{self.min_gap:g}; expected the first above 0 and the others at least 0"
            )
        if self.cell_px < 1 or self.min_cluster_px < 0:
            raise ConfigurationError(
                f"flying pixels: cell_px is {self.cell_px}, min_cluster_px {self.min_cluster_px}; expected at least 1 "
                "and at least 0"
            )


def find_flying_pixels(
    depth_m: Array,
    camera: Camera,
    *,
    normals: Array | None = None,
    options: FlyingPixelOptions = FlyingPixelOptions(),
) -> Mask:
    """Return which pixels fly: (H, W) bool.

    `depth_m` is (H, W) metres along the optical axis, NaN or <= 0 where invalid, +Inf where far. `normals` (H, W, 3)
    are the network's, unit vectors in the optical frame, NaN where invalid. Without them, and where they are NaN, a
    surface's own slope is the least one of its neighbourhood: curved objects then lose more of their rims. Invalid
    pixels never fly.

    Raises CameraError when the camera's size is not the image's.
    """
    check_size(depth_m, camera)
    height, width = depth_m.shape
    cells = max(2, round(width / options.cell_px)), max(2, round(height / options.cell_px))
    usable = _usable(depth_m)
    depth_m = (
        depth_m if usable is None else np.where(usable, np.minimum(depth_m, np.float32(_INFINITY_M)), np.float32(0))
    )
    coarse = _mean_of_cells(depth_m, usable, cells)
    of_cells = camera.scaled(*cells)
    rays = of_cells.ray_planes()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = _slopes_by_angle if camera.along_rays else _slopes
        slope = np.asarray(cv2.magnitude(*slopes(np.log(coarse), *rays)), np.float32)
        explained = _narrowest(slope)
        if normals is not None:
            means = np.asarray(cv2.resize(normals, cells, interpolation=cv2.INTER_AREA), np.float32)
            of_normals = _slope_of_normals(means, *rays, are_unit=camera.along_rays)
            explained = np.where(np.isnan(of_normals), explained, of_normals * np.float32(options.normals_share))
        steep = slope - explained > np.float32(options.max_tangent)
    if options.min_cluster_px:
        steep = _with_islands(steep, max_cells=options.min_cluster_px // options.cell_px**2)
    flying = np.asarray(cv2.resize(steep.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    if options.min_gap > 0:
        flying &= _between(depth_m, coarse, np.float32(1 + options.min_gap)).view(np.uint8)
    if usable is not None:
        flying &= usable.view(np.uint8)
    return flying.view(np.bool_)


def _usable(depth_m: Array) -> Mask | None:
    """Return which pixels have a depth, far ones included; None if all of them are finite and > 0."""
    # A NaN makes both extremes NaN, and NaN compares false.
    if depth_m.min() > 0 and depth_m.max() < np.inf:
        return None
    return depth_m > 0


def _mean_of_cells(depth_m: Array, usable: Mask | None, cells: tuple[int, int]) -> Array:
    """Return the mean depth of each cell's valid pixels, NaN where it has none."""
    means = np.asarray(cv2.resize(depth_m, cells, interpolation=cv2.INTER_AREA), np.float32)
    if usable is None:
        return means
    shares = cv2.resize(usable.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
    return np.asarray(means / np.where(shares > 1e-3, shares, np.float32(np.nan)), np.float32)


def _slopes(log_depth: Array, x: Array, y: Array, _: Array) -> tuple[Array, Array]:
    """Return the change of log depth (h, w) per unit of the rays' x and of their y; 0 beside what is invalid.

    Both neighbours are two cells apart, which is what a ramp needs to show; at the image's ends it is one.
    """
    slopes = []
    for axis, rays in ((1, x), (0, y)):
        rays = np.broadcast_to(rays, log_depth.shape)
        change, step = (_across(values, axis) for values in (log_depth, rays))
        slope = change / step
        slopes.append(np.where(np.isfinite(slope), slope, np.float32(0)))
    return slopes[0], slopes[1]


def _slopes_by_angle(log_range: Array, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Return the change of log range (h, w) per radian along rows and along columns; rays are unit vectors."""
    slopes = []
    for axis in (1, 0):
        change = _across(log_range, axis)
        step = np.sqrt(sum(_across(rays, axis) ** 2 for rays in (x, y, z)))
        slope = change / step
        slopes.append(np.where(np.isfinite(slope), slope, np.float32(0)))
    return slopes[0], slopes[1]


def _across(values: Array, axis: int) -> Array:
    """Return the difference between the two neighbours of each value along `axis`, one-sided at the ends."""
    values = values if axis == 0 else values.T
    change = np.empty(values.shape, np.float32)
    change[1:-1] = values[2:] - values[:-2]
    change[0], change[-1] = values[1] - values[0], values[-1] - values[-2]
    return change if axis == 0 else change.T


def _narrowest(slope: Array) -> Array:
    """Return the slope (h, w) without whatever is narrower than 5 cells: the ground's stays, a ramp's goes."""
    square = np.ones((5, 5), np.uint8)
    return np.asarray(cv2.morphologyEx(slope, cv2.MORPH_OPEN, square), np.float32)


def _slope_of_normals(normals: Array, x: Array, y: Array, z: Array, *, are_unit: bool) -> Array:
    """Return the slope of log depth per unit of the rays that each normal (h, w, 3) means: (h, w), at least 0."""
    n_x, n_y, n_z = cv2.split(normals)
    towards = n_x * x + n_y * y + n_z * z
    least = np.minimum(towards, np.float32(-_LEAST_COSINE))
    if are_unit:  # what of the normal is not along the ray
        across = np.sqrt(np.maximum(n_x * n_x + n_y * n_y + n_z * n_z - towards * towards, np.float32(0)))
    else:
        across = cv2.magnitude(n_x, n_y)
    return np.asarray(across / -least, np.float32)


def _with_islands(steep: Mask, *, max_cells: int) -> Mask:
    """Return `steep` (h, w) with its holes of up to `max_cells` connected cells filled."""
    if max_cells < 1:
        return steep
    count, labels, figures, _ = cv2.connectedComponentsWithStats((~steep).view(np.uint8), connectivity=4)
    small = figures[:, cv2.CC_STAT_AREA] <= max_cells
    small[0] = False  # the steep cells themselves
    if count < 2 or not small.any():
        return steep
    return np.asarray(steep | small[labels])


def _between(depth_m: Array, coarse: Array, gap: np.float32) -> Mask:
    """Return which pixels are farther than `gap` (a ratio) from the nearest and the farthest cell around them."""
    size = depth_m.shape[::-1]
    square = np.ones((5, 5), np.uint8)
    nearest = cv2.erode(np.nan_to_num(coarse, nan=_INFINITY_M), square)
    farthest = cv2.dilate(np.nan_to_num(coarse, nan=0.0), square)
    lowest = cv2.resize(nearest * gap, size, interpolation=cv2.INTER_NEAREST)
    highest = cv2.resize(farthest / gap, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray((depth_m > lowest) & (depth_m < highest))
