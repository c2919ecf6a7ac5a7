"""Edges and filters of depth, against hand numbers and a slow reference."""

import numpy as np
import pytest

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import (
    depth_edges,
    filter_depth,
)

NAN, INF = np.nan, np.inf


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
