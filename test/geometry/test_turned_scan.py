"""The scan of a camera that is mounted turned is level: against a room whose walls are known."""

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import depth_to_scan

CAMERAS = [
    Camera(97, 61, 80.0, 85.0, 41.3, 33.7),
    Camera(97, 61, 80.0, 85.0, 41.3, 33.7, "plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.0)),
]
# x and y of a ray in the upright frame, from x (right) and y (down) in the camera's own. With 90 the camera's top
# points right: what is down for the camera is left in the room, and what is right for it is down.
UPRIGHT = {
    0: lambda x, y: (x, y),
    90: lambda x, y: (-y, x),
    180: lambda x, y: (-x, -y),
    270: lambda x, y: (y, -x),
}
AHEAD_M, LEFT_M, FLOOR_M = 4.0, 1.0, 0.6
"""Distances from the camera of a wall ahead, a wall on the left, and the floor below."""


def room_depth(camera, degrees):
    """Return the depth that a turned camera has of the room, (H, W) metres."""
    rays = camera.rays().astype(np.float64)
    x, y = UPRIGHT[degrees](rays[..., 0], rays[..., 1])
    with np.errstate(divide="ignore"):
        left = np.where(x < 0, LEFT_M / -x, np.inf)
        floor = np.where(y > 0, FLOOR_M / y, np.inf)
    return np.minimum(np.minimum(left, floor), AHEAD_M).astype(np.float32)


@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted"])
@pytest.mark.parametrize("degrees", UPRIGHT)
def test_scan_of_a_turned_camera_is_level(camera, degrees):
    depth = room_depth(camera, degrees)
    scan = depth_to_scan(depth, camera, rotate_deg=degrees, band_px=3, min_range_m=0.1)
    angles = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m))
    ahead, left = AHEAD_M / np.cos(angles), np.where(angles > 0, LEFT_M / np.sin(angles), np.inf)
    expected = np.minimum(ahead, left)
    seen = np.isfinite(scan.ranges_m)
    assert seen.mean() > 0.95
    far_from_the_corner = seen & (np.abs(angles - np.arctan(LEFT_M / AHEAD_M)) > 2 * scan.angle_increment_rad)
    np.testing.assert_allclose(scan.ranges_m[far_from_the_corner], expected[far_from_the_corner], rtol=0.03)
    # Both walls are in it.
    assert (left < ahead)[seen].any()
    assert (ahead < left)[seen].any()


def test_band_of_a_camera_on_its_side_is_around_its_own_column():
    camera = CAMERAS[0]
    depth = np.full(camera.size_hw, 5.0, np.float32)
    depth[:, 41] = 2.0  # cx is 41.3
    assert depth_to_scan(depth, camera, rotate_deg=90, band_px=1).ranges_m.min() == pytest.approx(2.0, rel=0.01)
    assert depth_to_scan(depth, camera, rotate_deg=270, band_px=1).ranges_m.min() == pytest.approx(2.0, rel=0.01)
    depth[:, 41] = 5.0
    depth[:, 45] = 2.0
    assert depth_to_scan(depth, camera, rotate_deg=90, band_px=1).ranges_m.min() == pytest.approx(5.0, rel=0.01)
