"""An estimate as Open3D, Pillow and NumPy have it: the same numbers, and the same memory if possible."""

import sys

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError, DataError, ImageError
from metric3d_ros.estimation.estimator import Estimate

WIDTH, HEIGHT = 5, 4
CAMERA = Camera(WIDTH, HEIGHT, 10.0, 20.0, 1.0, 2.0)


@pytest.fixture
def rgb():
    return np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)


@pytest.fixture
def estimate():
    """Depth of 1 to 20 m, with one pixel invalid, too far for 16 bits another."""
    depth_m = np.arange(1, HEIGHT * WIDTH + 1, dtype=np.float32).reshape(HEIGHT, WIDTH)
    depth_m[1, 2], depth_m[3, 4] = np.nan, 70.0
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[..., 2] = -1
    return Estimate(depth_m, None, normals, CAMERA, (HEIGHT, WIDTH), {})


def test_points_are_worked_out_by_hand(estimate):
    points = estimate.points()
    assert points.shape == (HEIGHT, WIDTH, 3)
    # Row 3, column 3: depth 19 m, x = (3 - 1) / 10 z, y = (3 - 2) / 20 z.
    np.testing.assert_allclose(points[3, 3], [3.8, 0.95, 19.0], rtol=1e-6)
    assert np.isnan(points[1, 2]).all()
    assert estimate.points(stride=2).shape == (2, 3, 3)


def test_numpy_gets_the_arrays_themselves(estimate):
    arrays = estimate.to_numpy()
    assert list(arrays) == ["depth_m", "normals"]
    assert arrays["depth_m"] is estimate.depth_m
    assert arrays["normals"] is estimate.normals


def test_pillow_gets_colours_metres_and_millimetres(estimate):
    colours = estimate.to_pil()
    assert (colours.mode, colours.size) == ("RGB", (WIDTH, HEIGHT))
    red, _, blue = colours.getpixel((0, 0))
    assert red > blue, "near is warm"
    metres = estimate.to_pil("metres")
    assert metres.mode == "F"
    np.testing.assert_array_equal(np.asarray(metres), estimate.depth_m)
    millimetres = np.asarray(estimate.to_pil("millimetres"))
    assert millimetres.dtype == np.uint16
    assert (millimetres[0, 0], millimetres[1, 2], millimetres[3, 4]) == (1000, 0, 0)
    with pytest.raises(ConfigurationError, match="expected colours, metres or millimetres"):
        estimate.to_pil("feet")


def test_an_estimate_without_valid_depth_has_a_picture(estimate):
    estimate.depth_m[:] = np.nan
    assert estimate.to_pil().size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("module", "call"), [("PIL", "to_pil"), ("open3d", "to_open3d_cloud")])
def test_a_library_that_is_missing_is_named(estimate, monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match="pip install"):
        getattr(estimate, call)()


def test_a_lens_is_refused_for_rgbd(estimate, rgb):
    bent = Camera(WIDTH, HEIGHT, 10.0, 20.0, 1.0, 2.0, "plumb_bob", (0.1, 0.0, 0.0, 0.0, 0.0))
    for camera in (bent, CAMERA.measured_along_rays()):
        other = Estimate(estimate.depth_m, None, None, camera, (HEIGHT, WIDTH), {})
        with pytest.raises(CameraError, match="use to_open3d_cloud"):
            other.to_open3d_rgbd(rgb)


def test_open3d_gets_the_valid_points_with_colours_and_normals(estimate, rgb):
    pytest.importorskip("open3d", reason="Open3D is not installed: pip install 'metric3d_ros[open3d]'")
    cloud = estimate.to_open3d_cloud(rgb)
    valid = np.isfinite(estimate.depth_m)
    np.testing.assert_array_equal(cloud.point.positions.numpy(), estimate.points()[valid])
    np.testing.assert_array_equal(cloud.point.colors.numpy(), rgb[valid])
    np.testing.assert_array_equal(cloud.point.normals.numpy(), estimate.normals[valid])
    legacy = cloud.to_legacy()
    assert len(legacy.points) == valid.sum()
    np.testing.assert_allclose(np.asarray(legacy.colors)[0], rgb[0, 0] / 255)
    assert len(estimate.to_open3d_cloud(stride=2).point.positions) == 6
    with pytest.raises(ImageError, match=r"expected uint8 \(4, 5, 3\)"):
        estimate.to_open3d_cloud(rgb[1:])


def test_open3d_makes_the_same_points_of_its_rgbd_image(estimate, rgb):
    open3d = pytest.importorskip("open3d", reason="Open3D is not installed: pip install 'metric3d_ros[open3d]'")
    rgbd, intrinsics = estimate.to_open3d_rgbd(rgb)
    cloud = open3d.t.geometry.PointCloud.create_from_rgbd_image(rgbd, intrinsics, depth_scale=1.0, depth_max=100.0)
    valid = np.isfinite(estimate.depth_m)
    np.testing.assert_allclose(cloud.point.positions.numpy(), estimate.points()[valid], rtol=1e-5)


def test_open3d_shares_the_memory_of_images_that_are_valid_everywhere(estimate, rgb):
    pytest.importorskip("open3d", reason="Open3D is not installed: pip install 'metric3d_ros[open3d]'")
    estimate.depth_m[1, 2] = 9.0
    rgbd, _ = estimate.to_open3d_rgbd(rgb)
    estimate.depth_m[0, 0], rgb[0, 0, 0] = 1234.0, 99
    assert rgbd.depth.as_tensor().numpy()[0, 0, 0] == 1234.0
    assert rgbd.color.as_tensor().numpy()[0, 0, 0] == 99
