"""Obstacles above the ground and the scan of them, on rendered rooms and on scenes worked out by hand."""

import math

import numpy as np
import pytest
from rendered_rooms import rooms, smear, smear_normals

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.geometry import (
    GroundPlane,
    ObstacleOptions,
    depth_to_points,
    find_ground,
    find_obstacles,
    obstacles_to_scan,
)


def plane_of(up, height_m):
    return GroundPlane(
        normal=np.asarray(up, float), height_m=height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0
    )


def pitched(pitch_deg):
    """Return up, ahead and left in the frame of a camera that looks down by an angle."""
    pitch = math.radians(pitch_deg)
    up = np.array([0, -math.cos(pitch), -math.sin(pitch)])
    ahead = np.array([0, -math.sin(pitch), math.cos(pitch)])
    return up, ahead, np.array([-1.0, 0, 0])


def test_obstacles_within_5_m_are_found_in_rooms_with_smeared_depth():
    hits = false = missed = 0
    options = ObstacleOptions(max_range_m=5)
    exact = ObstacleOptions(max_range_m=5, tilt_tolerance_rad=0)
    for frame in (*rooms(4), *rooms(4, "furnished")):
        ground = find_ground(smear(frame.true_depth_m, 2), frame.camera, normals=smear_normals(frame.true_normals, 2))
        if not isinstance(ground, GroundPlane):
            continue
        truth = find_obstacles(
            depth_to_points(frame.true_depth_m, frame.camera), plane_of(frame.up, frame.height_m), options=exact
        )
        found = find_obstacles(depth_to_points(smear(frame.true_depth_m, 2), frame.camera), ground, options=options)
        hits += int((truth & found).sum())
        false += int((found & ~truth).sum())
        missed += int((truth & ~found).sum())
    assert hits > 50_000
    assert hits / (hits + missed) >= 0.95
    assert hits / (hits + false) >= 0.95


def test_only_what_stands_between_the_two_heights_and_within_range_counts():
    up, ahead, _ = pitched(25)
    ground = plane_of(up, 0.8)
    heights = np.array([0.0, 0.09, 0.2, 1.9, 2.1, 0.5, 0.5])
    distances = np.array([2, 2, 2, 2, 2, 9.9, 10.1])
    points = (distances[:, None] * ahead + (heights - 0.8)[:, None] * up).astype(np.float32)
    found = find_obstacles(points, ground, options=ObstacleOptions(tilt_tolerance_rad=0))
    assert found.tolist() == [False, False, True, True, False, True, False]


def test_a_far_point_must_stand_higher_because_the_tilt_is_not_exact():
    up, ahead, _ = pitched(0)
    points = np.float32([2 * ahead - 0.85 * up, 8 * ahead - 0.85 * up])
    assert find_obstacles(points, plane_of(up, 1.0)).tolist() == [True, False]


def test_points_that_are_not_known_are_no_obstacles():
    up, _, _ = pitched(10)
    assert not find_obstacles(np.full((4, 5, 3), np.nan, np.float32), plane_of(up, 1.0)).any()


@pytest.mark.parametrize("pitch_deg", [0, 15, 40, 90])
def test_the_scan_does_not_depend_on_the_cameras_tilt(pitch_deg):
    up, ahead, left = pitched(pitch_deg)
    ground = plane_of(up, 1.0)
    # At 30 degrees to the left, 2 m away, 0.5 m high; straight ahead 3 m; on the right only the wall behind 10 m.
    places = [
        2 * (math.cos(math.radians(30)) * ahead + math.sin(math.radians(30)) * left) - 0.5 * up,
        3 * ahead - 0.2 * up,
        12 * (0.8 * ahead - 0.6 * left) - 0.2 * up,
    ]
    points = np.float32(places)
    scan = obstacles_to_scan(points, find_obstacles(points, ground), ground, angle_increment_rad=math.radians(1))
    angles = np.degrees(scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m)))
    seen = {round(angle): value for angle, value in zip(angles, scan.ranges_m, strict=True) if not np.isnan(value)}
    assert seen.keys() == {-37, 0, 30}
    assert seen[-37] == np.inf
    assert seen[0] == pytest.approx(3, abs=1e-5)
    assert seen[30] == pytest.approx(2, abs=1e-5)


def test_the_scan_takes_the_nearest_obstacle_of_a_direction_and_marks_one_that_is_too_near():
    up, ahead, left = pitched(0)
    ground = plane_of(up, 1.0)
    points = np.float32([4 * ahead, 2 * ahead, 12 * (ahead + left), 0.05 * (ahead - left)])
    scan = obstacles_to_scan(points, np.ones(4, bool), ground)
    assert scan.ranges_m[0] == -np.inf
    assert np.nanmin(scan.ranges_m[np.isfinite(scan.ranges_m)]) == 2
    assert scan.ranges_m[-1] == np.inf


def test_the_nearest_wall_in_a_rendered_room_is_where_it_is():
    frame = rooms(4)[0]
    ground = plane_of(frame.up, frame.height_m)
    points = depth_to_points(frame.true_depth_m, frame.camera)
    obstacles = find_obstacles(points, ground)
    scan = obstacles_to_scan(points, obstacles, ground)
    world = points[obstacles] @ frame.pose.rotation.T
    assert np.nanmin(scan.ranges_m) == pytest.approx(np.hypot(world[:, 0], world[:, 1]).min(), abs=1e-3)


def test_wrong_input_is_refused():
    with pytest.raises(ConfigurationError, match="0 < least < greatest"):
        ObstacleOptions(min_height_m=0)
    with pytest.raises(ConfigurationError, match="max_range_m is -1"):
        ObstacleOptions(max_range_m=-1)
    ground = plane_of((0, -1, 0), 1.0)
    nothing = np.full((2, 2, 3), np.nan, np.float32)
    with pytest.raises(DataError, match="no point is valid"):
        obstacles_to_scan(nothing, np.zeros((2, 2), bool), ground)
    with pytest.raises(ConfigurationError, match="a step above 0"):
        obstacles_to_scan(nothing, np.zeros((2, 2), bool), ground, angle_increment_rad=0)
