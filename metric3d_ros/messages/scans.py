"""Ranges to sensor_msgs/LaserScan."""

import array
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranges_to_scan(
    ranges_m: NDArray[np.float32],
    *,
    angle_min_rad: float,
    angle_increment_rad: float,
    min_range_m: float,
    max_range_m: float,
    header: Any,
    sensor_msgs: Any,
    scan_time_s: float = 0.0,
) -> Any:
    """Build a LaserScan of (N,) ranges in metres, counterclockwise about the frame's z axis from `angle_min_rad`.

    The header's frame must be one whose x is forward and z up, not an optical frame; see `geometry.scan`. Every
    range was taken at the same time, so time_increment is 0.
    """
    return sensor_msgs.LaserScan(
        header=header,
        angle_min=float(angle_min_rad),
        angle_max=float(angle_min_rad + angle_increment_rad * (len(ranges_m) - 1)),
        angle_increment=float(angle_increment_rad),
        time_increment=0.0,
        scan_time=float(scan_time_s),
        range_min=float(min_range_m),
        range_max=float(max_range_m),
        ranges=array.array("f", np.ascontiguousarray(ranges_m, dtype=np.float32).tobytes()),
        intensities=array.array("f"),
    )
