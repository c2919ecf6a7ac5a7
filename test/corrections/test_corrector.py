"""One camera's corrections: their order, what they leave alone, and what is kept from frame to frame."""

import dataclasses
import math

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector, KnownDistance, ScaleSource
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.geometry import FarOptions, GroundOptions, find_ground

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
