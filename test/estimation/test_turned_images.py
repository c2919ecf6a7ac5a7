"""Cameras that are mounted turned: what the network sees is upright, what comes out is in the camera's own frame."""

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.geometry import turned_size

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 800.0, 810.0, 20.0, 30.0)
TURNS = (90, 180, 270)


def picture(seed=0):
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)


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
