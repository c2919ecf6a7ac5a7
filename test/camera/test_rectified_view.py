"""The pinhole view of a lens, and the way back to the camera's own pixels, on rendered rooms."""

import numpy as np
import pytest
from rendered_rooms import scene_and_pose

from metric3d_ros.camera import Camera
from metric3d_ros.camera.views.rectified_view import rectified_view
from metric3d_ros.errors import CameraError
from metric3d_ros.world.rendering.renderer import render

BARREL = Camera(200, 150, 150, 148, 103.2, 71.4, "plumb_bob", (-0.3, 0.08, 0.001, -0.002, 0))
PINCUSHION = Camera(200, 150, 150, 148, 103.2, 71.4, "plumb_bob", (0.2, 0, 0, 0))


@pytest.mark.parametrize("camera", [BARREL, PINCUSHION], ids=["barrel", "pincushion"])
def test_depth_of_the_view_is_the_cameras_depth_at_its_own_pixels(camera):
    scene, pose = scene_and_pose()
    view = rectified_view(camera)
    of_view = render(scene, pose, view.camera.rays(), samples=1)
    truth = render(scene, pose, camera.rays(), samples=1)
    depth = view.depth_to_raw(of_view.depth_m)
    known = np.isfinite(depth) & truth.valid
    assert known.sum() / truth.valid.sum() >= 1 - view.cropped_share - 0.02
    error = np.abs(depth / truth.depth_m - 1)[known]
    assert np.median(error) < 2e-3
    assert np.mean(error < 0.02) > 0.97
    between = (depth < truth.depth_m.min()) | (depth > truth.depth_m.max())
    assert not between[known].any()


def test_the_rectified_image_is_the_one_a_pinhole_camera_takes():
    scene, pose = scene_and_pose()
    view = rectified_view(BARREL)
    rectified = view.rectify(render(scene, pose, BARREL.rays()).rgb).astype(int)
    truth = render(scene, pose, view.camera.rays()).rgb.astype(int)
    assert 0.85 < view.seen.mean() < 1
    seen = view.seen
    assert np.median(np.abs(rectified - truth)[seen]) <= 3


def test_the_centre_keeps_its_resolution_and_little_is_cropped():
    view = rectified_view(BARREL, max_crop=0.05, max_pixels=4)
    assert (view.camera.fx, view.camera.fy) == (150, 148)
    assert view.cropped_share <= 0.05
    small = rectified_view(BARREL, max_crop=0.02, max_pixels=1.0)
    # Up to the next multiple of 32.
    assert (small.camera.width - 32) * (small.camera.height - 32) <= 200 * 150
    assert (small.camera.width % 32, small.camera.height % 32) == (0, 0)
    assert small.camera.fx < 150


def test_normals_and_confidence_come_back_and_what_is_not_seen_is_not_known():
    view = rectified_view(BARREL, max_crop=0.2)
    size = view.camera.size_hw
    normals = np.broadcast_to(np.float32([0, 0, -1]), (*size, 3)).copy()
    back = view.normals_to_raw(normals)
    assert back.shape == (150, 200, 3)
    np.testing.assert_array_equal(back[75, 100], [0, 0, -1])
    assert np.isnan(back[0, 0]).all()
    confidence = view.confidence_to_raw(np.full(size, 0.5, np.float32))
    assert confidence[75, 100] == 0.5
    assert confidence[0, 0] == 0


def test_an_invalid_pixel_stays_one_pixel_and_spreads_no_further():
    view = rectified_view(BARREL)
    depth = np.full(view.camera.size_hw, 2, np.float32)
    depth[view.camera.height // 2, view.camera.width // 2] = np.nan
    back = view.depth_to_raw(depth)
    middle = back[60:90, 80:120]
    assert 1 <= np.isnan(middle).sum() <= 2


def test_a_perfect_lens_is_its_own_view():
    camera = Camera(200, 150, 150, 148, 103.2, 71.4)
    view = rectified_view(camera, max_crop=0.0)
    depth = np.random.default_rng(0).uniform(1, 1.01, view.camera.size_hw).astype(np.float32)
    assert np.isfinite(view.depth_to_raw(depth)).mean() > 0.97


def test_a_lens_too_wide_for_one_view_is_refused():
    camera = Camera(320, 320, 110, 110, 159.5, 159.5, "equidistant", (1e-6, 0, 0, 0))
    with pytest.raises(CameraError, match="leave `outputs_in` raw"):
        rectified_view(camera)


@pytest.mark.parametrize("width", [320, 361, 403])
def test_where_there_is_depth_there_is_confidence(width):
    view = rectified_view(Camera(width, 240, 300, 300, width / 2 - 0.5, 119.5, "plumb_bob", (0.05, 0, 0, 0)))
    has_depth = np.isfinite(view.depth_to_raw(np.full(view.camera.size_hw, 2, np.float32)))
    confidence = view.confidence_to_raw(np.full(view.camera.size_hw, 0.5, np.float32))
    np.testing.assert_allclose(confidence, np.where(has_depth, 0.5, 0))
