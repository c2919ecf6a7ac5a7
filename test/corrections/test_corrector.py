"""One camera's corrections: their order, what they leave alone, and what is kept from frame to frame."""

import dataclasses
import math

import cv2
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector, KnownDistance, ScaleSource
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.geometry import FarOptions, GroundOptions, find_ground
from metric3d_ros.scale import ScaleOptions

CAMERA = Camera(96, 72, 80.0, 80.0, 45.0, 34.0)
RGB = np.full((72, 96, 3), 120, np.uint8)


def estimate(depth_m, *, normals=None, confidence=None):
    return Estimate(np.asarray(depth_m, np.float32), confidence, normals, CAMERA, depth_m.shape, {})


def floor(height_m, *, up=(0.0, -1.0, 0.0)):
    """What a camera sees on level ground of a given height below it; 30 m where there is none."""
    towards = CAMERA.rays() @ np.asarray(up, np.float32)
    depth = np.where(towards < -0.01, -height_m / np.minimum(towards, -0.01), 30).clip(0, 30).astype(np.float32)
    normals = np.broadcast_to(np.asarray(up, np.float32), (*depth.shape, 3)).copy()
    normals[depth >= 30] = (0, 0, -1)
    return estimate(depth, normals=normals)


def scaled_by(corrector, options, seen, *, frames=20, **more):
    for index in range(frames):
        corrected = corrector.apply(seen, RGB, index / 10, options=options, **more)
    return corrected


def test_nothing_on_is_nothing_done():
    seen = floor(1.0)
    assert not CorrectionOptions().is_on
    assert DepthCorrector().apply(seen, RGB, 0.0, options=CorrectionOptions()).estimate is seen


@pytest.mark.parametrize(("rotate", "up"), [(0, (0, -1, 0)), (90, (-1, 0, 0)), (180, (0, 1, 0)), (270, (1, 0, 0))])
def test_the_camera_height_gives_the_scale_however_the_camera_is_mounted(rotate, up):
    options = CorrectionOptions(scale=ScaleSource(camera_height_m=0.8), rotate_deg=rotate)
    seen = floor(1.0, up=up)
    corrected = scaled_by(DepthCorrector(), options, seen)
    assert corrected.scale.factor == pytest.approx(0.8, rel=0.02)
    np.testing.assert_allclose(corrected.estimate.depth_m, seen.depth_m * corrected.scale.factor, rtol=1e-6)
    anew = find_ground(corrected.estimate.depth_m, CAMERA, normals=seen.normals, options=GroundOptions(up=up))
    assert corrected.ground.height_m == pytest.approx(anew.height_m, rel=1e-3)
    np.testing.assert_allclose(corrected.ground.covariance, anew.covariance, rtol=0.01, atol=1e-9)


@pytest.mark.parametrize(
    ("rotate", "top"), [(0, np.s_[:30]), (90, np.s_[:, :40]), (180, np.s_[42:]), (270, np.s_[:, 56:])]
)
def test_sky_is_where_the_upright_image_has_its_top(rotate, top):
    depth = np.full((72, 96), 5, np.float32)
    depth[top] = 60
    options = CorrectionOptions(far=FarOptions(), rotate_deg=rotate)
    found = DepthCorrector().apply(estimate(depth), RGB, 0.0, options=options).estimate.depth_m
    np.testing.assert_array_equal(np.isinf(found), depth == 60)
    opposite = CorrectionOptions(far=FarOptions(), rotate_deg=(rotate + 180) % 360)
    assert np.isfinite(DepthCorrector().apply(estimate(depth), RGB, 0.0, options=opposite).estimate.depth_m).all()


