"""LaserScan, Range and PointCloud2 messages of another sensor to points in that sensor's frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import MessageError
from metric3d_ros.messages.clouds import cloud_to_points

_MOST_RANGES = 1_000_000
_MOST_POINTS = 20_000


def scan_to_points(message: Any) -> NDArray[np.float32]:
    """Return the points (N, 3) of a LaserScan in its frame, metres; NaN outside of its own range limits.

    Raises MessageError if there are more than a million ranges, or the angles are not finite.
    """
    count = len(message.ranges)
    first, step = float(message.angle_min), float(message.angle_increment)
    if count > _MOST_RANGES or not (np.isfinite(first) and np.isfinite(step)):
        raise MessageError(
            f"the scan has {count} ranges from {first:g} rad in steps of {step:g}, expected at most {_MOST_RANGES} and "
            "finite angles"
        )
    ranges = _within(np.asarray(message.ranges, np.float32), message)
    angles = first + step * np.arange(count)
    points = np.stack([ranges * np.cos(angles), ranges * np.sin(angles), 0 * ranges], axis=-1)
    return np.asarray(points, np.float32)


def range_to_points(message: Any) -> NDArray[np.float32]:
    """Return the point (1, 3) on the x axis of a Range, metres; NaN outside of its own limits."""
    ranges = _within(np.array([message.range], np.float32), message)
    return np.asarray(np.stack([ranges, 0 * ranges, 0 * ranges], axis=-1), np.float32)


def cloud_to_ranges(message: Any) -> NDArray[np.float32]:
    """Return at most 20000 evenly chosen points (N, 3) of a PointCloud2; MessageError as `cloud_to_points`."""
    points = cloud_to_points(message).points.reshape(-1, 3)
    return np.ascontiguousarray(points[:: max(1, -(-len(points) // _MOST_POINTS))])


def _within(ranges: NDArray[np.float32], message: Any) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        inside = (ranges >= message.range_min) & (ranges <= message.range_max) & np.isfinite(ranges)
    return np.where(inside, ranges, np.float32(np.nan))
