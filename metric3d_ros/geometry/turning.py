"""Turns the images of a rotated camera upright for the network, and its outputs back.

An angle is by how many degrees an image is turned clockwise to stand upright: that by which the camera itself is turned
clockwise about its line of sight, seen from behind it. A camera on its right side, its top to the right, has 90; one
that hangs upside down 180; one on its left side 270.
"""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError

ANGLES_DEG = (0, 90, 180, 270)

_CLOCKWISE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# Where x and y of the turned image point in the image as the camera took it: (index, sign) of x, then of y. For 90
# degrees, right in the turned image is up in the camera's, and down is right.
_AXES = {90: ((1, 1), (0, -1)), 180: ((0, -1), (1, -1)), 270: ((1, -1), (0, 1))}

Kind = TypeVar("Kind", bound=np.generic)


def check_angle(degrees: int) -> None:
    """Raise ConfigurationError for an angle that is not one of `ANGLES_DEG`."""
    if degrees not in ANGLES_DEG:
        raise ConfigurationError(f"parameter rotate is {degrees} degrees, expected 0, 90, 180 or 270")


def turned_size(size_hw: tuple[int, int], degrees: int) -> tuple[int, int]:
    """Return the (height, width) of an image that has been turned."""
    return size_hw[::-1] if degrees in (90, 270) else size_hw


def turn_upright(image: NDArray[Kind], degrees: int) -> NDArray[Kind]:
    """Turn an image (H, W) or (H, W, C) clockwise; contiguous, (W, H) or (W, H, C) for 90 and 270 degrees."""
    return _turn(image, degrees)


def turn_back(image: NDArray[Kind], degrees: int) -> NDArray[Kind]:
    """Turn an image counterclockwise; the inverse of `turn_upright`."""
    return _turn(image, -degrees % 360)


def turn_normals_back(normals: NDArray[np.float32], degrees: int) -> NDArray[np.float32]:
    """Turn an image (H, W, 3) of vectors back, and each vector with it: from the upright frame to the camera's own."""
    turned = turn_back(normals, degrees)
    if not degrees:
        return turned
    (from_x, sign_x), (from_y, sign_y) = _AXES[degrees]
    vectors = np.empty_like(turned)
    np.multiply(turned[..., from_x], np.float32(sign_x), out=vectors[..., 0])
    np.multiply(turned[..., from_y], np.float32(sign_y), out=vectors[..., 1])
    vectors[..., 2] = turned[..., 2]
    return vectors


def turn_vectors_upright(vectors: NDArray[np.float32], degrees: int) -> NDArray[np.float32]:
    """Turn vectors (..., 3) from the camera's own frame to the upright one; their pixels stay where they are."""
    if not degrees:
        return vectors
    (from_x, sign_x), (from_y, sign_y) = _AXES[degrees]
    turned = vectors.copy()
    np.multiply(vectors[..., 0], np.float32(sign_x), out=turned[..., from_x])
    np.multiply(vectors[..., 1], np.float32(sign_y), out=turned[..., from_y])
    return turned


def upright_camera(camera: Camera, degrees: int) -> Camera:
    """Return the pinhole camera of an image that `turn_upright` has turned; its lens distortion is left out."""
    width, height, fx, fy, cx, cy = camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy
    if degrees == 90:
        return Camera(height, width, fy, fx, height - 1 - cy, cx)
    if degrees == 180:
        return Camera(width, height, fx, fy, width - 1 - cx, height - 1 - cy)
    if degrees == 270:
        return Camera(height, width, fy, fx, cy, width - 1 - cx)
    return camera


def _turn(image: NDArray[Kind], degrees: int) -> NDArray[Kind]:
    if not degrees:
        return image
    pixels: Any = image
    return np.asarray(cv2.rotate(pixels, _CLOCKWISE[degrees]), image.dtype)
