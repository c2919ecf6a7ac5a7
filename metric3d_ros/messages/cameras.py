"""Cameras to sensor_msgs/CameraInfo."""

from typing import Any

import numpy as np

from metric3d_ros.camera import Camera

_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
_NO_DISTORTION = ("plumb_bob", [0.0] * 5)


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
