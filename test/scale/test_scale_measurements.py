"""What one frame measures of the scale, in rendered rooms whose scale is wrong by a known factor."""

import math

import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms, smear, smear_normals

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import NoGround, depth_to_points, find_ground
from metric3d_ros.scale import (
    ScaleMeasurement,
    ScaleRefusal,
    fixed_scale,
    scale_from_camera_height,
    scale_from_known_distance,
    scale_from_ranges,
)

WRONG = np.float32(1 / 1.3)


def ranges_of(frame, count, seed):
    """Points that another sensor measured of a frame, in the optical frame."""
    points = depth_to_points(frame.true_depth_m, frame.camera).reshape(-1, 3)
    return points[np.random.default_rng(seed).integers(len(points), size=count)].copy()


def test_the_camera_height_tells_the_scale():
    for frame in rooms(4):
        depth = smear(frame.true_depth_m, 2) * WRONG
        ground = find_ground(depth, frame.camera, normals=smear_normals(frame.true_normals, 2))
        measured = scale_from_camera_height(ground, height_m=frame.height_m)
        if isinstance(ground, NoGround):
            assert ground.reason in measured.reason
        else:
            assert measured.factor == pytest.approx(1.3, rel=0.03)


@pytest.mark.parametrize("liars", [0, 2, 6])
def test_20_ranges_tell_the_scale_even_if_up_to_a_third_lie(liars):
    for index, frame in enumerate(rooms(4)):
        ranges = ranges_of(frame, 20, index)
        ranges[:liars] *= np.random.default_rng(index).uniform(2, 4, (liars, 1))
        measured = scale_from_ranges(smear(frame.true_depth_m, 2) * WRONG, frame.camera, ranges)
        assert isinstance(measured, ScaleMeasurement)
        assert measured.factor == pytest.approx(1.3, rel=0.03)
        assert measured.spread < 0.05


def test_ranges_that_contradict_each_other_are_refused():
    frame = rooms(4)[0]
    ranges = ranges_of(frame, 40, 0) * np.random.default_rng(0).uniform(0.3, 3, (40, 1))
    measured = scale_from_ranges(frame.true_depth_m, frame.camera, ranges)
    assert isinstance(measured, ScaleRefusal)
    assert "disagree" in measured.reason


def test_ranges_that_are_invalid_behind_or_outside_do_not_count():
    frame = rooms(4)[0]
    nothing = np.full((20, 3), np.nan)
    assert "none of 20 ranges is valid" in scale_from_ranges(frame.true_depth_m, frame.camera, nothing).reason
    behind = -ranges_of(frame, 20, 0)
    assert "none of 20" in scale_from_ranges(frame.true_depth_m, frame.camera, behind).reason
    aside = np.tile([[50.0, 0, 1]], (20, 1))
    assert "0 of 20 ranges meet" in scale_from_ranges(frame.true_depth_m, frame.camera, aside).reason
    assert "0 ranges" in scale_from_ranges(frame.true_depth_m, frame.camera, np.zeros((0, 3))).reason
    mixed = np.concatenate([nothing, behind, aside, ranges_of(frame, 20, 0), [[0, 0, np.inf]]])
    measured = scale_from_ranges(frame.true_depth_m * WRONG, frame.camera, mixed)
    assert measured.factor == pytest.approx(1.3, rel=0.03)
    assert measured.count == 20


def test_ranges_on_the_sky_do_not_count():
    frame = rooms(4)[0]
    measured = scale_from_ranges(
        np.full((HEIGHT, WIDTH), 200, np.float32), frame.camera, ranges_of(frame, 20, 0), far_m=150
    )
    assert "0 of 20" in measured.reason


def test_a_known_distance_is_that_of_a_tape_measure_or_along_the_axis():
    camera = Camera(WIDTH, HEIGHT, 300, 300, 100, 100)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    tape = scale_from_known_distance(depth, camera, distance_m=3, box=(300, 200, 1, 1))
    assert tape.factor == pytest.approx(3 / (2 * math.sqrt(1 + (200 / 300) ** 2 + (100 / 300) ** 2)))
    axis = scale_from_known_distance(depth, camera, distance_m=3, box=(290, 190, 20, 20), along_axis=True)
    assert axis.factor == pytest.approx(1.5)
    assert axis.count == 400


@pytest.mark.parametrize("distance_m", [0.0, -1.0, math.nan, math.inf])
def test_a_known_distance_that_is_none_is_refused(distance_m):
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    depth = np.ones((HEIGHT, WIDTH), np.float32)
    measured = scale_from_known_distance(depth, camera, distance_m=distance_m, box=(0, 0, 9, 9))
    assert "expected above 0" in measured.reason


def test_a_box_outside_on_the_sky_or_across_an_edge_is_refused():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    depth[:50] = np.inf
    depth[50:100] = np.nan
    depth[:, 160:] *= 2

    def reason(box, far_m=math.inf):
        return scale_from_known_distance(depth, camera, distance_m=1, box=box, far_m=far_m).reason

    assert "not within" in reason((310, 10, 20, 5))
    assert "not within" in reason((-1, 10, 20, 5))
    assert "not within" in reason((5, 10, 0, 5))
    assert "100% of the box is sky" in reason((10, 10, 20, 20))
    assert "100% of the box is sky" in reason((10, 60, 20, 20))
    assert "100% of the box is sky" in reason((10, 160, 20, 20), far_m=1.5)
    assert "one surface" in reason((140, 150, 41, 20))


def test_no_ground_and_no_height_are_refused():
    ground = find_ground(rooms(4)[0].true_depth_m, rooms(4)[0].camera)
    assert "no ground: a wall" in scale_from_camera_height(NoGround("a wall"), height_m=1).reason
    for height_m in (0.0, -1.0, math.nan):
        assert "expected above 0" in scale_from_camera_height(ground, height_m=height_m).reason


@pytest.mark.parametrize("factor", [0.0, -2.0, math.nan, math.inf])
def test_a_fixed_factor_must_be_above_0(factor):
    with pytest.raises(ConfigurationError, match="expected above 0"):
        fixed_scale(factor)
    assert fixed_scale(1.2).factor == 1.2


def test_ranges_of_which_half_agree_on_something_else_are_refused():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    points = (camera.rays()[::16, ::16] * np.float32(2)).reshape(-1, 3)
    points[::2] *= np.float32(1.02)
    odd = points.copy()
    odd[: len(odd) * 9 // 20] *= np.linspace(1.5, 4, len(odd) * 9 // 20, dtype=np.float32)[:, None]
    refused = scale_from_ranges(depth, camera, odd)
    assert isinstance(refused, ScaleRefusal)
    assert "agree" in refused.reason
    odd = points.copy()
    odd[: len(odd) // 3] *= np.float32(3)
    assert scale_from_ranges(depth, camera, odd).factor == pytest.approx(1.01, abs=0.02)
