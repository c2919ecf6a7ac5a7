"""Cameras that are mounted turned: what the network sees is upright, what comes out is in the camera's own frame."""

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
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


def picture(seed=0):
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)


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


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    tiny_models.save_contract_model(path, normal=(0.6, 0.0, -0.8), confidence=1.25)
    return Estimator(open_model(path, provider="cpu"))


@pytest.mark.parametrize("degrees", TURNS)
def test_estimates_of_turned_images_lie_at_the_pixels_of_the_images_as_they_came(estimator, degrees, monkeypatch):
    images, cameras = [picture(1), picture(2)], [CAMERA, Camera(WIDTH, HEIGHT, 400.0, 420.0, 1.0, 2.0)]
    plain = estimator.estimate_batch(images, cameras)
    seen = []
    run = estimator.model.run
    monkeypatch.setattr(
        estimator.model, "run", lambda feeds, **options: (seen.append(feeds["image"].copy()), run(feeds, **options))[1]
    )
    turned = estimator.estimate_batch(images, cameras, rotate_deg=degrees)
    np.testing.assert_array_equal(seen[0][1], np.rot90(images[1], -degrees // 90))
    expected = {90: (0, -0.6, -0.8), 180: (-0.6, 0, -0.8), 270: (0, 0.6, -0.8)}[degrees]
    for one, other, camera in zip(turned, plain, cameras, strict=True):
        np.testing.assert_allclose(one.depth_m, other.depth_m, rtol=1e-6)
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_allclose(one.normals, np.broadcast_to(np.array(expected, np.float32), one.normals.shape))
        assert one.camera == camera
        assert one.inference_size_hw == turned_size((HEIGHT, WIDTH), degrees)


def test_confidence_stays_within_0_and_1(estimator):
    assert (estimator.estimate(picture(), CAMERA).confidence == 1).all()
