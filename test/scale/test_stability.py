"""The scale stabiliser and the temporal filter on depth that breathes, moves, and is cut."""

import math

import cv2
import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.scale import ScaleStabiliser, StabiliserOptions, TemporalFilter, TemporalFilterOptions


def test_breathing_of_a_still_camera_is_more_than_halved_without_a_frame_of_latency():
    depth, rng, stabiliser = rooms(4)[0].true_depth_m, np.random.default_rng(0), ScaleStabiliser()
    before, after = [], []
    for scale in rng.normal(0, 0.01, 200):
        before.append(scale)
        after.append(scale + math.log(stabiliser.update(depth * np.float32(math.exp(scale)))))
    assert np.std(np.diff(after[20:])) < 0.5 * np.std(np.diff(before[20:]))
    assert np.std(after[20:]) <= np.std(before[20:])


def test_steady_motion_is_not_taken_for_breathing():
    depth, stabiliser = rooms(4)[0].true_depth_m, ScaleStabiliser()
    factors = [stabiliser.update(depth * np.float32(math.exp(-0.02 * frame))) for frame in range(40)]
    assert np.abs(np.log(factors)).max() < 0.003


def test_a_correction_fades_and_never_drifts():
    depth, stabiliser = rooms(4)[0].true_depth_m, ScaleStabiliser()
    for scale in [0.0] * 10 + [0.05] * 40:
        factor = stabiliser.update(depth * np.float32(math.exp(scale)))
    assert factor == pytest.approx(1, abs=1e-3)


def test_a_cut_and_an_exposure_jump_start_anew_at_once():
    first, second, *_ = rooms(4)
    stabiliser = ScaleStabiliser()
    for scale in (0, 0.02, -0.02, 0.01, -0.01, 0.02, -0.02):
        stabiliser.update(first.true_depth_m * np.float32(math.exp(scale)), first.rgb)
    assert stabiliser.update(second.true_depth_m * np.float32(3), second.rgb) == 1
    assert stabiliser.resets == 1
    bright = np.minimum(second.rgb.astype(np.int32) + 90, 255).astype(np.uint8)
    dark = (second.rgb // 4).astype(np.uint8)
    stabiliser.update(second.true_depth_m * np.float32(3), bright)
    assert stabiliser.update(second.true_depth_m * np.float32(3.05), dark) == 1
    assert stabiliser.resets >= 2


def test_invalid_pixels_and_a_change_of_size_do_no_harm():
    stabiliser = ScaleStabiliser()
    depth = np.full((60, 80), 2, np.float32)
    depth[:, ::2] = np.nan
    depth[::3] = np.inf
    depth[1::5] = 0
    for image in (depth, depth * 1.01, np.full((60, 80), np.nan, np.float32), depth[:50], depth):
        assert math.isfinite(stabiliser.update(image))


def test_the_correction_is_limited():
    depth, stabiliser = rooms(4)[0].true_depth_m, ScaleStabiliser(StabiliserOptions(max_correction=0.02))
    factors = [stabiliser.update(depth * np.float32(math.exp(0.1 * (-1) ** n))) for n in range(30)]
    assert np.abs(np.log(factors)).max() <= 0.02 + 1e-9


def noisy(depth, rng):
    noise = cv2.GaussianBlur(rng.normal(size=depth.shape).astype(np.float32), (0, 0), 3)
    return depth * (1 + 0.01 * noise / noise.std())


def test_the_temporal_filter_halves_the_flicker_of_still_pixels_and_improves_their_depth():
    frame, rng, temporal = rooms(4)[0], np.random.default_rng(0), TemporalFilter()
    raw = [noisy(frame.true_depth_m, rng) for _ in range(15)]
    out = [temporal.update(depth, frame.rgb) for depth in raw]

    def flicker(images):
        return np.median(np.abs(np.log(images[-1] / images[-2])))

    def error(image):
        return np.mean(np.abs(image / frame.true_depth_m - 1))

    assert flicker(out) < 0.5 * flicker(raw)
    assert error(out[-1]) < 0.7 * error(raw[-1])


def test_what_moves_keeps_its_own_depth():
    temporal = TemporalFilter()
    rgb = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    temporal.update(depth, rgb)
    moved, painted = depth.copy(), rgb.copy()
    moved[50:100, 50:100] = 1.5  # nearer, of the same colour
    moved[150:200] = 2.04  # as far, of another colour
    painted[150:200] = 200
    out = temporal.update(moved, painted)
    np.testing.assert_array_equal(out[50:100, 50:100], 1.5)
    np.testing.assert_array_equal(out[152:198], np.float32(2.04))
    assert out[0, 0] == 2


def test_invalid_depth_stays_invalid_and_comes_back_at_once():
    temporal = TemporalFilter()
    rgb = np.full((40, 50, 3), 90, np.uint8)
    depth = np.full((40, 50), 2, np.float32)
    hole = depth.copy()
    hole[:10], hole[10:20] = np.nan, np.inf
    temporal.update(depth, rgb)
    out = temporal.update(hole, rgb)
    assert np.isnan(out[:10]).all()
    assert np.isinf(out[10:20]).all()
    np.testing.assert_array_equal(temporal.update(depth, rgb), depth)
    assert temporal.update(depth[:20], rgb[:20]).shape == (20, 50)


def test_options_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigurationError, match="memory is 1"):
        StabiliserOptions(memory=1)
    with pytest.raises(ConfigurationError, match="new_share is 0"):
        TemporalFilterOptions(new_share=0)
