"""Camera: intrinsics from camera_info, scaling and cropping, rays and projection with and without distortion."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError

PLUMB_BOB = (-0.28, 0.07, 0.0002, 0.00002, 0.01)
RATIONAL = (0.5, 0.1, 0.0001, -0.0002, 0.01, 0.8, 0.2, 0.03)
TILTED_THIN_PRISM = (*RATIONAL, 0.001, -0.0005, 0.002, 0.0003, 0.02, -0.03)
EQUIDISTANT = (-0.02, 0.005, -0.002, 0.0003)


def camera_info(**changes):
    fields = {
        "width": 640,
        "height": 480,
        "k": [500.0, 0, 310.0, 0, 510.0, 250.0, 0, 0, 1],
        "d": [],
        "p": [450.0, 0, 300.0, 0, 0, 460.0, 240.0, 0, 0, 0, 1, 0],
        "distortion_model": "plumb_bob",
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_raw_image_takes_k_and_d():
    camera = Camera.from_camera_info(camera_info(d=list(PLUMB_BOB)))
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 310, 250)
    assert camera.distortion == PLUMB_BOB
    assert camera.size_hw == (480, 640)
    assert camera.focal_px == 505


def test_rectified_image_takes_p_and_no_distortion():
    camera = Camera.from_camera_info(camera_info(d=list(PLUMB_BOB)), rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (450, 460, 300, 240)
    assert camera.distortion == ()


def test_rectified_image_falls_back_to_k_where_p_is_not_given():
    camera = Camera.from_camera_info(camera_info(p=[0.0] * 12), rectified=True)
    assert camera.fx == 500


def test_region_of_interest_and_binning_are_applied():
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=400, height=200)
    camera = Camera.from_camera_info(camera_info(roi=roi, binning_x=2, binning_y=4))
    assert camera.size_hw == (50, 200)
    assert (camera.fx, camera.fy) == (250, 127.5)
    assert (camera.cx, camera.cy) == (105, 47.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": [0.0] * 9}, "uncalibrated"),
        ({"k": [math.nan] * 9}, "finite"),
        ({"k": [-500.0, 0, 310.0, 0, 510.0, 250.0, 0, 0, 1]}, "focal length"),
        ({"k": [1e-30, 0, 310.0, 0, 510.0, 250.0, 0, 0, 1]}, "which no lens has"),
        ({"k": [500.0, 0, 310.0, 0, 1e30, 250.0, 0, 0, 1]}, "which no lens has"),
        ({"k": [500.0, 0, -1e30, 0, 510.0, 250.0, 0, 0, 1]}, "which no lens has"),
        ({"width": 0}, "calibrated size"),
        ({"roi": SimpleNamespace(x_offset=600, y_offset=0, width=100, height=480)}, "region of interest"),
        ({"d": [0.1, 0.2, 0.3]}, "coefficients"),
        ({"d": [0.1, 0.2, 0.3, 0.4], "distortion_model": "thin_prism"}, "not known"),
    ],
)
def test_impossible_camera_info_is_refused_with_the_reason(changes, words):
    with pytest.raises(CameraError, match=words):
        Camera.from_camera_info(camera_info(**changes))


def test_uncalibrated_camera_names_the_remedy():
    with pytest.raises(CameraError, match="hfov_deg"):
        Camera.from_camera_info(camera_info(k=[0.0] * 9))


def test_field_of_view_and_focal_length_agree():
    camera = Camera.from_hfov(640, 480, hfov_deg=90)
    assert camera.fx == pytest.approx(320)
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    assert camera.hfov_deg == pytest.approx(90)


@pytest.mark.parametrize("hfov_deg", [0, 180, -5, math.nan])
def test_impossible_field_of_view_is_refused(hfov_deg):
    with pytest.raises(CameraError):
        Camera.from_hfov(640, 480, hfov_deg=hfov_deg)


def test_ray_of_a_pinhole_by_hand():
    camera = Camera(6, 4, 2.0, 4.0, 1.0, 3.0)
    np.testing.assert_allclose(camera.rays()[2, 5], [2.0, -0.25, 1.0])
    np.testing.assert_allclose(camera.rays()[3, 1], [0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("", ()),
        ("plumb_bob", PLUMB_BOB),
        ("rational_polynomial", RATIONAL),
        ("rational_polynomial", TILTED_THIN_PRISM),
        ("equidistant", EQUIDISTANT),
    ],
)
def test_projection_of_a_ray_gives_its_pixel_back(model, distortion):
    camera = Camera(97, 61, 70.0, 72.0, 40.0, 33.0, model, distortion)
    rays = camera.rays()
    v, u = np.mgrid[0:61, 0:97]
    seen = np.isfinite(rays).all(axis=-1)
    assert seen.mean() > 0.99
    depth_m = 0.3 + u / 10
    pixels = camera.project(rays * depth_m[..., None])
    np.testing.assert_allclose(pixels[seen], np.stack([u, v], axis=-1)[seen], atol=1e-3)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", PLUMB_BOB),
        ("rational_polynomial", RATIONAL),
        ("rational_polynomial", TILTED_THIN_PRISM),
        ("equidistant", EQUIDISTANT),
    ],
)
def test_projection_agrees_with_opencv(model, distortion):
    camera = Camera(97, 61, 70.0, 72.0, 40.0, 33.0, model, distortion)
    points = np.random.default_rng(3).uniform((-0.6, -0.4, 1), (0.6, 0.4, 2), (50, 3))
    project = cv2.fisheye.projectPoints if camera.is_fisheye else cv2.projectPoints
    rotation = translation = np.zeros((3, 1))
    expected = project(points[:, None], rotation, translation, camera.matrix, np.array(distortion))[0]
    np.testing.assert_allclose(camera.project(points), expected.reshape(-1, 2), atol=1e-6)


def test_fisheye_pixel_beyond_ninety_degrees_has_no_ray():
    camera = Camera(401, 401, 100.0, 100.0, 200.0, 200.0, "equidistant", (0.0, 0.0, 0.0, 1e-6))
    rays = camera.rays()
    assert np.isnan(rays[200, 0]).all()
    assert np.isfinite(rays[200, 100]).all()
    # 100 px off the axis at 100 px per radian is one radian.
    assert rays[200, 300, 0] == pytest.approx(math.tan(1), rel=1e-4)


def test_pixel_without_a_preimage_has_no_ray():
    strong = Camera(200, 200, 100.0, 100.0, 99.5, 99.5, "plumb_bob", (-0.6, 0.0, 0.0, 0.0))
    rays = strong.rays()
    assert np.isnan(rays[0, 0]).all()
    assert np.isfinite(rays[99, 99]).all()


def test_point_behind_the_camera_has_no_pixel():
    camera = Camera.from_focal(20, 10, focal_px=10)
    assert np.isnan(camera.project([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])).all()


def test_scaling_keeps_what_a_pixel_corner_sees():
    camera = Camera(640, 480, 500.0, 510.0, 310.0, 250.0)
    half = camera.scaled(320, 240)
    # The image's outer corner lies half a pixel outside the first pixel's centre.
    assert (-0.5 - half.cx) / half.fx == pytest.approx((-0.5 - camera.cx) / camera.fx)
    assert (319.5 - half.cx) / half.fx == pytest.approx((639.5 - camera.cx) / camera.fx)
    back = half.scaled(640, 480)
    assert (back.fx, back.fy, back.cx, back.cy) == pytest.approx((500, 510, 310, 250))


def test_cropping_moves_the_principal_point():
    camera = Camera(640, 480, 500.0, 510.0, 310.0, 250.0).cropped(10, 20, 100, 80)
    assert (camera.width, camera.height, camera.cx, camera.cy) == (100, 80, 300, 230)


def test_all_zero_coefficients_of_a_polynomial_lens_mean_no_distortion():
    assert Camera(4, 4, 1.0, 1.0, 0.0, 0.0, "anything", (0.0,) * 5).distortion == ()


def test_rays_are_computed_once_and_read_only():
    camera = Camera.from_focal(20, 10, focal_px=10)
    assert camera.rays() is Camera.from_focal(20, 10, focal_px=10).rays()
    with pytest.raises(ValueError, match="read-only"):
        camera.rays()[0, 0, 0] = 1


@pytest.mark.parametrize("distortion", [(), (-0.3, 0.1, 0.001, -0.002), (5.0, 0.0, 0.0, 0.0)])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_planes_of_rays_are_the_rays(distortion, stride):
    camera = Camera(33, 21, 30.0, 31.0, 15.5, 9.0, "plumb_bob" if distortion else "", distortion)
    planes = np.broadcast_arrays(*camera.ray_planes(stride=stride), np.empty((-(-21 // stride), -(-33 // stride))))
    np.testing.assert_array_equal(np.dstack(planes[:3]), camera.rays()[::stride, ::stride])
    with pytest.raises(ValueError, match="read-only"):
        camera.ray_planes(stride=stride)[0][0, 0] = 1
