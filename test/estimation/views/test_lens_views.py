"""Images of lenses through a stub network: which are shown as pinhole views, and what comes back at their pixels."""

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.camera.views.fisheye_views import FisheyeViews
from metric3d_ros.camera.views.rectified_view import RectifiedView
from metric3d_ros.errors import CameraError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.views.lens_views import choose_views

BARREL = Camera(200, 150, 150, 148, 103.2, 71.4, "plumb_bob", (-0.3, 0.08, 0.001, -0.002, 0))
MILD = Camera(200, 150, 150, 148, 103.2, 71.4, "plumb_bob", (-0.01, 0, 0, 0, 0))
PINHOLE = Camera(200, 150, 150, 148, 103.2, 71.4)
FISHEYE = Camera(200, 150, 64, 64, 98.2, 76.1, "equidistant", (0.01, 0, 0, 0))
FOLDED = Camera(200, 150, 150, 150, 5000, 75, "plumb_bob", (-0.3, 0, 0, 0, 0))


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    path = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return Estimator(open_model(str(path), provider="cpu", threads=1))


def metres(level, focal_px):
    return level * tiny_models.METRES_PER_LEVEL * focal_px / 1000


def grey(level):
    return np.full((150, 200, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("camera", "rectify", "kind"),
    [
        (BARREL, "auto", RectifiedView),
        (BARREL, "off", type(None)),
        (MILD, "auto", type(None)),
        (MILD, "on", RectifiedView),
        (PINHOLE, "on", type(None)),
        (FISHEYE, "auto", FisheyeViews),
        (FISHEYE, "off", type(None)),
        (FOLDED, "auto", type(None)),
    ],
)
def test_lenses_that_bend_or_see_widely_get_views(camera, rectify, kind):
    assert isinstance(choose_views(camera, rectify), kind)


def test_a_lens_model_that_cannot_be_used_is_refused_only_if_asked_for():
    with pytest.raises(CameraError, match="no pixel a ray"):
        choose_views(FOLDED, "on")


def test_depth_comes_back_to_the_images_own_pixels(estimator):
    image = grey(80)
    image[:, 103:] = 160  # an edge through the principal point stays straight
    estimate = estimator.estimate(image, BARREL)
    assert estimate.camera == BARREL
    assert estimate.depth_m.shape == (150, 200)
    near, far = metres(80, 149), metres(160, 149)
    np.testing.assert_allclose(estimate.depth_m[60:90, 20:100], near, rtol=1e-4)
    np.testing.assert_allclose(estimate.depth_m[60:90, 107:180], far, rtol=1e-4)
    known = np.isfinite(estimate.depth_m)
    assert known.mean() > 0.95
    np.testing.assert_array_equal(np.isnan(estimate.normals[..., 2]), ~known)
    assert not estimate.confidence[~known].any()
    np.testing.assert_allclose(estimate.confidence[known].max(), tiny_models.CONFIDENCE)
    assert {"prepare", "infer", "finish"} <= set(estimate.timings_ms)


def test_a_fisheye_gives_range_also_beyond_90_degrees(estimator):
    estimate = estimator.estimate(grey(100), FISHEYE)
    views = choose_views(FISHEYE, "auto")
    assert estimate.camera.along_rays
    rays = estimate.camera.rays()
    known = np.isfinite(estimate.depth_m)
    assert (rays[..., 2][known] < 0).any()
    # The stub sees a wall at one distance in every view: a box around the camera.
    wall = metres(100, views.view_camera.fx)
    assert estimate.depth_m[76, 98] == pytest.approx(wall, rel=1e-3)
    cosines = np.stack([rays[76] @ rotation[:, 2].astype(np.float32) for rotation in views.rotations])
    # The outermost pixels blend with the black around the image.
    inner = known[76] & (np.abs(np.arange(200) - 100) < 98)
    nearest = estimate.depth_m[76] * cosines.max(axis=0)
    alone = inner & (np.abs(np.degrees(np.arctan2(rays[76, :, 0], rays[76, :, 2])) - 50) > 40)  # no two views see it
    alone &= np.abs(np.degrees(np.arctan2(rays[76, :, 0], rays[76, :, 2])) + 50) > 40
    np.testing.assert_allclose(nearest[alone], wall, rtol=0.01)
    assert alone.sum() > 20
    assert (nearest[inner] > 0.99 * wall).all(), "blended from the faces of the box, each as far or farther"
    assert (nearest[inner] < 1.3 * wall).all()
    np.testing.assert_allclose(np.linalg.norm(estimate.normals[known], axis=1), 1, rtol=1e-5)


def test_a_batch_of_several_lenses_is_as_one_by_one(estimator):
    rng = np.random.default_rng(0)
    cameras = [BARREL, PINHOLE, FISHEYE, BARREL]
    images = [rng.integers(1, 256, (150, 200, 3), np.uint8) for _ in cameras]
    together = estimator.estimate_batch(images, cameras, rotate_deg=90)
    for image, camera, result in zip(images, cameras, together, strict=True):
        alone = estimator.estimate_batch([image], [camera], rotate_deg=90)[0]
        np.testing.assert_allclose(result.depth_m, alone.depth_m, rtol=1e-5)
        np.testing.assert_allclose(result.normals, alone.normals, atol=1e-5)
        assert result.camera == alone.camera


def test_without_rectification_the_network_sees_the_image_itself(estimator):
    image = np.random.default_rng(0).integers(1, 256, (150, 200, 3), np.uint8)
    raw = estimator.estimate(image, BARREL, rectify="off")
    np.testing.assert_array_equal(raw.depth_m, estimator.estimate(image, PINHOLE).depth_m)
