"""FisheyeViews: several overlapping pinhole views of a lens too wide for one, and the merging of their outputs.

The views share the camera's optical centre, so each gives the range along a pixel's ray, whatever its direction. Log
ranges are blended with weights that grow towards a view's axis. A view whose scale differs from its neighbours' is
aligned first, by the robust ratios in their overlaps.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.camera import Camera
from metric3d_ros.camera.views.rectified_view import VIEW_MULTIPLE_PX
from metric3d_ros.errors import CameraError, ConfigurationError

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Part = tuple[slice, slice]

VIEW_FOV_DEG = 96.0
SIDE_AXIS_DEG = 60.0
"""Angle between the camera's axis and those of the outer views."""
_LEAST_SIZE_PX = 28
# Views that differ by more than this (log ratio) are not blended: the better one is taken. All views have one optical
# centre, so that they see the same surfaces; what differs is how wrong they are. With the demo model on held-out rooms,
# depth steps by 1.5 % across a seam; with 0.08 and a weight of 16 it is 4.7 %, of an error of 10 % in both cases.
_SAME_SURFACE = 0.5
_LEAST_OVERLAP = 200
# The view ahead looks as networks are trained to: within 40 degrees of the axis the demo model's error is 0.076 with
# this weight, and 0.081 with 1 and views that are not blended.
_WEIGHT_AHEAD = 4.0
_AHEAD = 0.99
"""cos of the angle between the camera's axis and that of the view ahead."""
# Overlaps are compared at every so many rows and columns.
_STRIDE = 4
# An outer view that sees less than this part of the image's pixels better than the others is left out.
_LEAST_SHARE = 0.003


@dataclass(frozen=True, eq=False)
class _View:
    camera_from_view: Float64Array  # (3, 3)
    to_view: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]
    part: Part
    """Of the camera's image: all that the view sees, to which what follows belongs."""
    to_raw: tuple[Float32Array, Float32Array]
    weight: Float32Array  # (h, w), 0 outside the view
    log_range_of_depth: Float32Array  # (h, w) log of range / depth along the view's axis


@dataclass(frozen=True, eq=False)
class MergedViews:
    """The merged outputs of the views, at the camera's pixels."""

    range_m: Float32Array
    """(H, W) distance from the camera along each pixel's ray, NaN where no view sees."""
    confidence: Float32Array | None
    """(H, W), 0 if no view sees the pixel; None if the views have none."""
    normals: Float32Array | None
    """(H, W, 3) in the camera's optical frame, NaN if no view sees the pixel; None if the views have none."""
    scales: tuple[float, ...]
    """What each view was multiplied by to agree with the one ahead, which keeps its scale."""


