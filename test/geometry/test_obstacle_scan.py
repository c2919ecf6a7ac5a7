"""Where the scan of obstacles claims that nothing is there: only as far as it has looked; posts on a floor, by hand."""

import math

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import DataError
from metric3d_ros.geometry import (
    GroundPlane,
    ObstacleOptions,
    depth_to_points,
    find_obstacles,
    obstacles_to_scan,
)
from metric3d_ros.geometry.obstacles import level_axes

WALL_AT_M = 40.0
STEP = math.radians(0.5)
DEFAULTS = ObstacleOptions()


def ground_of(pitch_deg, height_m):
    pitch = math.radians(pitch_deg)
    normal = np.array([0, -math.cos(pitch), -math.sin(pitch)])
    return GroundPlane(normal=normal, height_m=height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0)


def depth_of_post(camera, ground, at_m, *, top_m=1.5):
    """Return the depth (H, W) of a floor, a wall that ends it, and ahead a post 0.6 m wide."""
    rays = camera.rays().astype(np.float64)
    forward, left = level_axes(ground)
    rise, ahead, aside = rays @ ground.normal, rays @ forward, rays @ left
    with np.errstate(divide="ignore"):
        floor = np.where(rise < 0, -ground.height_m / rise, np.inf)
        wall = np.where(ahead > 0, WALL_AT_M / ahead, np.inf)
        post = np.where(ahead > 0, at_m / ahead, np.inf)
    with np.errstate(invalid="ignore"):
        is_post = (np.abs(post * aside) < 0.3) & (post * rise + ground.height_m < top_m)
    return np.float32(np.minimum(np.minimum(floor, wall), np.where(is_post, post, np.inf)))


def scan_of(depth_m, camera, ground, *, options=DEFAULTS, trusted=None, **limits):
    points = depth_to_points(depth_m, camera)
    return obstacles_to_scan(
        points, find_obstacles(points, ground, options=options), ground, options=options, trusted=trusted, **limits
    )


def ahead_of(scan, *, within_deg=1.0):
    """Return the ranges of the directions next to straight ahead that points lie in."""
    angles = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m))
    return scan.ranges_m[np.abs(angles) < math.radians(within_deg)]


CAMERA = Camera.from_hfov(320, 240, hfov_deg=70)


def test_the_scan_ends_where_obstacles_are_no_longer_looked_for():
    ground = ground_of(0, 1.0)
    scan = scan_of(depth_of_post(CAMERA, ground, 15.0), CAMERA, ground, max_range_m=20.0)
    assert scan.max_range_m == 10.0
    np.testing.assert_array_equal(ahead_of(scan), np.inf)
    farther = scan_of(
        depth_of_post(CAMERA, ground, 15.0), CAMERA, ground, options=ObstacleOptions(max_range_m=20), max_range_m=20.0
    )
    assert farther.max_range_m == 20.0
    np.testing.assert_allclose(ahead_of(farther), 15.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("pitch_deg", "height_m", "post_m", "depth_to_m", "range_m"), [(0, 1.0, 6.0, 4.0, 10.0), (60, 3.0, 3.0, 3.4, 3.4)]
)
def test_a_direction_whose_far_points_are_left_out_is_not_known(pitch_deg, height_m, post_m, depth_to_m, range_m):
    ground = ground_of(pitch_deg, height_m)
    depth_m = depth_of_post(CAMERA, ground, post_m, top_m=0.3)
    depth_m[depth_m > depth_to_m] = np.nan
    assert np.isnan(ahead_of(scan_of(depth_m, CAMERA, ground, max_range_m=range_m))).all()


@pytest.mark.parametrize(("pitch_deg", "sees"), [(0, True), (20, True), (45, False)])
def test_a_camera_that_looks_down_knows_no_more_than_its_image_shows(pitch_deg, sees):
    # At 45 degrees, the upper edge of the image meets the floor at 2.4 m.
    ground = ground_of(pitch_deg, 1.0)
    depth_m = depth_of_post(CAMERA, ground, 30.0)
    far = ahead_of(scan_of(depth_m, CAMERA, ground))
    np.testing.assert_array_equal(far, np.inf if sees else np.nan)
    np.testing.assert_array_equal(ahead_of(scan_of(depth_m, CAMERA, ground, max_range_m=1.5)), np.inf)


