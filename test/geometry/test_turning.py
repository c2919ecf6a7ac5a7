"""Turning: images upright, and what is found in them back to the pixels and the frame of the camera."""

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import (
    check_angle,
    depth_to_points,
    normals_from_depth,
    turn_back,
    turn_normals_back,
    turn_upright,
    turned_size,
    upright_camera,
)

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 800.0, 810.0, 20.0, 30.0)
TURNS = (90, 180, 270)


def test_images_are_turned_clockwise():
    image = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    assert turn_upright(image, 0) is image
    assert turn_upright(image, 90).tolist() == [[4, 1], [5, 2], [6, 3]]
    assert turn_upright(image, 180).tolist() == [[6, 5, 4], [3, 2, 1]]
    assert turn_upright(image, 270).tolist() == [[3, 6], [2, 5], [1, 4]]


@pytest.mark.parametrize("degrees", [0, *TURNS])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_turning_back_undoes_turning(degrees, dtype):
    image = np.arange(5 * 7 * 3).reshape(5, 7, 3).astype(dtype)
    turned = turn_upright(image, degrees)
    assert turned.shape[:2] == turned_size((5, 7), degrees)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turn_back(turned, degrees), image)


@pytest.mark.parametrize("degrees", TURNS)
def test_a_point_is_seen_at_its_own_pixel_by_the_upright_camera(degrees):
    upright = upright_camera(CAMERA, degrees)
    assert upright.size_hw == turned_size(CAMERA.size_hw, degrees)
    depth_m = np.random.default_rng(1).uniform(1, 9, CAMERA.size_hw).astype(np.float32)
    points = depth_to_points(depth_m, CAMERA)
    # The upright frame's axes in the camera's own: right in the upright image is what was up, for 90 degrees.
    axes = {90: ((0, -1, 0), (1, 0, 0)), 180: ((-1, 0, 0), (0, -1, 0)), 270: ((0, 1, 0), (-1, 0, 0))}[degrees]
    upright_points = points @ np.array([*axes, (0, 0, 1)], np.float32).T
    np.testing.assert_allclose(
        depth_to_points(turn_upright(depth_m, degrees), upright), turn_upright(upright_points, degrees), atol=1e-5
    )


@pytest.mark.parametrize("degrees", TURNS)
def test_normals_of_a_slanted_plane_come_back_as_they_are_in_the_cameras_frame(degrees):
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    # A plane whose inverse depth falls to the right and grows downwards.
    depth_m = (1 / (0.3 - 0.4 * (u - CAMERA.cx) / CAMERA.fx + 0.9 * (v - CAMERA.cy) / CAMERA.fy)).astype(np.float32)
    expected = normals_from_depth(depth_m, CAMERA)
    upright = normals_from_depth(turn_upright(depth_m, degrees), upright_camera(CAMERA, degrees))
    np.testing.assert_allclose(turn_normals_back(upright, degrees), expected, atol=1e-4)
    assert np.abs(turn_back(upright, degrees) - expected).max() > 0.1, "vectors turn too"


def test_normals_turn_with_the_image():
    normals = np.broadcast_to(np.array([0.6, 0.0, -0.8], np.float32), (2, 3, 3)).copy()
    # To the right in an image that was turned clockwise by 90 degrees is up in the camera's own.
    assert turn_normals_back(normals, 90).shape == (3, 2, 3)
    np.testing.assert_allclose(turn_normals_back(normals, 90)[0, 0], [0, -0.6, -0.8])
    np.testing.assert_allclose(turn_normals_back(normals, 180)[0, 0], [-0.6, 0, -0.8])
    np.testing.assert_allclose(turn_normals_back(normals, 270)[0, 0], [0, 0.6, -0.8])


@pytest.mark.parametrize("degrees", [1, 45, 89, 360, -90])
def test_other_angles_are_refused(degrees):
    with pytest.raises(ConfigurationError, match=f"{degrees} degrees, expected 0, 90, 180 or 270"):
        check_angle(degrees)
