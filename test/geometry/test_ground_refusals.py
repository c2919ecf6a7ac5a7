"""What is no ground, or too little of it, is refused with the reason."""

import math

import cv2
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import GroundOptions, GroundPlane, NoGround, find_ground

CAMERA = Camera(320, 240, 260, 255, 165.3, 117.8)


def plane_depth(pitch_deg, height_m):
    """Return up in the camera's frame and the depth of a floor below a camera that looks down by `pitch_deg`."""
    pitch = math.radians(pitch_deg)
    up = np.array([0, -math.cos(pitch), -math.sin(pitch)])
    down = CAMERA.rays() @ -up
    depth = np.where(down > 0.05, height_m / np.maximum(down, 1e-6), np.nan)
    return up, depth.astype(np.float32)


def test_a_ground_below_the_stated_heights_is_refused_and_found_without_the_limit():
    _, depth = plane_depth(30, 3.0)
    assert find_ground(depth, CAMERA).height_m == pytest.approx(3.0, rel=5e-3)
    found = find_ground(depth, CAMERA, options=GroundOptions(max_height_m=1.0))
    assert found == NoGround("no plane lies 0.03 to 1 m below the camera and within 50 degrees of level")


def noise(sigma_px, share, seed):
    """Return smooth factors (240, 320) of this standard deviation, as a network's errors are."""
    drawn = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(240, 320)).astype(np.float32), (0, 0), sigma_px)
    return np.exp(drawn * np.float32(share / drawn.std()))


@pytest.mark.parametrize(
    ("rows", "columns"), [((150, 180), (100, 220)), ((120, 136), (0, 320)), ((140, 160), (150, 200))]
)
def test_a_narrow_strip_of_noisy_depth_does_not_tell_the_tilt_and_normals_do(rows, columns):
    up, depth = plane_depth(20, 1.0)
    strip, seen = np.full_like(depth, np.nan), (slice(*rows), slice(*columns))
    strip[seen] = (depth * noise(3, 0.03, 0))[seen]
    assert find_ground(strip, CAMERA) == NoGround("what is seen of the plane is too narrow a strip to tell its tilt")
    normals = np.broadcast_to(up.astype(np.float32), (*depth.shape, 3)).copy()
    assert find_ground(strip, CAMERA, normals=normals).height_m == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_height_m": 0.995}, "the plane lies 1.00 m below the camera, expected 0.03 to 0.995 m"),
        ({"max_tilt_deg": 19.8}, "the plane is tilted by 20 degrees, expected at most 19.8: a wall"),
    ],
)
def test_the_plane_that_fits_all_is_judged_by_the_limits_too(limit, reason):
    _, depth = plane_depth(20, 1.0)
    assert find_ground(depth * noise(10, 0.02, 0), CAMERA, options=GroundOptions(**limit)) == NoGround(reason)


def test_a_small_patch_with_normals_is_taken_as_one_plane():
    up, depth = plane_depth(25, 0.8)
    patch = np.full_like(depth, np.nan)
    patch[170:194, 140:168] = depth[170:194, 140:168]
    normals = np.broadcast_to(up.astype(np.float32), (*depth.shape, 3)).copy()
    found = find_ground(patch, CAMERA, normals=normals)
    assert isinstance(found, GroundPlane)
    assert found.height_m == pytest.approx(0.8, rel=0.02)
    assert math.degrees(found.pitch_rad) == pytest.approx(25, abs=1)
    assert found.share > 0.9


def test_a_table_above_much_floor_is_refused_as_a_table():
    _, floor = plane_depth(35, 1.2)
    _, table = plane_depth(35, 0.5)
    depth = table.copy()
    depth[:, :120] = floor[:, :120]
    options = GroundOptions(max_height_m=0.8)  # so that the floor is none
    found = find_ground(depth, CAMERA, options=options)
    assert isinstance(found, NoGround)
    assert found.reason.endswith("a table, not the ground")


def test_normals_that_face_up_without_a_plane_below_them_are_refused():
    depth = np.random.default_rng(0).uniform(0.5, 8, (240, 320)).astype(np.float32)
    normals = np.broadcast_to(np.array([0, -1, 0], np.float32), (240, 320, 3)).copy()
    found = find_ground(depth, CAMERA, normals=normals)
    assert found == NoGround("0.0% of the image lies on the lowest plane, expected at least 5%")


def test_a_plane_scaled_by_a_factor_is_that_of_the_scaled_depth():
    _, depth = plane_depth(20, 0.7)
    plane = find_ground(depth, CAMERA).scaled(2.0)
    other = find_ground(2 * depth, CAMERA)
    assert plane.height_m == pytest.approx(other.height_m, rel=1e-4)
    np.testing.assert_allclose(plane.normal, other.normal, atol=1e-4)
    np.testing.assert_allclose(plane.covariance, other.covariance, rtol=0.05, atol=1e-9)
    assert plane.tilt_std_rad == pytest.approx(other.tilt_std_rad, rel=0.05)