def test_what_is_seen_above_all_obstacles_only_does_not_clear_the_way():
    ground = ground_of(0, 1.0)
    depth_m = depth_of_post(CAMERA, ground, 30.0)
    points = depth_to_points(depth_m, CAMERA)
    at_10_m = 1.0 + points[..., 1] * -10 / points[..., 2]
    assert np.isnan(ahead_of(scan_of(np.where(at_10_m > 2.05, depth_m, np.nan), CAMERA, ground))).all()
    assert np.isposinf(ahead_of(scan_of(np.where(at_10_m > 1.5, depth_m, np.nan), CAMERA, ground))).all()


def test_a_thing_too_low_to_be_an_obstacle_that_hides_what_is_behind_it_does_not_clear_the_way():
    ground = ground_of(0, 0.05)
    _, left = level_axes(ground)
    # The camera is lower than a step 9 cm high, 1 m ahead; the ray over its edge rises to 0.45 m at 10 m.
    points = np.float32([[0, -0.04, 1], 0.1 * left + [0, -1.0, 20]])
    ahead, aside = obstacles_to_scan(points, np.zeros(2, bool), ground, angle_increment_rad=0.005).ranges_m
    assert np.isnan(ahead)
    assert np.isposinf(aside)


def test_an_obstacle_that_is_not_trusted_makes_its_direction_unknown_unless_another_is_known():
    ground = ground_of(0, 1.0)
    depth_m = depth_of_post(CAMERA, ground, 6.0, top_m=0.5)
    post = np.isclose(depth_m, 6.0)
    post[: CAMERA.height // 2] = False
    assert np.isnan(ahead_of(scan_of(depth_m, CAMERA, ground, trusted=~post))).all()
    # What is nearer than the least range is not claimed to be clear anyway.
    assert np.isposinf(ahead_of(scan_of(depth_m, CAMERA, ground, trusted=~post, min_range_m=6.5))).all()
    upper = post & (np.cumsum(post, axis=0) < 5)
    np.testing.assert_allclose(ahead_of(scan_of(depth_m, CAMERA, ground, trusted=~upper)), 6.0, rtol=1e-3)
    with pytest.raises(DataError, match="no point is valid"):
        scan_of(depth_m, CAMERA, ground, trusted=np.zeros_like(post))


def test_what_lies_behind_the_foot_has_one_direction_only():
    # Straight down from 1 m, points lie all around; the direction behind is -pi and pi.
    ground = ground_of(90, 1.0)
    forward, left = level_axes(ground)
    angles = np.radians(np.arange(-180, 180, 0.25))
    around = np.cos(angles)[:, None] * forward + np.sin(angles)[:, None] * left
    post = -1.5 * forward + 0.001 * left - 0.5 * ground.normal
    for side in (1, -1):
        behind = post - (0.002 * left if side < 0 else 0)
        points = np.float32([*(12 * around - 0.2 * ground.normal), behind])
        scan = obstacles_to_scan(points, find_obstacles(points, ground), ground)
        assert len(scan.ranges_m) == 720
        directions = scan.angle_min_rad + STEP * np.arange(720)
        assert scan.ranges_m[np.argmin(np.cos(directions))] == pytest.approx(1.5, rel=1e-3)
        assert np.isfinite(scan.ranges_m).sum() == 1
        assert np.isposinf(scan.ranges_m).sum() == 719


@pytest.mark.parametrize("turned", [False, True])
def test_an_obstacle_fills_all_directions_between_its_pixels(turned):
    # Below a camera that looks down, neighbouring pixels are several steps of the scan apart.
    ground = ground_of(60, 1.0)
    camera = Camera.from_hfov(64, 48, hfov_deg=70)
    depth_m = depth_of_post(camera, ground, 0.5, top_m=0.4)
    points = depth_to_points(depth_m, camera)
    if turned:
        points = np.swapaxes(points, 0, 1)
    scan = obstacles_to_scan(points, find_obstacles(points, ground), ground, max_range_m=1.2)
    angles = scan.angle_min_rad + STEP * np.arange(len(scan.ranges_m))
    in_post = np.abs(angles) < math.atan(0.28 / 0.5)
    assert in_post.sum() > 100
    assert np.isfinite(scan.ranges_m[in_post]).all()
    assert not np.isfinite(scan.ranges_m[np.abs(angles) > math.atan(0.36 / 0.5)]).any()
