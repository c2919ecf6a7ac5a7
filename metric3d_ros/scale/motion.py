"""MotionEstimator: the camera's motion since the previous frame, and the depth that it predicts for this one.

Optical flow tells which pixels of two images show the same point. The points of the newer depth image and the flow give
the camera's motion (rotation and translation, by robust least squares on the reprojection error). With both, the depth
of the frame before can be brought into the newer image: what the network's depth differs from that is no motion of the
camera. All of it is computed at `_WIDTH` pixels, so that its cost does not grow with the image.
"""

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera

Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Wider images gain nothing: of the demo model's flicker 0.43 is left at 168 pixels, 0.42 at 252, 0.53 at 120.
_WIDTH = 168
_FINEST_SCALE = 1
# Every so many pixels of the small image become an equation of the motion.
_STRIDE = 4
_ROUNDS = 5
_LEAST_EQUATIONS = 60
# A pixel of the small image moves as the camera's motion has it, if it is so near (pixels of the small image).
_ON_MOTION_PX = 1.5
_LEAST_ON_MOTION = 0.5
# Rays farther off the axis (tangent) are left out of the motion: reprojection on a plane magnifies their errors.
_WIDEST_TANGENT = 3.0
# The flow of pixels without texture is a guess: least eigenvalue of the structure tensor of a patch. With such pixels
# the camera seems slower, and the depth of a flight at 10 Hz is expected 0.1 to 0.2 % a frame too large.
_TEXTURED, _PATCH_PX = 1e-4, 5
# With less texture nothing tells the motion; if the picture does not change, the camera stands still.
_LEAST_TEXTURED = 16 * _LEAST_EQUATIONS
_STILL_SHARE, _STILL_CHANGE = 0.95, 4
# Two pixels show the same point if their brightness differs by no more, of 255.
_MOST_BRIGHTNESS_CHANGE = 12
# The scene is another one: median change of brightness as a part of full scale, or of log depth beyond the motion.
_CUT_BRIGHTNESS, _CUT_DEPTH = 0.25, 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """One frame against the frame before, at the size of the estimator's small images (h, w)."""

    depth_m: Array
    """(h, w), depth of the newer frame as the camera measures it, NaN where invalid or infinite."""
    is_cut: bool
    """The scene or the exposure is another one, or there is no frame before."""
    is_known: bool
    """Whether the camera's motion was found."""
    same_point: Mask | None = None
    """(h, w), which pixels show a point of the frame before that moves as the camera's motion has it; None at a cut."""
    previous_m: Array | None = None
    """The very `depth_m` of the frame before; None if there is none."""
    _rays: Array | None = None
    _was_at: tuple[Array, Array] | None = None
    _rotation: Array | None = None
    _translation: Array | None = None
    _along_rays: bool = False

    def expect(self, previous_m: Array, *, factor: float = 1.0) -> Array:
        """Return the depth (h, w) predicted for this frame from the previous one, NaN if that did not see the point.

        `previous_m` (h, w) is the depth of the previous frame: the `depth_m` of its own `Motion`, corrected or not.
        `factor` is what the depth of this frame is multiplied by, if it is, and with it the way that the camera went.
        Only if `is_known`.
        """
        assert self._rays is not None
        assert self._was_at is not None
        assert self._rotation is not None
        assert self._translation is not None
        points = self._rays * previous_m[..., None]
        found = np.asarray(
            cv2.remap(points, *self._was_at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
        found[~_is_inside(self._was_at, previous_m.shape)] = np.nan
        moved = found - self._translation * np.float32(factor)
        if self._along_rays:
            return np.asarray(np.linalg.norm(moved, axis=2), np.float32)
        return np.asarray(moved @ self._rotation[:, 2], np.float32)


class MotionEstimator:
    """Compares each frame of one camera with the frame before."""

    def __init__(self) -> None:
        # The name that OpenCV 4 has as well; its stubs lack it.
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # type: ignore[attr-defined]
        self._flow.setFinestScale(_FINEST_SCALE)
        self.cuts = 0
        """How often the scene or the exposure became another one."""
        self.reset()

    def reset(self) -> None:
        """Forget the frame before."""
        self._grey: Grey | None = None
        self._depth_m: Array | None = None
        self._camera: Camera | None = None

    def update(self, depth_m: Array, rgb: NDArray[np.uint8], camera: Camera) -> Motion:
        """Compare a frame with the one before.

        `depth_m` (H, W) is metres as `camera` measures them, NaN, infinite or <= 0 where invalid; `rgb` (H, W, 3) uint8
        is its image. A frame of another size or camera is a cut.
        """
        height, width = depth_m.shape
        shrink = max(1.0, width / _WIDTH)
        size = max(8, round(width / shrink)), max(8, round(height / shrink))
        grey = np.asarray(cv2.resize(rgb[..., 1], size, interpolation=cv2.INTER_AREA), np.uint8)
        small = np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
        with np.errstate(invalid="ignore"):
            small = np.where((small > 0) & (small < np.inf), small, np.float32(np.nan))
        motion = self._compare(small, grey, camera)
        self.cuts += motion.is_cut and self._grey is not None
        self._grey, self._depth_m, self._camera = grey, small, camera
        return motion

    def _compare(self, small_m: Array, grey: Grey, camera: Camera) -> Motion:
        before, before_m = self._grey, self._depth_m
        if before is None or before_m is None or before.shape != grey.shape or camera != self._camera:
            return Motion(small_m, is_cut=True, is_known=False)
        if np.median(cv2.absdiff(grey, before)) > 255 * _CUT_BRIGHTNESS:
            return Motion(small_m, is_cut=True, is_known=False)
        height, width = grey.shape
        of_small = camera.scaled(width, height)
        rays = of_small.rays()
        flow = np.asarray(self._flow.calc(grey, before, None), np.float32)
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        flow_to = columns + flow[..., 0], rows + flow[..., 1]
        textured = cv2.cornerMinEigenVal(grey, _PATCH_PX) >= _TEXTURED
        judged_m = np.where(textured, small_m, np.float32(np.nan))
        found = _solve(rays, judged_m, flow_to, of_small.focal_px)
        if np.count_nonzero(textured) < _LEAST_TEXTURED and _is_still(grey, before):
            found = np.eye(3, dtype=np.float32), np.zeros(3, np.float32), np.zeros(grey.shape, np.bool_)
        if found is None:
            return Motion(small_m, is_cut=self._is_other_depth(small_m, before_m), is_known=False, previous_m=before_m)
        rotation, translation, moves_alone = found
        # The camera's motion locates a point in the previous image more accurately than the flow does.
        pixels = of_small.project((rays * small_m[..., None]) @ rotation.T + translation).astype(np.float32)
        pixels = np.nan_to_num(pixels, nan=-1e4)
        was_at = np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])
        motion = Motion(
            small_m,
            is_cut=False,
            is_known=True,
            same_point=_look_alike(grey, before, was_at) & ~moves_alone,
            previous_m=before_m,
            _rays=rays,
            _was_at=was_at,
            _rotation=rotation,
            _translation=translation,
            _along_rays=camera.along_rays,
        )
        expected = motion.expect(before_m)
        return dataclasses.replace(motion, is_cut=self._is_other_depth(small_m, expected))

    @staticmethod
    def _is_other_depth(depth_m: Array, expected_m: Array) -> bool:
        """Return whether most depth is not what is expected, whatever it is multiplied by."""
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.log(depth_m / expected_m)
        change = change[np.isfinite(change)]
        if not change.size:
            return True
        median = float(np.median(change))
        return abs(median) > _CUT_DEPTH or float(np.median(np.abs(change - median))) > _CUT_DEPTH


