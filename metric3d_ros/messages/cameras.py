"""Cameras to sensor_msgs/CameraInfo."""

import copy
from typing import Any

import numpy as np

from metric3d_ros.camera import Camera, apply_roi_and_binning, described_size_hw
from metric3d_ros.camera.lenses.names import PLUMB_BOB

_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
_NO_DISTORTION = (PLUMB_BOB, [0.0] * 5)


def camera_to_camera_info(camera: Camera, *, header: Any, sensor_msgs: Any) -> Any:
    """Build the CameraInfo of an image that `camera` took: its size, K, D, R = 1 and P = K.

    Binning and region of interest are left at "none": the camera describes the image as it is. `header` is used as it
    is, `sensor_msgs` as in `array_to_image`.
    """
    model, distortion = _NO_DISTORTION
    if camera.distortion:
        model, distortion = camera.distortion_model, [float(value) for value in camera.distortion]
    fx, fy, cx, cy = float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy)
    return sensor_msgs.CameraInfo(
        header=header,
        height=int(camera.height),
        width=int(camera.width),
        distortion_model=model,
        d=distortion,
        # float64 arrays: the setters of the fixed-size fields take them without looking at each element.
        k=np.array([fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]),
        r=np.array(_IDENTITY),
        p=np.array([fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]),
    )


def resize_camera_info(info: Any, size_hw: tuple[int, int], *, header: Any) -> Any:
    """Return a copy of a CameraInfo for the image that it describes, resized to (height, width): K and P scaled.

    Region of interest and binning are applied and then left at "none". A pixel's area scales about the
    image's corner, as in Camera.scaled. D does not depend on the size.
    """
    resized = copy.deepcopy(info)
    resized.header = header
    resized.height, resized.width = size_hw
    height, width = described_size_hw(info)
    scale_x, scale_y = size_hw[1] / width, size_hw[0] / height
    k, p = np.array(info.k, np.float64).reshape(3, 3), np.array(info.p, np.float64).reshape(3, 4)
    for matrix in (k, p):
        if not matrix[0, 0]:
            continue  # not given
        matrix[:] = apply_roi_and_binning(matrix, info)
        matrix[0] *= scale_x
        matrix[1] *= scale_y
        matrix[0, 2] += 0.5 * scale_x - 0.5
        matrix[1, 2] += 0.5 * scale_y - 0.5
    resized.k, resized.p = k.ravel(), p.ravel()
    resized.binning_x = resized.binning_y = 0
    resized.roi = type(info.roi)()
    return resized