def test_a_known_distance_on_the_sky_is_refused_and_the_factor_kept():
    depth = np.full((72, 96), 4, np.float32)
    depth[:20] = 60
    corrector = DepthCorrector()
    known = KnownDistance(distance_m=5.0, box=(45, 34, 1, 1))
    options = CorrectionOptions(far=FarOptions(), scale=ScaleSource(known=known))
    found = scaled_by(corrector, options, estimate(depth))
    assert found.scale.factor == pytest.approx(5 / 4, rel=1e-3)
    on_sky = CorrectionOptions(
        far=FarOptions(), scale=ScaleSource(known=KnownDistance(distance_m=5.0, box=(45, 2, 1, 1)))
    )
    refused = corrector.apply(estimate(depth), RGB, 9.0, options=on_sky)
    assert "sky" in refused.scale.refused
    assert refused.scale.factor == pytest.approx(found.scale.factor)


def test_a_known_distance_on_the_sky_is_refused_also_if_sky_is_left_in_depth():
    depth = np.full((72, 96), 4, np.float32)
    depth[:20] = 25
    confidence = np.where(depth == 25, 0.2, 0.9).astype(np.float32)
    on_sky = CorrectionOptions(scale=ScaleSource(known=KnownDistance(distance_m=20.0, box=(45, 2, 1, 1))))
    assert "confidence" in on_sky.needs
    found = DepthCorrector().apply(estimate(depth, confidence=confidence), RGB, 0.0, options=on_sky)
    assert "sky" in found.scale.refused
    np.testing.assert_array_equal(found.estimate.depth_m, depth)


def test_a_table_that_fills_the_view_is_no_ground_and_the_last_factor_ages():
    corrector, options = DepthCorrector(), CorrectionOptions(scale=ScaleSource(camera_height_m=0.8))
    scaled_by(corrector, options, floor(1.0), frames=20)
    for index in range(20, 70):
        corrected = corrector.apply(floor(0.6), RGB, index / 10, options=options)
    assert corrected.scale.factor == pytest.approx(0.8, rel=0.02)
    assert corrected.scale.age_s == pytest.approx(5, abs=0.2)
    assert "outlier unless it persists for 10 s" in corrected.scale.refused


def test_the_factor_is_remembered_and_a_damaged_file_is_warned_of(tmp_path):
    file = tmp_path / "scale.yaml"
    depth = estimate(np.full((72, 96), 4, np.float32))
    measuring = ScaleSource(known=KnownDistance(distance_m=5.0, box=(45, 34, 1, 1)), file=file)
    scaled_by(DepthCorrector(), CorrectionOptions(scale=measuring), depth)
    remembered = DepthCorrector().apply(depth, RGB, 0.0, options=CorrectionOptions(scale=ScaleSource(file=file)))
    assert remembered.scale.factor == pytest.approx(1.25, rel=0.01)
    file.write_text("nonsense")
    lines = []
    anew = DepthCorrector(warn=lines.append).apply(
        depth, RGB, 0.0, options=CorrectionOptions(scale=ScaleSource(file=file))
    )
    assert anew.scale.factor == 1
    assert str(file) in lines[0]


def known(distance_m, **more):
    return CorrectionOptions(scale=ScaleSource(known=KnownDistance(distance_m=distance_m, box=(45, 34, 1, 1)), **more))


def test_the_factor_of_a_known_distance_is_kept_when_it_is_not_set_any_more():
    corrector, depth, off = DepthCorrector(), estimate(np.full((72, 96), 2, np.float32)), CorrectionOptions()
    measured = scaled_by(corrector, known(2.5), depth, frames=10)
    for stamp_s in (1.0, 31.0, 91.0):
        kept = corrector.apply(depth, RGB, stamp_s, options=off)
        assert kept.is_corrected
        assert (kept.scale.factor, kept.scale.source) == (measured.scale.factor, "known distance")
        assert "the remembered factor is used" in kept.scale.refused
        assert kept.scale.age_s == pytest.approx(stamp_s - 0.9)
        assert kept.scale.stale == (stamp_s > 61)
        np.testing.assert_array_equal(kept.estimate.depth_m, measured.estimate.depth_m)
    # Another tape measure counts at once, and its factor is the one that is kept.
    corrector.apply(depth, RGB, 92.0, options=known(3.5))
    assert corrector.apply(depth, RGB, 93.0, options=off).scale.factor == pytest.approx(1.75, rel=1e-3)


