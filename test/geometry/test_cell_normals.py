"""Normals of cells, from depth with a quarter of the image's resolution, against the truth of rendered rooms."""

import cv2
import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms

from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry import cell_normals_from_depth, normals_from_depth


def mean_angle_deg(normals, frame):
    cosine = np.clip(np.sum(normals * frame.true_normals, axis=2), -1, 1)
    return float(np.nanmean(np.degrees(np.arccos(cosine))))


def test_normals_of_cells_are_right_where_those_of_pixels_mean_nothing():
    for frame in rooms(4):
        small = cv2.resize(frame.true_depth_m, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
        staircase = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        of_cells = cell_normals_from_depth(staircase, frame.camera)
        assert np.isfinite(of_cells[..., 0]).mean() > 0.95
        assert mean_angle_deg(of_cells, frame) < 10
        assert mean_angle_deg(of_cells, frame) < 0.5 * mean_angle_deg(
            normals_from_depth(staircase, frame.camera), frame
        )


def test_invalid_depth_has_no_normal_and_wrong_input_is_refused():
    frame = rooms(4)[0]
    depth = frame.true_depth_m.copy()
    depth[:40], depth[40:50] = np.nan, np.inf
    normals = cell_normals_from_depth(depth, frame.camera)
    assert np.isnan(normals[:50]).all()
    assert np.isfinite(normals[60:]).mean() > 0.9
    with pytest.raises(CameraError, match="this very image"):
        cell_normals_from_depth(depth[:10], frame.camera)
    with pytest.raises(ConfigurationError, match="cell_px is 0"):
        cell_normals_from_depth(depth, frame.camera, cell_px=0)
