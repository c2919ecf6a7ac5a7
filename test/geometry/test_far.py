"""Sky and far: on rendered streets, as networks that know outdoors show them, and in rooms, which have none."""

import cv2
import numpy as np
import pytest
from rendered_rooms import rooms

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import FarOptions, find_far


def streets():
    return [frame for frame in rooms(6, "street") if frame.sky.mean() > 0.02]


def scored(frames, depth_of, confidence_of):
    hits = false = missed = near = 0
    for frame in frames:
        far = find_far(depth_of(frame), confidence=confidence_of(frame))
        hits += int((far & frame.sky).sum())
        missed += int((~far & frame.sky).sum())
        false += int((far & ~frame.sky).sum())
        near += int((far & (frame.true_depth_m < 20)).sum())
    return hits / (hits + missed), hits / max(hits + false, 1), near


def test_sky_at_the_networks_ceiling_is_far():
    def depth(frame):
        return cv2.GaussianBlur(np.where(frame.sky, np.float32(200), frame.true_depth_m), (0, 0), 1.0)

    frames = streets()
    assert frames
    recall, _, near = scored(frames, depth, lambda frame: None)
    assert recall > 0.95
    # Smeared from the sky onto near edges: at most a pixel around.
    assert near < 0.03 * sum(frame.sky.size for frame in frames)


def test_sky_at_a_doubtful_distance_is_far_and_a_confident_facade_is_not():
    def depth(frame):
        return np.where(frame.sky, np.float32(60), frame.true_depth_m)

    def confidence(frame):
        return np.where(frame.sky, np.float32(0.3), np.float32(0.9))

    recall, precision, near = scored(streets(), depth, confidence)
    assert recall > 0.9
    assert precision > 0.95
    assert near == 0


def test_rooms_have_no_sky():
    for frame in rooms(4):
        assert not find_far(frame.true_depth_m).any()
        assert not find_far(frame.true_depth_m, confidence=np.zeros_like(frame.true_depth_m)).any()


def test_a_doubtful_far_region_that_does_not_reach_the_top_is_no_sky():
    depth = np.full((120, 160), 5, np.float32)
    depth[40:80, 40:120] = 50
    confidence = np.full((120, 160), 0.2, np.float32)
    assert not find_far(depth, confidence=confidence).any()
    depth[:80, 70:90] = 50
    far = find_far(depth, confidence=confidence)
    assert far[60, 60]
    assert not far[100, 60]


def test_a_speck_is_no_sky_and_invalid_pixels_are_not_far():
    depth = np.full((240, 320), 5, np.float32)
    depth[0, 10] = 60
    depth[50:60] = np.nan
    depth[60:70] = 0
    depth[200, 200] = np.inf
    far = find_far(depth)
    assert far.sum() == 1
    assert far[200, 200]


def test_options_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigurationError, match="0 < first <= second"):
        FarOptions(sky_from_m=300)
    with pytest.raises(ConfigurationError, match="max_confidence is -1"):
        FarOptions(max_confidence=-1)
