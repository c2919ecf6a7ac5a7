"""The scale stabiliser and the temporal filter on depth that breathes, moves, and is cut; truth is known."""

import dataclasses
import itertools
import math

import cv2
import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.flicker import ABS_REL, FLICKER, SteadinessMeter
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.scale import (
    MotionEstimator,
    ScaleStabiliser,
    StabiliserOptions,
    TemporalFilter,
    TemporalFilterOptions,
)

CAMERA = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)


@pytest.fixture(scope="module")
def flight():
    return list(itertools.islice(next(iter(HeldOutFlights(count=1))), 20))


class Steadying:
    """Both steps as the corrector takes them; `factors` are the stabiliser's."""

    def __init__(self, *, scale=True, temporal=True, stabiliser=None):
        self.motion, self.stabiliser, self.filter = MotionEstimator(), stabiliser or ScaleStabiliser(), TemporalFilter()
        self.scale, self.temporal = scale, temporal
        self.factors = []

    def update(self, depth, rgb, camera=CAMERA):
        motion = self.motion.update(depth, rgb, camera)
        factor = self.stabiliser.update(motion) if self.scale else 1.0
        self.factors.append(factor)
        depth = depth * np.float32(factor)
        return self.filter.update(depth, motion, factor=factor) if self.temporal else depth