def _is_inside(at: tuple[Array, Array], size_hw: tuple[int, ...]) -> Mask:
    u, v = at
    return (u > -0.5) & (u < size_hw[1] - 0.5) & (v > -0.5) & (v < size_hw[0] - 0.5)


def _is_still(grey: Grey, before: Grey) -> bool:
    return bool(np.mean(cv2.absdiff(grey, before) <= _STILL_CHANGE) >= _STILL_SHARE)


def _sample(image: Array, at: tuple[Array, Array], interpolation: int) -> Array:
    """Return an image (h, w, C) at pixels (h, w); NaN outside of it."""
    sampled = cv2.remap(image, *at, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 4)
    return np.asarray(sampled, np.float32)


def _look_alike(grey: Grey, before: Grey, flow_to: tuple[Array, Array]) -> Mask:
    seen_before = cv2.remap(before, *flow_to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.absdiff(grey, seen_before) <= _MOST_BRIGHTNESS_CHANGE)


def _solve(
    rays: Array, depth_m: Array, flow_to: tuple[Array, Array], focal_px: float
) -> tuple[Array, Array, Mask] | None:
    """Return rotation (3, 3) and translation (3,) from the newer camera's frame to the one before, and which pixels of
    the newer image (h, w) move otherwise; None if no motion explains the flow.

    `depth_m` (h, w) is NaN where it does not count. A point P of the newer frame is at R P + t in the one before, where
    the flow leads to.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = rays[..., :2] / rays[..., 2:]
        plane[~(rays[..., 2] > 0) | ~(np.abs(plane).max(axis=2) < _WIDEST_TANGENT)] = np.nan
    target = _sample(plane, flow_to, cv2.INTER_LINEAR)
    points = rays * depth_m[..., None]
    some = np.s_[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE]
    p, goal = points[some].reshape(-1, 3).astype(np.float64), target[some].reshape(-1, 2).astype(np.float64)
    usable = np.isfinite(np.hstack([p, goal, plane[some].reshape(-1, 2)])).all(axis=1)
    if usable.sum() < _LEAST_EQUATIONS:
        return None
    p, goal = p[usable], goal[usable]
    rotation, translation = np.eye(3), np.zeros(3)
    for _ in range(_ROUNDS):
        step = _step(p @ rotation.T + translation, goal, focal_px)
        if step is None:
            return None
        turn = np.asarray(cv2.Rodrigues(step[3:])[0], np.float64)
        rotation, translation = turn @ rotation, turn @ translation + step[:3]
    if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        return None
    off_px = _off_px(points, target, rotation, translation, focal_px)
    known = np.isfinite(off_px)
    with np.errstate(invalid="ignore"):
        moves_alone = off_px > _ON_MOTION_PX
    if moves_alone.sum() > (1 - _LEAST_ON_MOTION) * known.sum():
        return None
    return rotation.astype(np.float32), translation.astype(np.float32), moves_alone


def _step(p: Float64Array, goal: Float64Array, focal_px: float) -> Float64Array | None:
    """Return the small translation and rotation (6,) that bring points (N, 3) nearer to where the flow leads."""
    p, goal = p[p[:, 2] > 1e-3], goal[p[:, 2] > 1e-3]
    if len(p) < _LEAST_EQUATIONS:
        return None
    inverse = 1 / p[:, 2]
    u, v = p[:, 0] * inverse, p[:, 1] * inverse
    off_u, off_v = (goal[:, 0] - u) * focal_px, (goal[:, 1] - v) * focal_px
    off = np.hypot(off_u, off_v)
    reach = 3 * max(float(np.median(off)) / 0.6745, 0.1)
    weight = np.sqrt(np.clip(1 - (off / reach) ** 2, 0, None) ** 2)
    nothing = np.zeros_like(u)
    of_u = np.stack([inverse, nothing, -u * inverse, -u * v, 1 + u * u, -v], axis=1)
    of_v = np.stack([nothing, inverse, -v * inverse, -(1 + v * v), u * v, u], axis=1)
    equations = np.vstack([of_u * weight[:, None], of_v * weight[:, None]]) * focal_px
    information = equations.T @ equations
    right = equations.T @ np.concatenate([off_u * weight, off_v * weight])
    # Depth of one distance all over leaves motion across the view and rotation nearly alike: the least one is taken.
    information += np.eye(6) * 1e-6 * float(np.trace(information))
    if not math.isfinite(float(information.sum())):
        return None
    return np.asarray(np.linalg.solve(information, right), np.float64)


def _off_px(points: Array, target: Array, rotation: Float64Array, translation: Float64Array, focal_px: float) -> Array:
    """Return how far (h, w), pixels, points move beside what the flow has; NaN where that is not known."""
    moved = points @ rotation.T.astype(np.float32) + translation.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = moved[..., :2] / moved[..., 2:] - target
        return np.asarray(np.hypot(off[..., 0], off[..., 1]) * np.float32(focal_px), np.float32)