def test_the_factor_of_another_source_takes_the_place_of_the_one_that_was_kept():
    corrector, depth, off = DepthCorrector(), estimate(np.full((72, 96), 2, np.float32)), CorrectionOptions()
    scaled_by(corrector, known(2.5), depth)
    # No ground is seen: nothing has been measured in its place.
    height = corrector.apply(depth, RGB, 3.0, options=CorrectionOptions(scale=ScaleSource(camera_height_m=1.0)))
    assert (height.scale.stale, height.scale.age_s) == (True, math.inf)
    assert corrector.apply(depth, RGB, 4.0, options=off).scale.factor == pytest.approx(1.25, rel=1e-3)
    corrector.apply(depth, RGB, 5.0, options=CorrectionOptions(scale=ScaleSource(factor=1.0)))
    discarded = corrector.apply(depth, RGB, 6.0, options=off)
    assert (discarded.scale, discarded.is_corrected) == (None, False)
    assert discarded.estimate is depth


def test_a_known_distance_that_was_never_measured_leaves_no_factor():
    corrector, depth = DepthCorrector(), estimate(np.full((72, 96), np.nan, np.float32))
    assert corrector.apply(depth, RGB, 0.0, options=known(2.5)).scale.refused
    assert not corrector.apply(depth, RGB, 1.0, options=CorrectionOptions()).is_corrected


def test_a_new_source_counts_at_once_also_if_limits_change_with_it():
    corrector, depth = DepthCorrector(), estimate(np.full((72, 96), 2, np.float32))
    scaled_by(corrector, known(2.5), depth)
    state = corrector.apply(depth, RGB, 3.0, options=known(5.0, tracker=ScaleOptions(max_factor=3.0))).scale
    assert (state.factor, state.refused) == (pytest.approx(2.5, rel=1e-3), "")


def test_new_limits_let_the_age_of_the_factor_go_on():
    corrector, depth = DepthCorrector(), estimate(np.full((72, 96), 2, np.float32))
    scaled_by(corrector, known(2.5), depth, frames=10)
    options = CorrectionOptions(scale=ScaleSource(tracker=ScaleOptions(max_factor=3.0)))
    state = corrector.apply(depth, RGB, 100.9, options=options).scale
    assert (state.age_s, state.stale) == (pytest.approx(100), True)


def test_a_factor_that_is_not_measured_is_not_saved(tmp_path):
    file, depth = tmp_path / "scale.yaml", estimate(np.full((72, 96), 2, np.float32))
    corrector = DepthCorrector()
    scaled_by(corrector, known(2.5, file=file), depth)
    saved = file.read_text()
    file.unlink()
    height = CorrectionOptions(scale=ScaleSource(camera_height_m=1.0, file=file))
    for stamp_s in (10.0, 20.0, 5.0, 15.0):
        state = corrector.apply(depth, RGB, stamp_s, options=height).scale
        assert state.stale
        assert not file.exists()
    corrector.apply(depth, RGB, 30.0, options=known(2.5, file=file))
    assert file.exists()
    assert "known distance" in saved
    file.unlink()
    # A recording that starts again, and its first frame has no depth.
    corrector.apply(estimate(np.full((72, 96), np.nan, np.float32)), RGB, 1.0, options=known(2.5, file=file))
    assert not file.exists()


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_fixed_factor_holds_whatever_the_limits_of_measurements(factor):
    depth = estimate(np.full((72, 96), 2, np.float32))
    found = DepthCorrector().apply(depth, RGB, 0.0, options=CorrectionOptions(scale=ScaleSource(factor=factor)))
    np.testing.assert_allclose(found.estimate.depth_m, 2 * factor, rtol=1e-6)


SCENE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8), (0, 0), 2)
STEADY_SCALE = CorrectionOptions(steady_scale=True)
STEADY = CorrectionOptions(steady_scale=True, average=True)


