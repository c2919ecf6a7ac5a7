"""Depth becomes points, against hand numbers, projections and the points of all rows."""

import numpy as np
import pytest
from planes_and_lenses import LENSES, PINHOLE, name_of

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError
from metric3d_ros.geometry import (
    depth_to_points,
    depth_to_scan,
    filter_depth,
    normals_from_depth,
)

NAN, INF = np.nan, np.inf


def test_points_by_hand():
    camera = Camera(5, 3, 2.0, 4.0, 1.0, 0.5)
    depth = np.full((3, 5), 8.0, np.float32)
    points = depth_to_points(depth, camera)
    assert points.dtype == np.float32
    # u = 3, v = 1: x = (3 - 1) / 2 * 8, y = (1 - 0.5) / 4 * 8.
    assert points[1, 3].tolist() == [8.0, 1.0, 8.0]
    assert points[0, 1].tolist() == [0.0, -1.0, 8.0]


@pytest.mark.parametrize("camera", LENSES, ids=name_of)
def test_points_project_back_to_their_pixels(camera):
    depth = np.random.default_rng(3).uniform(0.3, 80, camera.size_hw).astype(np.float32)
    pixels = camera.project(depth_to_points(depth, camera))
    expected = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    seen = np.isfinite(camera.rays()[..., 0])
    assert seen.mean() > 0.9
    assert np.abs(pixels - expected)[seen].max() < 1e-3


def test_points_of_unusable_depth_are_nan_in_all_three():
    depth = np.full((61, 97), 2.0, np.float32)
    depth[0, :5] = [NAN, INF, -INF, 0.0, -1.0]
    points = depth_to_points(depth, PINHOLE)
    assert np.isnan(points[0, :5]).all()
    assert np.isfinite(points[0, 5:]).all()
    assert np.isfinite(points[1:]).all()


def test_pixels_without_a_ray_have_no_point():
    camera = Camera(200, 20, 40.0, 40.0, 100.0, 10.0, "equidistant", (0.0, 0.0, 0.0, 0.001))
    points = depth_to_points(np.ones((20, 200), np.float32), camera)
    blind = np.isnan(camera.rays()[..., 0])
    assert 0 < blind.sum() < blind.size
    np.testing.assert_array_equal(np.isnan(points), np.repeat(blind[..., None], 3, axis=2))


@pytest.mark.parametrize("stride", [2, 3, 100])
def test_stride_takes_every_nth_point_from_the_first(stride):
    depth = np.random.default_rng(4).uniform(1, 9, PINHOLE.size_hw).astype(np.float32)
    every = depth_to_points(depth, PINHOLE)
    np.testing.assert_array_equal(depth_to_points(depth, PINHOLE, stride=stride), every[::stride, ::stride])


def test_the_input_is_left_alone():
    depth = np.array([[1.0, NAN], [0.0, 4.0]], np.float32)
    before = depth.copy()
    camera = Camera(2, 2, 1.0, 1.0, 0.5, 0.5)
    depth_to_points(depth, camera)
    normals_from_depth(depth, camera)
    filter_depth(depth, max_depth_m=2, max_jump=0.1)
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize("work", [depth_to_points, normals_from_depth, depth_to_scan])
def test_depth_of_another_size_than_the_cameras_is_refused(work):
    with pytest.raises(CameraError, match=r"\(97, 61\), its camera has \(61, 97\)"):
        work(np.ones((97, 61), np.float32), PINHOLE)


@pytest.mark.parametrize("stride", [1, 3])
def test_points_are_written_where_the_caller_wants_them(stride):
    camera = Camera(7, 5, 20.0, 21.0, 2.5, 2.0)
    depth_m = np.linspace(1, 4, 35, dtype=np.float32).reshape(5, 7)
    depth_m[0, 3] = np.nan
    expected = depth_to_points(depth_m, camera, stride=stride)
    records = np.full((*expected.shape[:2], 7), -1, np.float32)
    depth_to_points(depth_m, camera, stride=stride, out=records[..., :3])
    np.testing.assert_array_equal(records[..., :3], expected)
    assert (records[..., 3:] == -1).all()


@pytest.mark.parametrize("distortion", [(), (-0.3, 0.1, 0.001, -0.002)])
@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(2, None)])
def test_some_rows_of_points_are_those_rows_of_all(rows, distortion):
    camera = Camera(7, 10, 20.0, 21.0, 2.5, 2.0, "plumb_bob" if distortion else "", distortion)
    depth_m = np.linspace(1, 4, 70, dtype=np.float32).reshape(10, 7)
    expected = depth_to_points(depth_m, camera, stride=3)
    np.testing.assert_array_equal(depth_to_points(depth_m, camera, stride=3, rows=rows), expected[rows])