class FisheyeViews:
    """The pinhole views of one camera: one ahead and up to four around it, all of `view_camera`."""

    def __init__(self, camera: Camera, *, size_px: int) -> None:
        """`size_px` is the width and height of each view."""
        self.raw = camera.measured_along_rays()
        """The camera whose image the views are merged to."""
        focal = size_px / 2 / math.tan(math.radians(VIEW_FOV_DEG) / 2)
        self.view_camera = Camera.from_focal(size_px, size_px, focal_px=focal)
        self._rays = self.raw.rays()
        if not np.isfinite(self._rays).any():
            raise CameraError("the camera's lens model gives no pixel a ray, so there are no views; correct D")
        views = [self._make_view(rotation) for rotation in self._needed_rotations()]
        self._views = [view for view in views if view.weight.size]
        if not self._views:
            raise CameraError("none of the views sees a pixel of the camera; correct K and D")

    @property
    def rotations(self) -> list[Float64Array]:
        """The views' axes in the camera's optical frame: (3, 3) rotations, camera from view."""
        return [view.camera_from_view for view in self._views]

    def split(self, image: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        """Return the views' images (size, size, 3) of the camera's (H, W, 3), for one batch; black outside of it."""
        return [np.asarray(cv2.remap(image, *view.to_view, cv2.INTER_LINEAR), np.uint8) for view in self._views]

    def merge(
        self,
        depths_m: Sequence[Float32Array],
        *,
        confidences: Sequence[Float32Array] | None = None,
        normals: Sequence[Float32Array] | None = None,
    ) -> MergedViews:
        """Return one range image of the views' depths (size, size), each along its view's own axis, NaN if invalid.

        `confidences` (size, size) and `normals` (size, size, 3), each in its view's own frame, are merged alike.
        """
        if len(depths_m) != len(self._views):
            raise CameraError(f"{len(depths_m)} depth images came, expected one for each of {len(self._views)} views")
        logs: list[Float32Array] = []
        weights: list[Float32Array] = []
        for view, depth in zip(self._views, depths_m, strict=True):
            with np.errstate(invalid="ignore", divide="ignore"):
                log = np.log(_sample(depth, view)) + view.log_range_of_depth
            seen = np.isfinite(log) & (view.weight > 0)
            logs.append(np.where(seen, log, np.float32(0)))
            weights.append(np.where(seen, view.weight, np.float32(0)))
        offsets = self._align(logs, weights)
        for log, offset in zip(logs, offsets, strict=True):
            log += np.float32(offset)
        best = self._best_view(weights)
        log_of_best: Float32Array = np.zeros(self.raw.size_hw, np.float32)
        for index, view in enumerate(self._views):
            np.copyto(log_of_best[view.part], logs[index], where=best[view.part] == index)
        total, sum_of_logs = (np.zeros(self.raw.size_hw, np.float32) for _ in range(2))
        for view, log, weight in zip(self._views, logs, weights, strict=True):
            weight *= np.abs(log - log_of_best[view.part]) < np.float32(_SAME_SURFACE)
            total[view.part] += weight
            sum_of_logs[view.part] += weight * log
        with np.errstate(invalid="ignore", divide="ignore"):
            range_m = np.exp(sum_of_logs / total)
        return MergedViews(
            range_m=np.asarray(range_m, np.float32),
            confidence=None if confidences is None else self._blend(confidences, weights, total),
            normals=None if normals is None else self._take_best(normals, best),
            scales=tuple(float(scale) for scale in np.exp(offsets)),
        )

    def _best_view(self, weights: Sequence[Float32Array]) -> npt.NDArray[np.int8]:
        """Return which view sees each pixel (H, W) best, -1 if none does."""
        best = np.full(self.raw.size_hw, -1, np.int8)
        most = np.zeros(self.raw.size_hw, np.float32)
        for index, (view, weight) in enumerate(zip(self._views, weights, strict=True)):
            better = weight > most[view.part]
            np.copyto(best[view.part], np.int8(index), where=better)
            np.copyto(most[view.part], weight, where=better)
        return best

    def _blend(
        self, images: Sequence[Float32Array], weights: Sequence[Float32Array], total: Float32Array
    ) -> Float32Array:
        blended = np.zeros(self.raw.size_hw, np.float32)
        for view, image, weight in zip(self._views, images, weights, strict=True):
            blended[view.part] += weight * np.nan_to_num(_sample(image, view))
        return np.asarray(np.divide(blended, total, out=np.zeros_like(blended), where=total > 0), np.float32)

    def _take_best(self, normals: Sequence[Float32Array], best: npt.NDArray[np.int8]) -> Float32Array:
        merged = np.full((*self.raw.size_hw, 3), np.nan, np.float32)
        for index, (view, of_view) in enumerate(zip(self._views, normals, strict=True)):
            turned = _sample(of_view, view) @ view.camera_from_view.T.astype(np.float32)
            np.copyto(merged[view.part], turned, where=(best[view.part] == index)[..., None])
        return merged

    def _needed_rotations(self) -> list[Float64Array]:
        """Return the rotations of the views that see a part of the image better than all others."""
        rotations = _rotations()
        axes = np.stack([rotation[:, 2] for rotation in rotations])
        rays = self._rays[::_STRIDE, ::_STRIDE].reshape(-1, 3).astype(np.float64)
        rays = rays[np.isfinite(rays[:, 0])]
        nearest = np.argmax(rays @ axes.T, axis=1)
        half = math.cos(math.radians(VIEW_FOV_DEG / 2))
        ahead = rays[:, 2] > half  # what the view ahead sees well needs no other
        counts = np.bincount(nearest[~ahead], minlength=len(rotations)) / max(len(rays), 1)
        return [rotations[0], *(r for r, share in zip(rotations[1:], counts[1:], strict=True) if share > _LEAST_SHARE)]

    def _make_view(self, camera_from_view: Float64Array) -> _View:
        pixels = self.raw.project(self.view_camera.rays().astype(np.float64) @ camera_from_view.T)
        pixels = np.nan_to_num(pixels, nan=-10.0).astype(np.float32)
        to_view = cv2.convertMaps(pixels[..., 0], pixels[..., 1], cv2.CV_16SC2)
        local = self._rays.astype(np.float64) @ camera_from_view
        back = np.nan_to_num(self.view_camera.project(local), nan=-1e4).astype(np.float32)
        # 1 on the axis, 0 at the view's edge, smoothly.
        half = (self.view_camera.width - 1) / 2
        off = np.abs(back - half).max(axis=-1) / half
        taper = np.clip((1 - off) / 0.35, 0, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            in_front = np.isfinite(local[..., 2]) & (local[..., 2] > 0.05)
            weight = np.where(in_front, taper * taper * (3 - 2 * taper) * local[..., 2], 0).astype(np.float32)
            log_range = np.where(in_front, -np.log(local[..., 2]), np.nan)
        if camera_from_view[2, 2] > _AHEAD:
            weight *= np.float32(_WEIGHT_AHEAD)
        part = _box_of(weight > 0)
        return _View(
            camera_from_view,
            (np.asarray(to_view[0], np.int16), np.asarray(to_view[1], np.uint16)),
            part,
            (np.ascontiguousarray(back[..., 0][part]), np.ascontiguousarray(back[..., 1][part])),
            np.ascontiguousarray(weight[part]),
            np.ascontiguousarray(log_range[part], np.float32),
        )

    def _align(self, logs: Sequence[Float32Array], weights: Sequence[Float32Array]) -> Float64Array:
        """Return the offset of each view's log range, 0 for the first, that makes overlapping views agree.

        Least squares over the pairs of the median differences; pairs with next to no overlap do not count. The first
        view looks ahead as networks are trained to; straight up and down they are worse, which shall not pull it along.
        """
        count = len(logs)
        whole_log, whole_weight = (
            np.zeros((count, *(-(-side // _STRIDE) for side in self.raw.size_hw)), np.float32) for _ in range(2)
        )
        for index, (view, log, weight) in enumerate(zip(self._views, logs, weights, strict=True)):
            inner, outer = _every(view.part, _STRIDE)
            whole_log[index][outer], whole_weight[index][outer] = log[inner], weight[inner]
        rows, differences = [], []
        for i in range(count):
            for j in range(i + 1, count):
                both = (whole_weight[i] > 0.02) & (whole_weight[j] > 0.02)
                pixels = int(both.sum()) * _STRIDE**2
                if pixels < _LEAST_OVERLAP:
                    continue
                row = np.zeros(count)
                row[i], row[j] = 1, -1
                importance = math.sqrt(pixels)
                rows.append(row * importance)
                differences.append(-float(np.median(whole_log[i][both] - whole_log[j][both])) * importance)
        if not rows:
            return np.zeros(count)
        solution = np.linalg.lstsq(np.stack(rows)[:, 1:], np.asarray(differences), rcond=None)[0]
        return np.concatenate([[0.0], solution])


@functools.lru_cache(maxsize=4)
def fisheye_views(camera: Camera, *, size_px: int = 0, max_pixels: float = 1.5) -> FisheyeViews:
    """Return the views of a camera, made once.

    Without a size, pixels ahead are as fine as the camera's, unless all views together would then have more than
    `max_pixels` times the camera's pixels: then all are coarser. Raises ConfigurationError for views below 28 pixels.
    """
    if not size_px:
        fine = 2 * max(camera.fx, camera.fy) * math.tan(math.radians(VIEW_FOV_DEG) / 2)
        bound = math.sqrt(max_pixels * camera.width * camera.height / len(_rotations()))
        size_px = max(round(min(fine, bound) / VIEW_MULTIPLE_PX), 1) * VIEW_MULTIPLE_PX
    if size_px < _LEAST_SIZE_PX:
        raise ConfigurationError(f"views of {size_px} pixels are too small, expected at least {_LEAST_SIZE_PX}")
    return FisheyeViews(camera, size_px=size_px)


def field_of_view_deg(camera: Camera) -> float:
    """Return twice the angle between the axis and the outermost ray of the middle row or column, degrees."""
    rays = camera.measured_along_rays().rays()
    row, column = (min(max(round(c), 0), s - 1) for c, s in ((camera.cy, camera.height), (camera.cx, camera.width)))
    z = np.concatenate([rays[row, :, 2], rays[:, column, 2]])
    z = z[np.isfinite(z)]
    return math.degrees(2 * math.acos(max(-1.0, min(1.0, float(z.min()))))) if z.size else 0.0


def _sample(image: Float32Array, view: _View) -> Float32Array:
    """Return a view's image at the pixels of its part, NaN outside; no point is invented between two surfaces."""
    border = (np.nan,) * 4
    sampled = cv2.remap(image, *view.to_raw, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
    return np.asarray(sampled, np.float32)


def _box_of(mask: npt.NDArray[np.bool_]) -> Part:
    """Return the smallest part of an image that holds all true pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _every(part: Part, stride: int) -> tuple[Part, Part]:
    """Return which rows and columns of a part are those of every `stride`-th of the image, and which those are."""
    inner, outer = [], []
    for side in part:
        first = -(-side.start // stride)
        inner.append(slice(first * stride - side.start, None, stride))
        outer.append(slice(first, -(-side.stop // stride)))
    return (inner[0], inner[1]), (outer[0], outer[1])


def _rotations() -> list[Float64Array]:
    """Return camera-from-view rotations: ahead, right, left, down, up."""
    angle = math.radians(SIDE_AXIS_DEG)
    axes = [(0.0, 0.0, 0.0), (0.0, angle, 0.0), (0.0, -angle, 0.0), (-angle, 0.0, 0.0), (angle, 0.0, 0.0)]
    return [np.asarray(cv2.Rodrigues(np.asarray(axis))[0], np.float64) for axis in axes]
