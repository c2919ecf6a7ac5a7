"""FisheyeViews: several overlapping pinhole views of a lens too wide for one, and what they say merged into one image.

The views share the camera's optical centre, so what each says of a pixel is a range along that pixel's ray, whichever
way the view looks. Ranges are blended in their logarithm, by how near a view's axis is; a view whose scale differs from
its neighbours' is brought in line first, by the robust ratios where they overlap.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

VIEW_FOV_DEG = 96.0
SIDE_AXIS_DEG = 60.0
"""Angle between the camera's axis and those of the outer views."""
_WIDEST_RAD = math.radians(100.0)
_TABLE_SIZE = 4096
# Views that differ by more than this (log ratio) see different surfaces: the better one is taken, not the mean.
_SAME_SURFACE = 0.08
_LEAST_OVERLAP = 200


def wide_rays(camera: Camera) -> Float32Array:
    """Return the unit direction of each pixel (H, W, 3), optical frame, also behind the image plane (z <= 0).

    Equidistant lenses have rays up to 100 degrees off the axis, others as `Camera.rays`. NaN where there is none.
    """
    if not camera.is_fisheye:
        rays = camera.rays()
        return np.asarray(rays / np.linalg.norm(rays, axis=2, keepdims=True), np.float32)
    u = (np.arange(camera.width) - camera.cx) / camera.fx
    v = ((np.arange(camera.height) - camera.cy) / camera.fy)[:, None]
    radius = np.hypot(u, v)
    angles = np.linspace(0, _WIDEST_RAD, _TABLE_SIZE)
    images = _image_radius(camera, angles)
    turns = np.nonzero(np.diff(images) <= 0)[0]
    if turns.size:
        angles, images = angles[: turns[0] + 1], images[: turns[0] + 1]
    theta = np.interp(radius, images, angles, right=np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        aside = np.where(radius > 1e-12, np.sin(theta) / radius, 1.0)
    return np.stack([u * aside, v * aside, np.cos(theta)], axis=-1).astype(np.float32)


def project_directions(camera: Camera, directions: npt.ArrayLike) -> Float64Array:
    """Return the pixels (..., 2) where directions (..., 3) appear, those behind the image plane too; NaN if nowhere."""
    xyz = np.asarray(directions, np.float64)
    if not camera.is_fisheye:
        return camera.project(xyz)
    aside = np.hypot(xyz[..., 0], xyz[..., 1])
    theta = np.arctan2(aside, xyz[..., 2])
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(aside > 1e-12, _image_radius(camera, theta) / aside, 1 / xyz[..., 2])
    scale = np.where(theta <= _WIDEST_RAD, scale, np.nan)
    return np.stack([xyz[..., 0] * scale * camera.fx + camera.cx, xyz[..., 1] * scale * camera.fy + camera.cy], axis=-1)


def _image_radius(camera: Camera, theta: npt.ArrayLike) -> Float64Array:
    """Return theta_d of the equidistant model (Kannala and Brandt 2006, eq. 6)."""
    angle = np.asarray(theta, np.float64)
    square = angle * angle
    factor = np.ones_like(angle)
    for rank, k in enumerate(camera.distortion):
        factor = factor + k * square ** (rank + 1)
    return np.asarray(angle * factor, np.float64)


@dataclass(frozen=True, eq=False)
class _View:
    camera_from_view: Float64Array  # (3, 3)
    to_view: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]
    to_raw: tuple[Float32Array, Float32Array]
    weight: Float32Array  # (H, W) of the camera, 0 outside the view
    range_of_depth: Float32Array  # (H, W) range / depth along the view's axis


@dataclass(frozen=True, eq=False)
class MergedViews:
    """What the views say together, at the camera's pixels."""

    range_m: Float32Array
    """(H, W) distance from the camera along each pixel's ray, NaN where no view sees."""
    depth_m: Float32Array
    """(H, W) depth along the camera's axis, NaN at 90 degrees and beyond, where there is none."""
    points: Float32Array
    """(H, W, 3) in the optical frame."""
    scales: tuple[float, ...]
    """What each view was multiplied by to agree with the one ahead, which keeps its scale."""


