"""Normals from depth, against planes and a sphere."""

import numpy as np
import pytest
from planes_and_lenses import LENSES, PINHOLE, depth_of_plane, name_of, unit

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import (
    depth_to_points,
    normals_from_depth,
)

NAN, INF = np.nan, np.inf


def angles_deg(normals, expected):
    return np.degrees(np.arccos(np.clip((normals.astype(float) * expected).sum(-1), -1, 1)))


@pytest.mark.parametrize("camera", LENSES, ids=name_of)
@pytest.mark.parametrize(
    "normal",
    [(0, 0, -1), (0, -1, -0.05), unit(0.6, -0.3, -0.7), unit(-0.9, 0.2, -0.2)],
    ids=lambda n: str(np.round(n, 1)),
)
def test_normals_of_a_plane_are_its_normal(camera, normal):
    normal = unit(*normal)
    depth = depth_of_plane(camera, normal, 1.5)
    normals = normals_from_depth(depth, camera)
    assert normals.dtype == np.float32
    found = np.isfinite(normals[..., 0])
    assert found.sum() > 0.85 * np.isfinite(depth).sum()  # towards the horizon depth leaps from row to row
    errors = angles_deg(normals[found], normal)
    assert errors.max() < (1.0 if camera.distortion else 0.1)
    assert np.median(errors) < 0.02
    np.testing.assert_allclose(np.linalg.norm(normals[found], axis=-1), 1, atol=1e-5)


def test_a_wall_in_front_faces_the_camera():
    normals = normals_from_depth(np.full((61, 97), 3.0, np.float32), PINHOLE)
    np.testing.assert_allclose(normals, np.broadcast_to([0, 0, -1], (61, 97, 3)), atol=1e-5)


def test_normals_stay_on_their_side_of_an_edge():
    near, far = unit(0.3, 0.1, -1), unit(-0.2, -0.3, -1)
    depth = depth_of_plane(PINHOLE, near, 1.0)
    depth[:, 50:] = depth_of_plane(PINHOLE, far, 1.3)[:, 50:]
    assert (depth[:, 50] / depth[:, 49]).min() > 1.05
    normals = normals_from_depth(depth, PINHOLE)
    assert angles_deg(normals[:, :50], near).max() < 0.5
    assert angles_deg(normals[:, 50:], far).max() < 0.5


def test_normals_of_a_sphere_point_away_from_its_centre():
    centre, radius = np.array([0.1, -0.05, 3.0]), 0.8
    camera = Camera(161, 121, 200.0, 210.0, 77.0, 66.0)
    rays = camera.rays().astype(float)
    b, a, c = rays @ centre, (rays**2).sum(-1), centre @ centre - radius**2
    with np.errstate(invalid="ignore"):
        depth = ((b - np.sqrt(b * b - a * c)) / a).astype(np.float32)
    normals = normals_from_depth(depth, camera)
    expected = (depth_to_points(depth, camera) - centre) / radius
    incidence_deg = angles_deg(-rays / np.linalg.norm(rays, axis=-1, keepdims=True), expected)
    for limit_deg, error_deg in ((45, 0.1), (70, 1.5)):
        inner = np.isfinite(normals[..., 0]) & (incidence_deg < limit_deg)
        assert inner.sum() > 4000
        assert angles_deg(normals[inner], expected[inner]).max() < error_deg


def test_normals_keep_most_of_their_direction_under_noise():
    rng = np.random.default_rng(1)
    normal = unit(0.2, -0.5, -0.8)
    depth = depth_of_plane(PINHOLE, normal, 2.0)
    noisy = depth * (1 + 0.0005 * rng.standard_normal(depth.shape).astype(np.float32))
    assert np.nanmedian(angles_deg(normals_from_depth(noisy, PINHOLE), normal)) < 3


def test_normals_are_missing_only_where_depth_is():
    depth = np.full((61, 97), 2.0, np.float32)
    depth[10:20, 30:40] = NAN
    depth[30, 50], depth[31, 60] = INF, 0.0
    missing = ~(np.isfinite(depth) & (depth > 0))
    np.testing.assert_array_equal(np.isnan(normals_from_depth(depth, PINHOLE)[..., 0]), missing)


def test_a_pixel_alone_has_no_normal():
    depth = np.full((61, 97), NAN, np.float32)
    depth[5, 5] = 1.0
    depth[8, 8:11] = 1.0
    assert np.isnan(normals_from_depth(depth, PINHOLE)).all()


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5), (5, 1), (2, 2), (64, 3), (65, 3), (129, 2)])
@pytest.mark.parametrize("distortion", [(), (0.1, 0.0, 0.0, 0.0)])
def test_small_and_odd_sizes_have_normals_where_they_can(size_hw, distortion):
    camera = Camera(size_hw[1], size_hw[0], 50.0, 50.0, 0.0, 0.0, "plumb_bob", distortion)
    normals = normals_from_depth(np.ones(size_hw, np.float32), camera)
    assert normals.shape == (*size_hw, 3)
    if min(size_hw) > 1:
        np.testing.assert_allclose(normals[..., 2], -1, atol=1e-4)
    else:
        assert np.isnan(normals).all()
