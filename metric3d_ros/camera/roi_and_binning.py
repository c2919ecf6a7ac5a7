"""Region of interest and binning of a camera_info, applied (REP-104): the image that it describes, and its matrices."""

from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import CameraError

Float64Array = npt.NDArray[np.float64]


def described_size_hw(info: Any) -> tuple[int, int]:
    """Return the (height, width) of the image that a camera_info describes, after region of interest and binning."""
    height, width = int(info.roi.height) or int(info.height), int(info.roi.width) or int(info.width)
    bin_x, bin_y = _binning(info)
    return height // bin_y, width // bin_x


def apply_roi_and_binning(matrix: npt.ArrayLike, info: Any) -> Float64Array:
    """Return K (3, 3) or P (3, 4) of the image that a camera_info describes, from that of the calibrated image.

    Both in pixels. As image_geometry does it: c' = (c - offset) / binning, f' = f / binning.
    """
    x, y = _offset(info)
    described = np.array(matrix, np.float64)
    described[0, 2] -= x
    described[1, 2] -= y
    bin_x, bin_y = _binning(info)
    described[0] /= bin_x
    described[1] /= bin_y
    return described


def check_roi(info: Any) -> None:
    """Raise CameraError if the region of interest of a camera_info leaves the calibrated image."""
    width, height = int(info.width), int(info.height)
    x, y = _offset(info)
    roi_width, roi_height = int(info.roi.width) or width, int(info.roi.height) or height
    if x + roi_width > width or y + roi_height > height:
        raise CameraError(
            f"region of interest {roi_width}x{roi_height} at ({x}, {y}) leaves the {width}x{height} image; "
            "correct roi in the camera_info"
        )


def _offset(info: Any) -> tuple[int, int]:
    # A driver that leaves the region's size at 0 means the whole image, whatever the offsets are.
    if not info.roi.width and not info.roi.height:
        return 0, 0
    return int(info.roi.x_offset), int(info.roi.y_offset)


def _binning(info: Any) -> tuple[int, int]:
    # 0 and 1 both mean that there is none.
    return max(int(info.binning_x), 1), max(int(info.binning_y), 1)
