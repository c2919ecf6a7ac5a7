"""A focal length that is wrong is found by ranges: a slanted scene whose depth is exact but for it."""

import dataclasses

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.scale import FocalSearch, scale_from_ranges

CAMERA = Camera(160, 120, 130.0, 128.0, 83.0, 55.0)
TRUE_DEPTH = np.minimum(
    1.2 / np.maximum(CAMERA.rays()[..., 1], 1e-3),  # a floor 1.2 m below the camera
    3 + 1.5 * CAMERA.rays()[..., 0],  # and a slanted wall
).astype(np.float32)
POINTS = CAMERA.rays() * TRUE_DEPTH[..., None]


def ranges(rng):
    """Return 20 points of the scene, of which 2 lie and 1 is missing."""
    chosen = POINTS.reshape(-1, 3)[rng.integers(POINTS.size // 3, size=20)].copy()
    chosen[:2] *= rng.uniform(1.5, 3, (2, 1))
    chosen[2] = np.nan
    return chosen


def told(ratio):
    """Return the camera as a wrong calibration has it, and the depth that a network gives for it."""
    camera = dataclasses.replace(CAMERA, fx=CAMERA.fx * ratio, fy=CAMERA.fy * ratio)
    return camera, TRUE_DEPTH * np.float32(ratio)


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.3])
def test_the_focal_length_is_found_within_ten_frames_and_the_scale_with_it(ratio):
    camera, depth = told(ratio)
    search, rng = FocalSearch(), np.random.default_rng(0)
    noise = np.random.default_rng(1)
    for _ in range(10):
        found = search.update(depth * noise.normal(1, 0.02, depth.shape).astype(np.float32), camera, ranges(rng))
    assert found == pytest.approx(ratio, rel=0.06)
    assert search.ratio == found
    assert not search.is_sure, "a second is too short to tell a person"
    measured = scale_from_ranges(depth, camera, ranges(rng), focal_ratio=found)
    assert measured.factor == pytest.approx(1 / ratio, rel=0.03)


def test_a_scale_that_is_wrong_with_the_right_focal_length_is_no_wrong_focal_length():
    search, rng = FocalSearch(), np.random.default_rng(0)
    for _ in range(10):
        found = search.update(TRUE_DEPTH * np.float32(1.3), CAMERA, ranges(rng))
    assert found == 1
    assert not search.is_sure


def test_a_wall_ahead_and_too_few_ranges_tell_nothing():
    camera, _ = told(1.3)
    search = FocalSearch()
    wall = np.full(CAMERA.size_hw, 2.6, np.float32)
    on_wall = CAMERA.rays()[::12, ::12].reshape(-1, 3) * np.float32(2)
    for _ in range(10):
        assert search.update(wall, camera, on_wall) == 1
    assert FocalSearch().update(wall, camera, on_wall[:5]) == 1
    assert FocalSearch().update(wall, camera, np.full((20, 3), np.nan, np.float32)) == 1
