"""Laser scans of depth, against their definition and REP 117."""

import math

import numpy as np
import pytest
from planes_and_lenses import PINHOLE, depth_of_plane, unit

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry import (
    depth_to_scan,
)

NAN, INF = np.nan, np.inf


def slow_scan(depth, camera, scan, *, rows, min_range_m, max_range_m):
    """Return the ranges by the definition: for every direction the nearest pixel that rounds to it."""
    result = np.full(len(scan.ranges_m), NAN)
    for v in rows:
        for u in range(camera.width):
            x, _, z = camera.rays()[v, u] * depth[v, u]
            if np.isnan(z) or z <= 0:
                continue
            distance = math.hypot(x, z)
            distance = INF if distance > max_range_m else -INF if distance < min_range_m else distance
            angle = math.atan2(-camera.rays()[v, u, 0], 1)
            i = round((angle - scan.angle_min_rad) / scan.angle_increment_rad)
            result[i] = np.fmin(result[i], distance)
    return result


def test_a_scan_through_a_lens_that_gives_no_two_neighbours_a_ray_is_refused(monkeypatch):
    rays = np.ones((PINHOLE.height, PINHOLE.width, 3), np.float32)
    rays[:, ::2] = NAN
    monkeypatch.setattr(Camera, "rays", lambda self: rays)
    with pytest.raises(CameraError, match=r"only 480 of the scan's 970 pixels a ray"):
        depth_to_scan(np.full(PINHOLE.size_hw, 2.0, np.float32), PINHOLE)


def test_a_scan_agrees_with_its_definition():
    depth = np.random.default_rng(6).uniform(0.2, 14, PINHOLE.size_hw).astype(np.float32)
    depth[33:36, 20:30] = NAN
    limits = {"min_range_m": 0.5, "max_range_m": 10.0}
    scan = depth_to_scan(depth, PINHOLE, band_px=3, **limits)
    assert scan.ranges_m.dtype == np.float32
    expected = slow_scan(depth, PINHOLE, scan, rows=[33, 34, 35], **limits)
    np.testing.assert_allclose(scan.ranges_m, expected, rtol=1e-5)


@pytest.mark.parametrize("hfov_deg", [30, 90, 140])
def test_a_wall_is_straight_and_without_gaps(hfov_deg):
    camera = Camera.from_hfov(320, 20, hfov_deg=hfov_deg)
    scan = depth_to_scan(np.full((20, 320), 2.0, np.float32), camera, max_range_m=100.0)
    angles = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m))
    assert len(angles) <= 320
    # A pixel may lie half an increment away from the angle that it is counted for.
    tolerance = np.tan(np.abs(angles) + scan.angle_increment_rad / 2) * scan.angle_increment_rad / 2 + 1e-4
    assert (np.abs(scan.ranges_m * np.cos(angles) / 2.0 - 1) <= tolerance).all()


def test_what_is_on_the_left_has_a_positive_angle():
    depth = np.full((61, 97), 8.0, np.float32)
    depth[:, :10] = 1.0
    scan = depth_to_scan(depth, PINHOLE)
    assert scan.angle_min_rad < 0
    assert scan.ranges_m[-1] < 2
    assert scan.ranges_m[0] > 8
    # The first column is (0 - 41.3) / 80 to the left, the last (96 - 41.3) / 80 to the right.
    assert math.isclose(scan.angle_min_rad, -math.atan(54.7 / 80), rel_tol=1e-6)
    last = scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges_m) - 1)
    assert abs(last - math.atan(41.3 / 80)) <= scan.angle_increment_rad / 2


@pytest.mark.parametrize(
    ("depth_m", "expected"), [(5.0, 5.0), (INF, INF), (50.0, INF), (0.1, -INF), (NAN, NAN), (0.0, NAN), (-INF, NAN)]
)
def test_near_far_and_unknown_follow_rep_117(depth_m, expected):
    camera = Camera(3, 3, 1000.0, 1000.0, 1.0, 1.0)
    scan = depth_to_scan(np.full((3, 3), depth_m, np.float32), camera, band_px=1)
    np.testing.assert_allclose(scan.ranges_m, expected, rtol=1e-5)


def test_the_nearest_of_the_band_counts():
    depth = np.full((61, 97), 6.0, np.float32)
    depth[36] = 3.0
    camera = PINHOLE
    # Rows round(33.7 - 2) = 32 to 36, then 32 to 35.
    assert depth_to_scan(depth, camera, band_px=5).ranges_m.min() < 3.5
    assert depth_to_scan(depth, camera, band_px=4).ranges_m.min() > 5.9


def test_things_far_above_or_below_the_plane_are_ignored():
    floor = depth_of_plane(PINHOLE, unit(0, -1, 0), 0.5)
    broad = depth_to_scan(floor, PINHOLE, band_px=60)
    level = depth_to_scan(floor, PINHOLE, band_px=60, max_offset_m=0.4)
    assert np.isfinite(broad.ranges_m).all()
    assert np.isnan(level.ranges_m).all()


def test_a_band_that_leaves_the_image_is_cut():
    camera = Camera(20, 10, 20.0, 20.0, 9.5, 8.9)
    assert np.isfinite(depth_to_scan(np.full((10, 20), 2.0, np.float32), camera, band_px=6).ranges_m).all()


@pytest.mark.parametrize(
    "limits", [{"band_px": 0}, {"min_range_m": 5.0, "max_range_m": 5.0}, {"min_range_m": -1.0}, {"max_range_m": NAN}]
)
def test_impossible_scans_are_refused(limits):
    with pytest.raises(ConfigurationError, match="scan"):
        depth_to_scan(np.ones((61, 97), np.float32), PINHOLE, **limits)


def test_a_horizon_outside_the_image_is_refused():
    camera = Camera(20, 10, 20.0, 20.0, 9.5, -30.0)
    with pytest.raises(ConfigurationError, match="outside the image's 10 rows"):
        depth_to_scan(np.ones((10, 20), np.float32), camera)
