"""Surface normals from depth that has less resolution than the image, as networks of this kind give it.

Their depth is predicted for cells of about 4 x 4 pixels: between pixels its slope is a staircase, whose normals mean
nothing. The normals of the cells do. At an edge a cell's normal comes from the side that lies on its surface.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry.deprojection import check_size
from metric3d_ros.geometry.normals import normals_from_depth

Array = NDArray[np.float32]


def cell_normals_from_depth(depth_m: Array, camera: Camera, *, cell_px: int = 4) -> Array:
    """Estimate the surface normal of every pixel from the mean depth of its cell: (H, W, 3) float32 unit vectors.

    `depth_m` is (H, W) metres along the optical axis, NaN, infinite or <= 0 where invalid. Normals are in the optical
    frame and face the camera; NaN where depth is invalid or its cell has no neighbour on its surface.

    Raises CameraError when the camera's size is not the image's, ConfigurationError for cells below 1 pixel.
    """
    check_size(depth_m, camera)
    if cell_px < 1:
        raise ConfigurationError(f"cell_px is {cell_px}, expected at least 1 pixel")
    with np.errstate(invalid="ignore"):
        usable = (depth_m > 0) & np.isfinite(depth_m)
    size = max(2, round(camera.width / cell_px)), max(2, round(camera.height / cell_px))
    means = np.asarray(
        cv2.resize(np.where(usable, depth_m, np.float32(np.nan)), size, interpolation=cv2.INTER_AREA), np.float32
    )
    normals = normals_from_depth(means, camera.scaled(*size))
    spread = np.asarray(cv2.resize(normals, depth_m.shape[::-1], interpolation=cv2.INTER_NEAREST), np.float32)
    spread[~usable] = np.nan
    return spread
