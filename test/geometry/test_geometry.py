"""Geometry: points, filters, normals, voxels and scans, against hand numbers, projections and slow references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry import (
    depth_edges,
    depth_to_points,
    depth_to_scan,
    filter_depth,
    normals_from_depth,
    voxel_means,
)

NAN, INF = np.nan, np.inf

PINHOLE = Camera(97, 61, 80.0, 85.0, 41.3, 33.7)
LENSES = [
    PINHOLE,
    Camera(30, 300, 250.0, 240.0, 12.0, 140.0),  # taller than the blocks of rows that are worked on
    Camera(97, 61, 80.0, 85.0, 41.3, 33.7, "plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.0)),
    Camera(97, 61, 60.0, 62.0, 50.0, 28.0, "equidistant", (0.05, -0.01, 0.002, 0.0)),
]


def name_of(camera):
    return f"{camera.width}x{camera.height} {camera.distortion_model or 'pinhole'}"


def depth_of_plane(camera, normal, distance_m):
    """Return the depth image of a plane `distance_m` away with the unit `normal`; NaN where it is not seen."""
    rays = camera.rays().astype(np.float64)
    with np.errstate(divide="ignore"):
        depth = -distance_m / (rays @ np.asarray(normal, float))
    return np.where((depth > 0) & (depth < 1000), depth, NAN).astype(np.float32)


def unit(*vector):
    return np.array(vector, float) / np.linalg.norm(vector)


def angles_deg(normals, expected):
    return np.degrees(np.arccos(np.clip((normals.astype(float) * expected).sum(-1), -1, 1)))


# Points


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


# Edges and filters


def test_edges_are_both_sides_of_a_jump_and_its_diagonals():
    depth = np.full((5, 6), 2.0, np.float32)
    depth[3:, 4:] = 2.3
    expected = np.zeros((5, 6), bool)
    expected[2:4, 3:] = True
    expected[2:, 3:5] = True
    np.testing.assert_array_equal(depth_edges(depth, max_jump=0.1), expected)
    assert not depth_edges(depth, max_jump=0.16).any()


def test_a_jump_is_measured_against_the_nearer_depth():
    row = np.array([[1.0, 1.0, 1.09, 1.09, 1.3, 1.3]], np.float32)
    assert depth_edges(row, max_jump=0.1).tolist() == [[False, False, False, True, True, False]]


def test_missing_neighbours_are_no_edge():
    depth = np.full((4, 5), 3.0, np.float32)
    depth[1, 1], depth[2, 3], depth[0, 4], depth[3, 0] = NAN, INF, 0.0, -5.0
    assert not depth_edges(depth).any()


@pytest.mark.parametrize("size_hw", [(13, 17), (1, 9), (9, 1), (260, 5)])
def test_edges_agree_with_a_slow_reference(size_hw):
    rng = np.random.default_rng(8)
    depth = rng.uniform(1, 1.3, size_hw).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = NAN
    expected = np.zeros(depth.shape, bool)
    for v, u in np.ndindex(depth.shape):
        around = depth[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
        if not np.isnan(depth[v, u]):
            expected[v, u] = np.nanmax(around) > np.nanmin(around) * np.float32(1.2)
    np.testing.assert_array_equal(depth_edges(depth, max_jump=0.2), expected)


def test_flying_points_between_two_walls_are_removed():
    depth = np.full((20, 40), 2.0, np.float32)
    depth[:, 20:] = 5.0
    depth[:, 18:22] = [2.6, 3.2, 3.8, 4.4]
    kept = filter_depth(depth, max_jump=0.1)
    assert set(np.unique(kept[np.isfinite(kept)])) == {2.0, 5.0}
    assert np.isfinite(kept[:, :17]).all()
    assert np.isfinite(kept[:, 23:]).all()


def test_filters_apply_together():
    depth = np.array([[0.4, 0.5, 1.0, 2.0, 2.1, NAN, INF, 0.0, -1.0]], np.float32)
    confidence = np.array([[0.9, 0.9, 0.2, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9]], np.float32)
    kept = filter_depth(depth, min_depth_m=0.5, max_depth_m=2.0, confidence=confidence, min_confidence=0.5)
    np.testing.assert_array_equal(kept, np.array([[NAN, 0.5, NAN, 2.0, *[NAN] * 5]], np.float32))


def test_without_limits_only_unusable_depth_goes():
    depth = np.array([[1e-6, 1e6, 0.0, INF]], np.float32)
    confidence = np.array([[NAN, 0.0, 1.0, 1.0]], np.float32)
    kept = filter_depth(depth, confidence=confidence)
    np.testing.assert_array_equal(kept, np.array([[1e-6, 1e6, NAN, NAN]], np.float32))


def test_unknown_confidence_fails_a_limit():
    kept = filter_depth(np.ones((1, 2), np.float32), confidence=np.array([[NAN, 0.5]], np.float32), min_confidence=0.1)
    np.testing.assert_array_equal(kept, np.array([[NAN, 1.0]], np.float32))


@pytest.mark.parametrize("limits", [{"min_depth_m": 2.0, "max_depth_m": 2.0}, {"max_depth_m": NAN}, {"max_jump": 0.0}])
def test_limits_that_nothing_can_meet_are_refused(limits):
    with pytest.raises(ConfigurationError, match="expected"):
        filter_depth(np.ones((2, 2), np.float32), **limits)


# Normals


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


# Voxels


def test_voxels_by_hand():
    points = np.array([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1], [1.5, 0, 0], [NAN, 0, 0], [-0.5, 0, 0]], np.float32)
    rgb = np.array([[10, 0, 0], [13, 0, 255], [7, 7, 7], [99, 99, 99], [1, 2, 3]], np.uint8)
    means, (colours,) = voxel_means(points, size_m=1.0, attributes=(rgb,))
    np.testing.assert_allclose(means, [[-0.5, 0, 0], [0.2, 0.1, 0.1], [1.5, 0, 0]], atol=1e-7)
    assert colours.tolist() == [[1, 2, 3], [12, 0, 128], [7, 7, 7]]
    assert (means.dtype, colours.dtype) == (np.float32, np.uint8)


def test_voxels_take_organised_points():
    points = np.random.default_rng(0).uniform(-2, 2, (9, 11, 3)).astype(np.float32)
    normals = points.copy()
    organised, (their_normals,) = voxel_means(points, size_m=0.5, attributes=(normals,))
    listed, _ = voxel_means(points.reshape(-1, 3), size_m=0.5)
    np.testing.assert_array_equal(organised, listed)
    np.testing.assert_array_equal(their_normals, organised)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), size_m=st.floats(0.05, 3))
def test_voxels_agree_with_a_dictionary_in_any_order(seed, size_m):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(200, 3)).astype(np.float32)
    cubes = {}
    for point in points.astype(float):
        cubes.setdefault(tuple(np.floor(point / size_m)), []).append(point)
    expected = np.array([np.mean(cubes[key], axis=0) for key in sorted(cubes)])
    for order in (np.arange(200), rng.permutation(200)):
        means, _ = voxel_means(points[order], size_m=size_m)
        np.testing.assert_allclose(means, expected, atol=1e-5)


def test_voxels_of_nothing_are_nothing():
    means, (colours,) = voxel_means(
        np.full((4, 5, 3), NAN, np.float32), size_m=0.1, attributes=(np.zeros((4, 5, 3), np.uint8),)
    )
    assert means.shape == (0, 3)
    assert colours.shape == (0, 3)


@pytest.mark.parametrize("size_m", [0.0, -1.0, NAN, 1e-5])
def test_impossible_voxel_sizes_are_refused(size_m):
    with pytest.raises(ConfigurationError, match="voxel size"):
        voxel_means(np.array([[0, 0, 0], [100, 0, 0]], np.float32), size_m=size_m)


# Scans


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