class FisheyeViews:
    """The pinhole views of one camera: one ahead and four around it, all of `view_camera`."""

    def __init__(self, camera: Camera, *, size_px: int) -> None:
        """`size_px` is the width and height of each view."""
        self.raw = camera
        focal = size_px / 2 / math.tan(math.radians(VIEW_FOV_DEG) / 2)
        self.view_camera = Camera.from_focal(size_px, size_px, focal_px=focal)
        self._rays = wide_rays(camera)
        if not np.isfinite(self._rays).any():
            raise CameraError("the camera's lens model gives no pixel a ray, so there are no views; correct D")
        self._views = [self._make_view(rotation) for rotation in _rotations()]

    @property
    def rotations(self) -> list[Float64Array]:
        """The views' axes in the camera's optical frame: (3, 3) rotations, camera from view."""
        return [view.camera_from_view for view in self._views]

    def split(self, image: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        """Return the views' images (size, size, 3) of the camera's (H, W, 3), for one batch; black outside of it."""
        return [np.asarray(cv2.remap(image, *view.to_view, cv2.INTER_LINEAR), np.uint8) for view in self._views]

    def merge(self, depths_m: Sequence[Float32Array]) -> MergedViews:
        """Return one range image of the views' depths (size, size), each along its view's own axis, NaN if invalid."""
        if len(depths_m) != len(self._views):
            raise CameraError(f"{len(depths_m)} depth images came, expected one for each of {len(self._views)} views")
        logs, weights = [], []
        for view, depth in zip(self._views, depths_m, strict=True):
            sampled = np.asarray(
                cv2.remap(
                    depth, *view.to_raw, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 4
                ),
                np.float32,
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                log = np.log(sampled * view.range_of_depth)
            seen = np.isfinite(log) & (view.weight > 0)
            logs.append(np.where(seen, log, np.float32(0)))
            weights.append(np.where(seen, view.weight, np.float32(0)))
        stack, weight = np.stack(logs), np.stack(weights)
        offsets = _align(stack, weight)
        stack += offsets[:, None, None].astype(np.float32)
        best = np.take_along_axis(stack, weight.argmax(axis=0)[None], axis=0)
        agreeing = np.where(np.abs(stack - best) < np.float32(_SAME_SURFACE), weight, np.float32(0))
        total = agreeing.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            merged = np.exp((agreeing * stack).sum(axis=0) / total)
        range_m = np.asarray(np.where(total > 0, merged, np.float32(np.nan)), np.float32)
        points = np.asarray(self._rays * range_m[..., None], np.float32)
        depth_m = np.where(points[..., 2] > 1e-3 * range_m, points[..., 2], np.float32(np.nan))
        return MergedViews(range_m, depth_m, points, tuple(float(s) for s in np.exp(offsets)))

    def _make_view(self, camera_from_view: Float64Array) -> _View:
        pixels = project_directions(self.raw, self.view_camera.rays().astype(np.float64) @ camera_from_view.T)
        pixels = np.nan_to_num(pixels, nan=-10.0).astype(np.float32)
        to_view = cv2.convertMaps(pixels[..., 0], pixels[..., 1], cv2.CV_16SC2)
        local = self._rays.astype(np.float64) @ camera_from_view
        back = np.nan_to_num(self.view_camera.project(local), nan=-1e4).astype(np.float32)
        # 1 on the axis, 0 at the view's edge, smoothly.
        half = (self.view_camera.width - 1) / 2
        off = np.abs(back - half).max(axis=-1) / half
        taper = np.clip((1 - off) / 0.35, 0, 1)
        with np.errstate(invalid="ignore"):
            weight = np.where(
                np.isfinite(local[..., 2]), taper * taper * (3 - 2 * taper) * np.maximum(local[..., 2], 0), 0
            )
            range_of_depth = np.where(local[..., 2] > 0.05, 1 / local[..., 2], np.nan)
        return _View(
            camera_from_view,
            (np.asarray(to_view[0], np.int16), np.asarray(to_view[1], np.uint16)),
            (np.ascontiguousarray(back[..., 0]), np.ascontiguousarray(back[..., 1])),
            weight.astype(np.float32),
            range_of_depth.astype(np.float32),
        )


@functools.lru_cache(maxsize=4)
def fisheye_views(camera: Camera, *, size_px: int = 336) -> FisheyeViews:
    """Return the views of a camera, made once. Raises ConfigurationError for views below 28 pixels."""
    if size_px < 28:
        raise ConfigurationError(f"views of {size_px} pixels are too small, expected at least 28")
    return FisheyeViews(camera, size_px=size_px)


def field_of_view_deg(camera: Camera) -> float:
    """Return twice the angle between the axis and the outermost ray of the middle row or column, degrees."""
    rays = wide_rays(camera)
    row, column = (min(max(round(c), 0), s - 1) for c, s in ((camera.cy, camera.height), (camera.cx, camera.width)))
    z = np.concatenate([rays[row, :, 2], rays[:, column, 2]])
    z = z[np.isfinite(z)]
    return math.degrees(2 * math.acos(max(-1.0, min(1.0, float(z.min()))))) if z.size else 0.0


def _rotations() -> list[Float64Array]:
    """Return camera-from-view rotations: ahead, right, left, down, up."""
    angle = math.radians(SIDE_AXIS_DEG)
    axes = [(0.0, 0.0, 0.0), (0.0, angle, 0.0), (0.0, -angle, 0.0), (-angle, 0.0, 0.0), (angle, 0.0, 0.0)]
    return [np.asarray(cv2.Rodrigues(np.asarray(axis))[0], np.float64) for axis in axes]


def _align(logs: Float32Array, weights: Float32Array) -> Float64Array:
    """Return what to add to each view's log range, 0 for the first, so that views agree where they overlap.

    Least squares over the pairs of the median differences; pairs with next to no overlap do not count. The first view
    looks ahead as networks are trained to; straight up and down they are worse, which shall not pull it along.
    """
    count = len(logs)
    rows, differences = [], []
    for i in range(count):
        for j in range(i + 1, count):
            both = (weights[i] > 0.02) & (weights[j] > 0.02)
            pixels = int(both.sum())
            if pixels < _LEAST_OVERLAP:
                continue
            row = np.zeros(count)
            row[i], row[j] = 1, -1
            importance = math.sqrt(pixels)
            rows.append(row * importance)
            differences.append(-float(np.median(logs[i][both] - logs[j][both])) * importance)
    if not rows:
        return np.zeros(count)
    solution = np.linalg.lstsq(np.stack(rows)[:, 1:], np.asarray(differences), rcond=None)[0]
    return np.concatenate([[0.0], solution])