def show(corrector, options, factor=1.0, *, hw=(72, 96)):
    """Correct a frame of a camera that stands still; return what it multiplied depth by, on average."""
    depth = (2 + SCENE[: hw[0], : hw[1], 0] / 256).astype(np.float32) * np.float32(factor)
    seen = dataclasses.replace(estimate(depth), camera=dataclasses.replace(CAMERA, width=hw[1], height=hw[0]))
    corrected = corrector.apply(seen, SCENE[: hw[0], : hw[1]].copy(), 0.0, options=options)
    return float(np.median(corrected.estimate.depth_m / depth))


@pytest.mark.parametrize("one", [{"steady_scale": True}, {"average": True}])
def test_stability_that_is_switched_while_the_size_of_images_changes_works_on(one):
    corrector, small = DepthCorrector(), (54, 96)
    for _ in range(3):
        show(corrector, STEADY)
    for _ in range(3):
        show(corrector, CorrectionOptions(**one), hw=small)
    assert show(corrector, STEADY, hw=small) == pytest.approx(1, abs=1e-4)
    assert show(corrector, STEADY, 1.04, hw=small) == pytest.approx(1 / 1.04, abs=0.01)


@pytest.mark.parametrize(
    ("between", "then"),
    [({}, STEADY), ({"steady_scale": True}, CorrectionOptions(average=True)), ({"average": True}, STEADY_SCALE)],
)
def test_stability_that_is_switched_on_again_uses_no_frame_from_before(between, then):
    corrector = DepthCorrector()
    for factor in (1.0, 1.04, 1.0, 1.04):
        show(corrector, STEADY, factor)
    for _ in range(2):
        show(corrector, CorrectionOptions(**between))
    assert show(corrector, then, 1.03) == pytest.approx(1, abs=1e-6)
    assert show(corrector, then, 1.0) > 1.01, "it works again from the second frame on"


def test_a_frozen_factor_stays():
    corrector = DepthCorrector()
    depth = estimate(np.full((72, 96), 4, np.float32))
    box = (45, 34, 1, 1)
    scaled_by(corrector, CorrectionOptions(scale=ScaleSource(known=KnownDistance(distance_m=5.0, box=box))), depth)
    frozen = ScaleSource(known=KnownDistance(distance_m=4.0, box=box), frozen=True)
    state = scaled_by(corrector, CorrectionOptions(scale=frozen), depth).scale
    assert (state.frozen, state.refused) == (True, "frozen on request")
    assert state.factor == pytest.approx(1.25, rel=0.01)


def test_two_sources_are_refused():
    with pytest.raises(ConfigurationError, match=r"scale.factor and scale.camera_height_m are set"):
        ScaleSource(factor=1.1, camera_height_m=1.0)
    assert math.isfinite(ScaleSource(factor=1.1).factor)


def test_a_focal_length_that_ranges_contradict_is_warned_of_once_and_depth_is_right_all_the_same():
    true = np.fmin(floor(1.0).depth_m, 3 + CAMERA.rays()[..., 0]).astype(np.float32)
    points = (CAMERA.rays() * true[..., None])[::9, ::9].reshape(-1, 3)
    camera = dataclasses.replace(CAMERA, fx=CAMERA.fx * 1.3, fy=CAMERA.fy * 1.3)
    seen = dataclasses.replace(estimate(true * 1.3), camera=camera)
    warnings = []
    corrector = DepthCorrector(warn=warnings.append)
    corrected = scaled_by(corrector, CorrectionOptions(scale=ScaleSource(ranges=True)), seen, frames=40, ranges=points)
    assert corrected.scale.focal_ratio == pytest.approx(1.3, rel=0.05)
    np.testing.assert_allclose(np.median(corrected.estimate.depth_m / true), 1, atol=0.02)
    assert len(warnings) == 1
    assert "the calibration has 104 px" in warnings[0]
