"""Voxels, against hand numbers and a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import (
    voxel_means,
)

NAN, INF = np.nan, np.inf


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
