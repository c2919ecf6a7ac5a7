"""A fisheye split into pinhole views and merged again, on a rendered room."""

import math

import numpy as np
import pytest
from rendered_rooms import scene_and_pose

from metric3d_ros.camera import Camera
from metric3d_ros.camera.views.fisheye_views import FisheyeViews, field_of_view_deg, fisheye_views
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import Pose

WIDTH, HEIGHT = 256, 192
FISHEYE = Camera(WIDTH, HEIGHT, WIDTH / math.pi, WIDTH / math.pi, 126.3, 96.8, "equidistant", (1e-6, 0, 0, 0))
WIDE = FISHEYE.measured_along_rays()


def true_depths(views, scene, pose):
    depths = []
    for rotation in views.rotations:
        turned = Pose((pose.rotation @ rotation).astype(np.float32), pose.position)
        depths.append(render(scene, turned, views.view_camera.rays(), samples=1).depth_m)
    return depths


def true_range(scene, pose):
    rays = WIDE.rays()
    ahead = np.where(rays[..., 2:] > 0.02, rays, np.float32(np.nan))
    return render(scene, pose, ahead, samples=1).depth_m / rays[..., 2]


def test_rays_of_a_fisheye_reach_beyond_90_degrees_and_project_back():
    rays = WIDE.rays()
    known = np.isfinite(rays[..., 0])
    assert rays[..., 2][known].min() < -0.1
    np.testing.assert_allclose(np.linalg.norm(rays[known], axis=1), 1, atol=1e-6)
    v, u = np.nonzero(known)
    pixels = WIDE.project(rays[known])
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=1), atol=1e-3)
    assert field_of_view_deg(FISHEYE) == pytest.approx(180, abs=4)
    assert np.isnan(WIDE.project([0, 0.05, -1.0])).all()


def test_rays_in_front_are_the_cameras_own():
    narrow = Camera(160, 120, 90, 90, 80, 60, "equidistant", (0.02, -0.01, 0.003, 0))
    own = narrow.rays() / np.linalg.norm(narrow.rays(), axis=2, keepdims=True)
    np.testing.assert_allclose(narrow.measured_along_rays().rays(), own, atol=1e-5)


def test_true_depth_of_the_views_is_merged_into_the_true_range_without_seams():
    scene, pose = scene_and_pose()
    views = fisheye_views(FISHEYE, size_px=160)
    merged = views.merge(true_depths(views, scene, pose))
    truth = true_range(scene, pose)
    both = np.isfinite(truth) & np.isfinite(merged.range_m)
    assert both.sum() > 0.99 * np.isfinite(truth).sum()
    error = np.abs(merged.range_m / truth - 1)[both]
    assert np.median(error) < 4e-3
    assert np.mean(error < 0.03) > 0.95
    assert merged.scales == pytest.approx([1] * 5, abs=0.01)


def test_views_of_different_scales_are_brought_in_line_with_the_one_ahead():
    scene, pose = scene_and_pose()
    views = fisheye_views(FISHEYE, size_px=160)
    wrong = [1.0, 1.2, 0.85, 1.1, 0.9]
    depths = [depth * np.float32(scale) for depth, scale in zip(true_depths(views, scene, pose), wrong, strict=True)]
    merged = views.merge(depths)
    np.testing.assert_allclose(np.multiply(merged.scales, wrong), 1, atol=0.02)
    truth = true_range(scene, pose)
    assert np.nanmedian(np.abs(merged.range_m / truth - 1)) < 0.01


def test_ranges_go_on_beyond_90_degrees():
    views = fisheye_views(FISHEYE, size_px=160)
    size = views.view_camera.size_hw
    rays = views.view_camera.rays()
    sphere = (3 / np.linalg.norm(rays, axis=2)).astype(np.float32)
    assert sphere.shape == size
    merged = views.merge([sphere] * 5)
    directions = WIDE.rays()
    seen = np.isfinite(merged.range_m)
    assert (directions[..., 2][seen] < 0).any()
    np.testing.assert_allclose(merged.range_m[seen], 3, rtol=0.01)


def test_views_that_see_nothing_leave_their_pixels_unknown():
    views = fisheye_views(FISHEYE, size_px=160)
    nothing = np.full(views.view_camera.size_hw, np.nan, np.float32)
    assert np.isnan(views.merge([nothing] * 5).range_m).all()
    one = views.merge([np.full(nothing.shape, 2, np.float32), *[nothing] * 4])
    assert one.range_m[97, 126] == pytest.approx(2, rel=1e-3)
    with pytest.raises(CameraError, match="expected one for each of 5 views"):
        views.merge([nothing])


def test_confidence_is_blended_and_normals_are_turned_into_the_cameras_frame():
    views = fisheye_views(FISHEYE, size_px=160)
    size = views.view_camera.size_hw
    normal = np.float32([0.6, 0, -0.8])
    merged = views.merge(
        [np.full(size, 2, np.float32)] * 5,
        confidences=[np.full(size, 0.5, np.float32)] * 5,
        normals=[np.broadcast_to(rotation.T.astype(np.float32) @ normal, (*size, 3)) for rotation in views.rotations],
    )
    seen = np.isfinite(merged.range_m)
    np.testing.assert_allclose(merged.normals[seen], np.broadcast_to(normal, (seen.sum(), 3)), atol=1e-6)
    np.testing.assert_allclose(merged.confidence[seen], 0.5, atol=1e-6)
    assert np.isnan(merged.normals[~seen]).all()
    assert not merged.confidence[~seen].any()


def test_views_that_would_see_nothing_of_their_own_are_left_out():
    narrow = Camera(300, 120, 120, 120, 150, 60, "equidistant", (1e-6, 0, 0, 0))  # 143 x 57 degrees
    views = fisheye_views(narrow, size_px=112)
    assert [round(float(rotation[0, 2]), 2) for rotation in views.rotations] == [0, 0.87, -0.87]


def test_a_camera_whose_image_lies_far_off_its_axis_has_only_the_views_that_see_it():
    """The principal point is a whole image's width to the left, as in a crop or in a camera_info that is wrong."""
    views = FisheyeViews(Camera(64, 48, 20.0, 20.0, -22.0, 24.0, "equidistant", (0.0, 0.0, 0.0, 0.0)), size_px=84)
    merged = views.merge([np.full((84, 84), 2.0, np.float32) for _ in views.rotations])
    assert 0.1 < np.isfinite(merged.range_m).mean() < 0.9


def test_views_are_as_fine_as_the_image_ahead_or_bounded_together():
    assert fisheye_views(FISHEYE, max_pixels=100).view_camera.width == 192  # 2 * 81.5 * tan(48 degrees) = 181
    assert fisheye_views(FISHEYE, max_pixels=1.5).view_camera.width == 128  # sqrt(1.5 * 256 * 192 / 5) = 121


def test_the_image_is_split_into_what_pinhole_cameras_would_take():
    scene, pose = scene_and_pose()
    rays = WIDE.rays()
    image = render(scene, pose, np.where(rays[..., 2:] > 0.02, rays, np.float32(np.nan))).rgb
    views = fisheye_views(FISHEYE, size_px=96)
    split = views.split(image)
    ahead = render(scene, pose, views.view_camera.rays()).rgb
    assert [each.shape for each in split] == [(96, 96, 3)] * 5
    assert np.median(np.abs(split[0].astype(int) - ahead)) <= 8


def test_wrong_input_is_refused():
    with pytest.raises(ConfigurationError, match="at least 28"):
        fisheye_views(FISHEYE, size_px=10)
    assert isinstance(fisheye_views(FISHEYE, size_px=96), FisheyeViews)
