"""Files that others publish: padded, cropped and scaled to metres outside the graph."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

METRES = tiny_models.METRES_PER_LEVEL


def grey_image(height, width, level=100):
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_onnx_community_model_is_padded_scaled_and_cropped(tmp_path, half):
    model = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx", half=half))
    rgb = np.random.default_rng(1).integers(1, 255, (45, 70, 3), np.uint8)
    estimate = Estimator(model).estimate(rgb, Camera.from_focal(70, 45, focal_px=250))
    assert estimate.depth_m.dtype == np.float32
    np.testing.assert_allclose(estimate.depth_m, rgb.mean(axis=2) * METRES * 0.25, rtol=3e-3 if half else 1e-5)
    np.testing.assert_allclose(estimate.normals, np.broadcast_to(tiny_models.NORMAL, (45, 70, 3)))
    assert estimate.confidence is None


@pytest.mark.parametrize("image_hw", [(56, 84), (112, 168), (100, 30), (30, 100), (84, 56)])
def test_fixed_size_model_takes_any_image_and_scales_depth_with_the_resizing(tmp_path, image_hw):
    model = open_model(tiny_models.save_authors_model(tmp_path / "authors.onnx", size_hw=(56, 84)))
    height, width = image_hw
    estimate = Estimator(model).estimate(grey_image(height, width), Camera.from_focal(width, height, focal_px=500))
    scale = min(56 / height, 84 / width)
    assert estimate.depth_m.shape == image_hw
    np.testing.assert_allclose(estimate.depth_m, 100 * METRES * 500 * scale / 1000, rtol=1e-4)
    assert estimate.inference_size_hw == (round(height * scale), round(width * scale))
