"""Geometry of a fisheye whose depth is the range along each ray, on planes whose truth is worked out by hand."""

import math

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import (
    GroundPlane,
    convert_depth,
    depth_to_points,
    depth_to_scan,
    find_flying_pixels,
    find_ground,
    normals_from_depth,
)
from metric3d_ros.scale import scale_from_known_distance, scale_from_ranges

# 200 x 150 degrees, off centre.
CAMERA = Camera(200, 150, 180 / math.pi, 180 / math.pi, 97.3, 76.1, "equidistant", (1e-6, 0, 0, 0), along_rays=True)
RAYS = CAMERA.rays().astype(np.float64)


def range_to_plane(normal, distance_m):
    """Ranges to the points P with normal . P = -distance; NaN if a ray does not meet it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = -distance_m / (RAYS @ np.asarray(normal))
    return np.where(ranges > 0, ranges, np.nan).astype(np.float32)


def test_points_lie_on_the_plane_also_behind_the_image_plane():
    points = depth_to_points(range_to_plane((0, -1, 0), 1.5), CAMERA)
    known = np.isfinite(points[..., 0])
    np.testing.assert_allclose(points[..., 1][known], 1.5, rtol=1e-4)
    assert points[..., 2][known].min() < -0.5


def test_range_becomes_z_up_to_90_degrees_and_z_becomes_range():
    ranges = np.full(CAMERA.size_hw, 2, np.float32)
    z = convert_depth(ranges, CAMERA, to_range=False)
    np.testing.assert_allclose(z[RAYS[..., 2] > 0.01], 2 * RAYS[..., 2][RAYS[..., 2] > 0.01], rtol=1e-5)
    assert np.isnan(z[RAYS[..., 2] <= 0]).all()
    assert convert_depth(ranges, CAMERA, to_range=True) is ranges
    pinhole = Camera(60, 40, 50, 45, 31, 17)
    wall = np.full((40, 60), 3, np.float32)
    assert convert_depth(wall, pinhole, to_range=False) is wall
    far = convert_depth(wall, pinhole, to_range=True)
    assert far[17, 31] == pytest.approx(3)
    assert far[0, 0] == pytest.approx(3 * math.hypot(1, 31 / 50, 17 / 45))
    np.testing.assert_allclose(convert_depth(np.full((40, 60), np.inf, np.float32), pinhole, to_range=True), np.inf)


@pytest.mark.parametrize("normal", [(0, -1, 0), (0, 0, -1), (0.6, 0, -0.8)])
def test_normals_of_planes_are_theirs(normal):
    normals = normals_from_depth(range_to_plane(normal, 1.5), CAMERA)
    cosine = -(RAYS @ np.asarray(normal))
    seen = np.isfinite(normals[..., 0]) & (cosine > 0.15)
    assert seen.mean() > 0.2
    errors = np.degrees(np.arccos(np.clip(normals[seen] @ np.asarray(normal), -1, 1)))
    assert np.median(errors) < 0.2
    assert np.quantile(errors, 0.95) < 1.5


def test_the_ground_is_found_below_a_fisheye():
    wall = range_to_plane((0, 0, -1), 4)
    depth = np.fmin(range_to_plane((0, -1, 0), 1.2), wall)
    ground = find_ground(depth, CAMERA)
    assert isinstance(ground, GroundPlane)
    assert ground.height_m == pytest.approx(1.2, rel=0.02)
    assert ground.normal @ [0, -1, 0] > math.cos(math.radians(1))


def test_a_smeared_edge_flies_and_a_grazing_floor_does_not():
    floor = np.fmin(range_to_plane((0, -1, 0), 1.2), np.float32(12))
    normals = np.where((floor < 12)[..., None], np.float32([0, -1, 0]), -CAMERA.rays())
    assert find_flying_pixels(floor, CAMERA, normals=normals).mean() < 0.02
    edge = np.full(CAMERA.size_hw, 2, np.float32)
    edge[:, 150:] = 6
    edge[:, 142:150] = np.linspace(2, 6, 8)
    flying = find_flying_pixels(edge, CAMERA)
    assert flying[:, 144:148].mean() > 0.9
    assert not flying[:, :130].any()
    assert not flying[:, 162:].any()


def test_a_scan_reaches_behind_the_camera():
    angle = np.arctan2(RAYS[..., 0], RAYS[..., 2])
    depth = (3 / np.hypot(RAYS[..., 0], RAYS[..., 2])).astype(np.float32)  # a cylinder around the y axis
    scan = depth_to_scan(depth, CAMERA, band_px=4)
    assert scan.angle_min_rad == pytest.approx(-np.nanmax(angle[74:78]), abs=0.02)
    assert scan.angle_min_rad < -math.pi / 2
    np.testing.assert_allclose(scan.ranges_m[np.isfinite(scan.ranges_m)], 3, rtol=1e-4)


def test_ranges_and_known_distances_scale_what_is_beside_and_behind():
    depth = np.full(CAMERA.size_hw, 2, np.float32)
    angles = np.radians([-97, -92, -45, 0, 45, 92, 95])
    points = 3 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=-1)
    measured = scale_from_ranges(depth, CAMERA, points, min_count=7)
    assert measured.factor == pytest.approx(1.5)
    assert measured.count == 7
    box = (4, 74, 3, 3)
    assert RAYS[75, 5, 2] < 0
    assert scale_from_known_distance(depth, CAMERA, distance_m=3, box=box).factor == pytest.approx(1.5)
