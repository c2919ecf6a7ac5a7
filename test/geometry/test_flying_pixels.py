"""The flying-pixel filter on rendered rooms whose depth is smeared as networks smear it."""

import cv2
import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms, smear, smear_normals

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.flying_pixels import FilterCounts, count_filtered, label_flying_pixels
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry import FlyingPixelOptions, find_flying_pixels


def quarter_size(depth_m):
    """Depth as a network gives it that predicts at a quarter of the image's size."""
    small = cv2.resize(depth_m, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize("sigma_px", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("with_normals", [True, False])
def test_most_flying_pixels_of_smeared_edges_go_and_nearly_all_others_stay(sigma_px, with_normals):
    counts = FilterCounts()
    for frame in rooms(4):
        depth = smear(frame.true_depth_m, sigma_px)
        normals = smear_normals(frame.true_normals, sigma_px) if with_normals else None
        removed = find_flying_pixels(depth, frame.camera, normals=normals)
        counts += count_filtered(label_flying_pixels(depth, frame.true_depth_m), removed, frame.true_depth_m)
    assert counts.flying > 300
    assert counts.recall >= 0.7
    assert counts.loss <= 0.05


def test_flying_pixels_of_a_network_with_a_quarter_of_the_resolution_go():
    counts = FilterCounts()
    for frame in rooms(4):
        depth = quarter_size(smear(frame.true_depth_m, 3))
        removed = find_flying_pixels(depth, frame.camera, normals=smear_normals(frame.true_normals, 3))
        counts += count_filtered(label_flying_pixels(depth, frame.true_depth_m), removed, frame.true_depth_m)
    assert counts.recall >= 0.7
    assert counts.loss <= 0.05


def plane_depth(camera, normal, distance_m):
    return (distance_m / (camera.rays() @ np.asarray(normal, np.float32))).astype(np.float32)


@pytest.mark.parametrize("with_normals", [True, False])
def test_a_grazing_floor_does_not_fly(with_normals):
    camera = Camera(WIDTH, HEIGHT, 230, 230, 150, -40.3)  # the horizon is above the image; floor from 1.2 to 6 m
    depth = plane_depth(camera, (0, 1, 0), 0.9)
    normals = np.broadcast_to(np.float32([0, -1, 0]), (HEIGHT, WIDTH, 3)).copy()
    assert depth.max() > 5
    assert not find_flying_pixels(depth, camera, normals=normals if with_normals else None).any()


def test_a_sharp_step_loses_no_pixel():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    depth[60:180, 101:223] = 1
    assert not find_flying_pixels(depth, camera).any()


def test_only_the_ramp_between_two_walls_flies():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    row = np.interp(np.arange(WIDTH), [150, 162], [1, 3]).astype(np.float32)
    flying = find_flying_pixels(np.tile(row, (HEIGHT, 1)), camera)
    assert flying[:, 152:160].all()
    assert not flying[:, :151].any()
    assert not flying[:, 162:].any()


def test_a_speck_left_amid_flying_pixels_goes_only_if_it_is_small():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    row = np.interp(np.arange(WIDTH), [140, 156, 160, 176], [1, 2, 2, 4]).astype(np.float32)
    depth = np.tile(row, (HEIGHT, 1))
    depth[:100] = depth[132:] = 1
    lone = find_flying_pixels(depth, camera, options=FlyingPixelOptions(min_cluster_px=0, min_gap=0))
    both = find_flying_pixels(depth, camera, options=FlyingPixelOptions(min_cluster_px=128, min_gap=0))
    large = find_flying_pixels(depth, camera, options=FlyingPixelOptions(min_cluster_px=16, min_gap=0))
    speck = both & ~lone
    assert 0 < speck.sum() <= 128
    assert speck[:, 144:176].sum() == speck.sum()
    np.testing.assert_array_equal(large, lone)


def test_invalid_pixels_never_fly_and_do_not_hide_the_ramp_beside_them():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    row = np.interp(np.arange(WIDTH), [150, 162], [1, 3]).astype(np.float32)
    depth = np.tile(row, (HEIGHT, 1))
    depth[::3] = np.nan
    depth[1::7] = 0
    depth[:, 200:] = np.inf
    flying = find_flying_pixels(depth, camera)
    valid = depth[:, 155] > 0
    assert flying[valid, 153:159].all()
    assert not flying[~(depth > 0)].any()
    assert not find_flying_pixels(np.full((HEIGHT, WIDTH), np.nan, np.float32), camera).any()


def test_normals_that_are_not_known_count_as_none():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    row = np.interp(np.arange(WIDTH), [150, 162], [1, 3]).astype(np.float32)
    depth = np.tile(row, (HEIGHT, 1))
    unknown = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    np.testing.assert_array_equal(find_flying_pixels(depth, camera, normals=unknown), find_flying_pixels(depth, camera))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 50), (241, 323)])
def test_images_of_any_size_are_taken(size):
    camera = Camera.from_focal(size[1], size[0], focal_px=200)
    assert find_flying_pixels(np.ones(size, np.float32), camera).shape == size


def test_wrong_input_is_refused():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=250)
    with pytest.raises(CameraError, match="pass the camera of this very image"):
        find_flying_pixels(np.ones((WIDTH, HEIGHT), np.float32), camera)
    with pytest.raises(ConfigurationError, match="max_tangent is -1"):
        FlyingPixelOptions(max_tangent=-1)
    with pytest.raises(ConfigurationError, match="cell_px is 0"):
        FlyingPixelOptions(cell_px=0)
