"""Cameras with each kind of lens, and the depth that they measure of a plane."""

import numpy as np

from metric3d_ros.camera import Camera

PINHOLE = Camera(97, 61, 80.0, 85.0, 41.3, 33.7)
LENSES = [
    PINHOLE,
    Camera(30, 300, 250.0, 240.0, 12.0, 140.0),  # taller than the blocks of rows that are worked on
    Camera(97, 61, 80.0, 85.0, 41.3, 33.7, "plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.0)),
    Camera(97, 61, 60.0, 62.0, 50.0, 28.0, "equidistant", (0.05, -0.01, 0.002, 0.0)),
]


def name_of(camera):
    return f"{camera.width}x{camera.height} {camera.distortion_model or 'pinhole'}"


def depth_of_plane(camera, normal, distance_m):
    """Return the depth image of a plane `distance_m` away with the unit `normal`; NaN where it is not seen."""
    rays = camera.rays().astype(np.float64)
    with np.errstate(divide="ignore"):
        depth = -distance_m / (rays @ np.asarray(normal, float))
    return np.where((depth > 0) & (depth < 1000), depth, np.nan).astype(np.float32)


def unit(*vector):
    return np.array(vector, float) / np.linalg.norm(vector)
