"""A planar laser scan from a horizontal band of a depth image, for 2-D navigation.

The scan lies in the x-z plane of the camera's optical frame, or of the frame that it would have if the camera stood
upright (`rotate_deg`), so it is level only if the camera is. Angles are counterclockwise about
the up axis with 0 straight ahead (REP-103's body axes: x forward, y left, z up). Its message therefore needs the frame
with those axes at the camera's place, which drivers publish beside the optical one (camera_link or camera_frame beside
camera_optical_frame), never the optical frame itself.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry.deprojection import check_size
from metric3d_ros.geometry.turning import turn_vectors_upright, upright_camera

_MOST_RANGES_A_COLUMN = 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """Ranges from right to left, as sensor_msgs/LaserScan orders them."""

    ranges_m: NDArray[np.float32]
    """(N,) distance in the plane to the nearest thing; +Inf: nothing within reach; -Inf: something nearer than the
    least range; NaN: not known (REP-117)."""
    angle_min_rad: float
    """Of the first range; negative is right of the optical axis."""
    angle_increment_rad: float
    max_range_m: float
    """How far the scan reaches; +Inf is nothing within it."""


def depth_to_scan(
    depth_m: NDArray[np.float32],
    camera: Camera,
    *,
    rotate_deg: int = 0,
    band_px: int = 10,
    max_offset_m: float = float("inf"),
    min_range_m: float = 0.45,
    max_range_m: float = 10.0,
) -> Scan:
    """Take the nearest thing in each direction from the `band_px` rows around the camera's horizon.

    With `rotate_deg`, as `geometry.turning` has it, the camera is mounted turned: rows and up are those of the upright
    image, so of a camera on its side the band is columns of `depth_m`.

    `depth_m` is (H, W) metres along the optical axis, NaN where invalid, +Inf where too far. Points more than
    `max_offset_m` above or below the plane are ignored, so that a broad band does not take the floor for an obstacle.
    The angle between ranges is the widest one between two columns, so that no direction is left without a pixel.

    Raises ConfigurationError when the limits contradict each other or the band does not meet the image, CameraError
    when the camera's size is not the image's or none of the band's pixels has a ray.
    """
    check_size(depth_m, camera)
    if not 0 <= min_range_m < max_range_m:
        raise ConfigurationError(
            f"scan ranges are {min_range_m:g} to {max_range_m:g} m, expected 0 <= least < greatest"
        )
    upright = upright_camera(camera, rotate_deg)
    top = round(upright.cy - (band_px - 1) / 2)
    rows = slice(max(top, 0), min(top + band_px, upright.height))
    if band_px < 1 or rows.start >= rows.stop:
        raise ConfigurationError(
            f"the scan's band of {band_px} rows around row {upright.cy:.0f} is outside the image's {upright.height} "
            "rows"
        )
    quarters = -rotate_deg // 90  # np.rot90 turns counterclockwise, without a copy
    rays = turn_vectors_upright(np.rot90(camera.rays(), quarters)[rows], rotate_deg)
    depth = np.rot90(depth_m, quarters)[rows]
    angles = -np.arctan2(rays[..., 0].astype(np.float64), rays[..., 2])  # (band, W), left is positive
    angle_min, angle_max, increment = _spacing(angles)
    count = round((angle_max - angle_min) / increment) + 1
    ranges = depth * np.hypot(rays[..., 0], rays[..., 2])
    with np.errstate(invalid="ignore"):
        off_level = np.abs(depth * rays[..., 1]) > max_offset_m
        unknown = ~(ranges > 0) | (off_level & np.isfinite(depth)) | np.isnan(angles)
        ranges = np.where(ranges > max_range_m, np.float32(np.inf), ranges)
        ranges = np.where(ranges < min_range_m, np.float32(-np.inf), ranges)
    seen = ~unknown
    bins = np.rint((angles[seen] - angle_min) / increment).astype(np.intp)
    nearest = np.full(count, np.nan, np.float32)
    np.fmin.at(nearest, bins, ranges[seen])  # fmin: a number replaces the NaN that stands for "nothing seen"
    return Scan(
        ranges_m=nearest,
        angle_min_rad=float(angle_min),
        angle_increment_rad=float(increment),
        max_range_m=float(max_range_m),
    )


def _spacing(angles: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the least and the greatest angle and the widest step between two columns.

    Raises CameraError if a broken lens model leaves so few rays, or folds them so much, that no step covers all.
    """
    width = angles.shape[1]
    known = angles[np.isfinite(angles)]
    if known.size and width == 1:
        return float(known.min()), float(known.max()), 1.0
    steps = np.abs(np.diff(angles, axis=1))
    widest = float(np.max(steps, initial=0.0, where=np.isfinite(steps)))
    if widest == 0 or known.max() - known.min() > _MOST_RANGES_A_COLUMN * width * widest:
        raise CameraError(
            f"the camera's lens model gives only {known.size} of the scan's {angles.size} pixels a ray, or folds them: "
            "correct D in the camera_info"
        )
    return float(known.min()), float(known.max()), widest
