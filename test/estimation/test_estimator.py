"""Estimator: scale from the focal length at every inference size, and outputs at the image's own resolution."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ImageError, InferenceError
from metric3d_ros.estimation import estimator as estimator_module
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

METRES = tiny_models.METRES_PER_LEVEL


@pytest.fixture(scope="module")
def contract_model(tmp_path_factory):
    return open_model(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


def grey_image(height, width, level=100):
    return np.full((height, width, 3), level, np.uint8)


def test_depth_is_in_metres_for_the_cameras_focal_length(contract_model):
    camera = Camera(80, 60, 490.0, 510.0, 40.0, 30.0)
    estimate = Estimator(contract_model).estimate(grey_image(60, 80), camera)
    np.testing.assert_allclose(estimate.depth_m, 100 * METRES * 500 / 1000)
    assert estimate.depth_m.shape == (60, 80)
    assert estimate.depth_m.dtype == np.float32
    np.testing.assert_allclose(estimate.confidence, tiny_models.CONFIDENCE)
    np.testing.assert_allclose(estimate.normals, np.broadcast_to(tiny_models.NORMAL, (60, 80, 3)))
    assert estimate.inference_size_hw == (60, 80)
    assert set(estimate.timings_ms) == {"prepare", "infer", "finish"}


@pytest.mark.parametrize("size", ["native", "trained", "80x45", "40x100", "0.005MP"])
def test_outputs_keep_the_images_size_and_depth_follows_the_resized_focal_length(contract_model, size):
    estimator = Estimator(contract_model, inference_size=size)
    estimate = estimator.estimate(grey_image(90, 160), Camera.from_focal(160, 90, focal_px=400))
    assert estimate.depth_m.shape == (90, 160)
    assert estimate.confidence.shape == (90, 160)
    assert estimate.normals.shape == (90, 160, 3)
    scale_y, scale_x = np.array(estimate.inference_size_hw) / (90, 160)
    # The tiny model has no sense of size, so its depth follows the focal length of the image that it was fed.
    expected = 100 * METRES * 400 * (scale_x + scale_y) / 2 / 1000
    np.testing.assert_allclose(estimate.depth_m, expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(estimate.normals, axis=-1), 1, rtol=1e-5)


def test_what_is_not_asked_for_is_none(contract_model):
    estimate = Estimator(contract_model).estimate(
        grey_image(30, 40), Camera.from_focal(40, 30, focal_px=40), outputs={"depth"}
    )
    assert estimate.confidence is None
    assert estimate.normals is None


def test_model_without_normals_gives_none(tmp_path):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx", with_normals=False))
    estimate = Estimator(model).estimate(grey_image(30, 40), Camera.from_focal(40, 30, focal_px=40))
    assert estimate.normals is None
    assert estimate.confidence is not None


def test_unusable_depth_is_nan(contract_model):
    rgb = grey_image(30, 40)
    rgb[:, :10] = 0
    depth_m = Estimator(contract_model).estimate(rgb, Camera.from_focal(40, 30, focal_px=40)).depth_m
    assert np.isnan(depth_m[:, :10]).all()
    assert np.isfinite(depth_m[:, 10:]).all()


def test_upsampling_invents_no_depth_between_two_surfaces(contract_model):
    rgb = grey_image(64, 64, level=40)
    rgb[:, 32:] = 200
    estimate = Estimator(contract_model, inference_size="32x32").estimate(rgb, Camera.from_focal(64, 64, focal_px=64))
    levels = np.unique(np.round(estimate.depth_m / (METRES * 32 / 1000)))
    assert set(levels) <= {40, 200}


@pytest.mark.parametrize("width", [60, 100, 133, 160, 200, 300])
def test_edges_stay_where_they_are_when_depth_is_resized(width):
    factor, offsets = 160 / width, []
    for edge in range(width // 4, 3 * width // 4):
        depth = np.full((30, width), 1, np.float32)
        depth[:, edge:] = 5
        resized = estimator_module._resize_depth(depth, (40, 160))
        offsets.append(np.count_nonzero(resized[20] < 3) - factor * edge)
    assert abs(np.mean(offsets)) < 0.1


def test_batch_gives_each_image_its_own_focal_length(contract_model):
    images = [grey_image(30, 40, 50), grey_image(30, 40, 150)]
    cameras = [Camera.from_focal(40, 30, focal_px=100), Camera.from_focal(40, 30, focal_px=1000)]
    first, second = Estimator(contract_model).estimate_batch(images, cameras)
    np.testing.assert_allclose(first.depth_m, 50 * METRES * 0.1, rtol=1e-6)
    np.testing.assert_allclose(second.depth_m, 150 * METRES, rtol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 80), np.uint8),
        np.zeros((60, 80, 4), np.uint8),
        np.zeros((60, 80, 3), np.float32),
        np.zeros((20, 80, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_rgb_image_is_refused(contract_model, image):
    with pytest.raises(ImageError):
        Estimator(contract_model).estimate(image, Camera.from_focal(80, 60, focal_px=80))


def test_camera_of_another_size_is_refused_with_both_sizes(contract_model):
    with pytest.raises(CameraError, match=r"640x480.*80x60"):
        Estimator(contract_model).estimate(grey_image(60, 80), Camera.from_focal(640, 480, focal_px=80))


def test_warm_up_runs_and_says_how_long(contract_model):
    assert Estimator(contract_model).warm_up((60, 80)) > 0


def test_an_estimate_stays_as_it_is_while_the_next_ones_are_made(contract_model):
    estimator, camera = Estimator(contract_model), Camera.from_focal(80, 60, focal_px=80)
    estimates = [estimator.estimate(grey_image(60, 80, level), camera) for level in range(50, 60)]
    for level, estimate in zip(range(50, 60), estimates, strict=True):
        np.testing.assert_allclose(estimate.depth_m, level * METRES * 80 / 1000, rtol=1e-5)


def test_failing_provider_is_an_inference_error_that_names_a_remedy(contract_model):
    feeds = {"image": np.zeros((1, 30, 40, 4), np.uint8), "focal_length": np.ones(1, np.float32)}
    with pytest.raises(InferenceError, match="inference_size"):
        contract_model.run(feeds, outputs={"depth"})