def smooth_field(shape, rng, share):
    """A network's error: smooth over the image, another one in each frame."""
    field = cv2.resize(rng.normal(size=(4, 5)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.exp(field * np.float32(share / field.std()))


def steps_and_error(frames, depths):
    """Median flicker of points that a moving camera sees twice, and mean AbsRel."""
    meter = SteadinessMeter()
    for frame, depth in zip(frames, depths, strict=True):
        meter.add(frame.to_sample(), depth)
    return meter.figures()[FLICKER], meter.figures()[ABS_REL]


def test_a_moving_camera_and_exact_depth_lose_little(flight):
    steadying = Steadying()
    out = [steadying.update(frame.true_depth_m, frame.rgb, frame.camera) for frame in flight]
    flicker, error = steps_and_error(flight, out)
    assert flicker < 0.003
    assert error < 0.012
    assert steadying.motion.cuts == 0


def test_a_smooth_error_that_flickers_is_halved_by_the_filter_and_depth_gets_better(flight):
    rng, steadying = np.random.default_rng(0), Steadying()
    raw = [frame.true_depth_m * smooth_field(frame.true_depth_m.shape, rng, 0.02) for frame in flight]
    out = [steadying.update(depth, frame.rgb, frame.camera) for depth, frame in zip(raw, flight, strict=True)]
    before, after = steps_and_error(flight, raw), steps_and_error(flight, out)
    assert after[0] < 0.5 * before[0]
    assert after[1] <= before[1]


def test_breathing_of_a_moving_camera_is_taken_out_without_a_frame_of_latency(flight):
    rng, steadying = np.random.default_rng(0), Steadying(temporal=False)
    scales = rng.normal(0, 0.02, len(flight))
    for scale, frame in zip(scales, flight, strict=True):
        steadying.update(frame.true_depth_m * np.float32(math.exp(scale)), frame.rgb, frame.camera)
    after = scales + np.log(steadying.factors)
    assert np.median(np.abs(np.diff(after))) < 0.4 * np.median(np.abs(np.diff(scales)))


def test_the_motion_is_that_of_the_camera(flight):
    motions = MotionEstimator()
    for before, frame in itertools.pairwise(flight):
        motions.update(before.true_depth_m, before.rgb, before.camera)
        motion = motions.update(frame.true_depth_m, frame.rgb, frame.camera)
        assert motion.is_known
        previous = cv2.resize(before.true_depth_m, motion.depth_m.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        off = np.log(motion.expect(previous) / motion.depth_m)[motion.same_point]
        assert abs(np.nanmedian(off)) < 0.006
        assert motion.same_point.mean() > 0.6


def test_a_correction_fades_and_never_drifts():
    frame, steadying = rooms(4)[0], Steadying(temporal=False)
    for scale in [0.0] * 10 + [0.05] * 40:
        steadying.update(frame.true_depth_m * np.float32(math.exp(scale)), frame.rgb)
    assert steadying.factors[10] == pytest.approx(math.exp(-0.05), abs=2e-3)
    assert steadying.factors[-1] == pytest.approx(1, abs=1e-3)


def test_a_cut_an_exposure_jump_and_another_camera_start_anew_at_once():
    first, second, *_ = rooms(4)
    steadying = Steadying()
    for scale in (0, 0.02, -0.02, 0.01, -0.01, 0.02, -0.02):
        steadying.update(first.true_depth_m * np.float32(math.exp(scale)), first.rgb)
    other = second.true_depth_m * np.float32(3)
    np.testing.assert_array_equal(steadying.update(other, second.rgb), other)
    assert (steadying.factors[-1], steadying.motion.cuts) == (1, 1)
    bright = np.minimum(second.rgb.astype(np.int32) + 90, 255).astype(np.uint8)
    dark = (second.rgb // 4).astype(np.uint8)
    steadying.update(other, bright)
    np.testing.assert_array_equal(steadying.update(other * np.float32(1.02), dark), other * np.float32(1.02))
    assert steadying.factors[-1] == 1
    zoomed = dataclasses.replace(CAMERA, fx=310.0)
    np.testing.assert_array_equal(steadying.update(other, dark, zoomed), other)


def test_a_frame_that_comes_twice_changes_nothing_more():
    frame, steadying = rooms(4)[0], Steadying()
    first = steadying.update(frame.true_depth_m, frame.rgb)
    for _ in range(5):
        np.testing.assert_allclose(steadying.update(frame.true_depth_m, frame.rgb), first, rtol=1e-4)
    assert steadying.factors == pytest.approx([1] * 6, abs=1e-4)


def test_a_picture_that_changes_without_sense_leaves_depth_nearly_alone():
    steadying, rng = Steadying(), np.random.default_rng(0)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    for _ in range(4):
        noise = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        out = steadying.update(depth * np.float32(1.01), noise)
        np.testing.assert_allclose(out, depth * np.float32(1.01), rtol=0.06)


def test_a_picture_without_texture_that_does_not_change_is_of_a_camera_that_stands_still():
    steadying, depth = Steadying(scale=False), np.full((HEIGHT, WIDTH), 2, np.float32)
    blank = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for scale in (1, 1.02, 1, 1.02):
        out = steadying.update(depth * np.float32(scale), blank)
        np.testing.assert_allclose(out, 2.0, rtol=0.01)


def test_invalid_pixels_and_a_change_of_size_do_no_harm():
    steadying = Steadying()
    depth = np.full((60, 80), 2, np.float32)
    depth[:, ::2] = np.nan
    depth[::3] = np.inf
    depth[1::5] = 0
    rgb = np.full((60, 80, 3), 90, np.uint8)
    for image in (depth, depth * 1.01, np.full((60, 80), np.nan, np.float32), depth[:50], depth):
        camera = Camera.from_focal(image.shape[1], image.shape[0], focal_px=80)
        out = steadying.update(image, rgb[: len(image)], camera)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(image))
        np.testing.assert_array_equal(np.isinf(out), np.isinf(image))
    assert np.isfinite(steadying.factors).all()


@pytest.mark.parametrize("hw", [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH)])
def test_what_missed_a_frame_starts_anew_also_if_its_size_was_another(hw):
    def show(factor=1.0):
        depth = cv2.resize(frame.true_depth_m, hw[::-1], interpolation=cv2.INTER_NEAREST) * np.float32(factor)
        return depth, cv2.resize(frame.rgb, hw[::-1], interpolation=cv2.INTER_AREA), camera

    frame, steadying, camera = rooms(4)[0], Steadying(), CAMERA.scaled(hw[1], hw[0])
    for factor in (1.0, 1.02, 1.0, 1.02):
        steadying.update(frame.true_depth_m * np.float32(factor), frame.rgb)
    steadying.scale = steadying.temporal = False
    for factor in (1.0, 1.02):
        steadying.update(*show(factor))
    steadying.scale = steadying.temporal = True
    depth, *others = show()
    np.testing.assert_array_equal(steadying.update(depth, *others), depth)
    assert steadying.factors[-1] == 1
    depth, *others = show(1.02)
    assert np.median(steadying.update(depth, *others) / depth) == pytest.approx(1 / 1.02, abs=0.005)


def test_the_correction_of_scale_is_limited():
    frame = rooms(4)[0]
    steadying = Steadying(temporal=False, stabiliser=ScaleStabiliser(StabiliserOptions(max_correction=0.02)))
    for n in range(12):
        steadying.update(frame.true_depth_m * np.float32(math.exp(0.1 * (-1) ** n)), frame.rgb)
    assert np.abs(np.log(steadying.factors)).max() <= 0.02 + 1e-9


def test_what_moves_by_itself_keeps_its_own_depth():
    steadying = Steadying(scale=False)
    rgb = np.random.default_rng(0).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    rgb = cv2.GaussianBlur(rgb, (0, 0), 3)
    depth = np.full((HEIGHT, WIDTH), 2, np.float32)
    steadying.update(depth, rgb)
    moved, painted = depth.copy(), rgb.copy()
    moved[50:100, 50:100] = 1.5  # nearer, of the same colour
    moved[150:200] = 2.04  # as far, of another colour
    painted[150:200] = 200
    out = steadying.update(moved, painted)
    np.testing.assert_array_equal(out[54:96, 54:96], np.float32(1.5))
    np.testing.assert_array_equal(out[156:194], np.float32(2.04))
    np.testing.assert_allclose(out[:40], 2, rtol=1e-3)


def test_something_that_walks_away_is_never_off_by_more_than_the_limit():
    frame, steadying = rooms(4)[0], Steadying(scale=False)
    for step in range(12):
        depth = frame.true_depth_m.copy()
        depth[60:180, 100:220] = 2 * 1.03**step
        out = steadying.update(depth, frame.rgb)
        assert np.abs(np.log(out / depth)).max() <= 0.7 * 0.05 + 1e-4


def test_options_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigurationError, match="memory is 1"):
        StabiliserOptions(memory=1)
    with pytest.raises(ConfigurationError, match="new_share is 0"):
        TemporalFilterOptions(new_share=0)
