"""How the tracked factor follows, holds, refuses, ages and comes back after a restart."""

import math

import numpy as np
import pytest

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.scale import (
    ScaleMeasurement,
    ScaleOptions,
    ScaleRefusal,
    ScaleState,
    ScaleTracker,
    fixed_scale,
    load_scale,
    save_scale,
)


def measured(factor, spread=0.02):
    return ScaleMeasurement("ranges", factor, spread, 20)


def settled(factor=1.0):
    tracker = ScaleTracker()
    for frame in range(10):
        tracker.update(measured(factor), frame / 10)
    return tracker


def test_a_wrong_calibration_is_corrected_within_a_second_by_noisy_measurements():
    rng = np.random.default_rng(0)
    tracker = ScaleTracker()
    for frame in range(10):
        state = tracker.update(measured(1.3 * math.exp(rng.normal(0, 0.03))), frame / 10)
    assert state.factor == pytest.approx(1.3, rel=0.03)
    assert not state.stale
    assert state.source == "ranges"


def test_first_measurements_that_lie_are_outvoted_within_a_second():
    tracker = ScaleTracker()
    for frame in range(10):
        state = tracker.update(measured(1.9 if frame < 2 else 1.3), frame / 10)
    assert state.factor == pytest.approx(1.3, rel=0.03)


def test_outliers_for_a_second_do_not_move_the_factor():
    tracker = settled()
    for frame in range(10):
        state = tracker.update(measured(1.6), 1 + frame / 10)
        assert state.factor == pytest.approx(1, abs=1e-9)
        assert "an outlier unless it persists" in state.refused


def test_a_step_that_persists_is_followed():
    tracker = settled()
    for frame in range(40):
        state = tracker.update(measured(1.3), 1 + frame / 10)
    assert state.factor == pytest.approx(1.3, rel=0.01)
    assert not state.refused


def test_outliers_that_do_not_agree_with_each_other_never_persist():
    tracker, rng = settled(), np.random.default_rng(1)
    for frame in range(100):
        state = tracker.update(measured(float(rng.choice([0.6, 0.75, 1.4, 1.8]))), 1 + frame / 10)
    assert state.factor == pytest.approx(1, abs=1e-9)


def test_small_changes_are_smoothed_with_the_time_constant():
    tracker = settled()
    state = tracker.update(measured(1.05), 0.9 + 0.3)
    assert math.log(state.factor) == pytest.approx((1 - math.exp(-1)) * math.log(1.05), rel=1e-6)


def test_refusals_keep_the_factor_and_age_it():
    tracker = settled(1.2)
    state = tracker.update(ScaleRefusal("camera height", "no ground: a wall"), 5.9)
    assert state.factor == pytest.approx(1.2)
    assert state.refused == "camera height: no ground: a wall"
    assert state.age_s == pytest.approx(5.0)
    assert not state.stale
    state = tracker.update(ScaleRefusal("camera height", "no ground: a wall"), 100.0)
    assert state.stale
    assert state.factor == pytest.approx(1.2)


@pytest.mark.parametrize("factor", [0.01, 10.0, math.nan, math.inf, -1.0])
def test_factors_outside_the_limits_are_refused(factor):
    state = settled().update(measured(factor), 1.0)
    assert state.factor == pytest.approx(1)
    assert "the measured factor is" in state.refused


def test_a_frozen_tracker_does_not_follow():
    tracker = settled()
    tracker.frozen = True
    state = tracker.update(measured(1.05), 1.0)
    assert state.factor == pytest.approx(1)
    assert state.frozen
    assert state.refused == "frozen on request"
    tracker.frozen = False
    assert tracker.update(measured(1.05), 1.1).factor > 1


@pytest.mark.parametrize("factor", [0.1, 1.7, 3.0])
def test_a_fixed_factor_is_taken_at_once_whatever_the_limits_of_measurements(factor, tmp_path):
    state = settled().update(fixed_scale(factor), 1.0)
    assert state.factor == pytest.approx(factor)
    assert not state.refused
    save_scale(tmp_path / "scale.yaml", state)
    assert load_scale(tmp_path / "scale.yaml").factor == pytest.approx(factor)


def test_time_that_runs_backwards_keeps_the_factor():
    tracker = settled(1.2)
    state = tracker.update(measured(1.2), -50.0)
    assert state.factor == pytest.approx(1.2)
    assert state.age_s == 0


def test_the_age_of_a_factor_goes_on_after_time_that_runs_backwards():
    tracker, refusal = settled(1.2), ScaleRefusal("ranges", "none")
    assert tracker.update(refusal, 10.9).age_s == pytest.approx(10)
    for stamp_s, age_s in ((-50.0, 10), (-45.0, 15), (0.0, 60), (9950.0, 10010)):
        state = tracker.update(refusal, stamp_s)
        assert state.age_s == pytest.approx(age_s)
        assert state.stale == (age_s > 60)
    assert state.factor == pytest.approx(1.2)


def test_the_age_of_a_factor_goes_on_in_another_tracker():
    tracker, refusal = ScaleTracker(ScaleOptions(expire_s=30), start=settled(1.2).state), ScaleRefusal("ranges", "none")
    for stamp_s, age_s in ((1e6, 0), (1e6 + 20, 20), (1e6 + 40, 40)):
        state = tracker.update(refusal, stamp_s)
        assert state.age_s == pytest.approx(age_s)
        assert state.stale == (age_s > 30)
    never = ScaleTracker().update(refusal, 5.0)
    assert (never.age_s, never.stale) == (math.inf, True)


def test_the_factor_survives_a_restart_and_is_stale_until_it_is_measured_again(tmp_path):
    path = tmp_path / "scale.yaml"
    assert load_scale(path) == ScaleState()
    save_scale(path, settled(1.23).state)
    state = load_scale(path)
    assert state.factor == pytest.approx(1.23)
    assert state.stale
    tracker = ScaleTracker(start=state)
    assert tracker.update(ScaleRefusal("ranges", "none"), 0.0).factor == pytest.approx(1.23)
    assert "an outlier" in tracker.update(measured(1.8), 0.1).refused
    assert [each.name for each in tmp_path.iterdir()] == ["scale.yaml"]


@pytest.mark.parametrize("text", ["", "scale: 3", "scale: {factor: x}", "{", "scale: {factor: 1.1}", "[1]"])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "scale.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a saved scale.*delete it, or name another file"):
        load_scale(path)


def test_a_saved_factor_outside_the_limits_is_refused(tmp_path):
    path = tmp_path / "scale.yaml"
    save_scale(path, ScaleState(factor=40.0))
    with pytest.raises(DataError, match=r"expected 0.5 to 2"):
        load_scale(path)
    save_scale(path, ScaleState(factor=-1.0, source="fixed"))
    with pytest.raises(DataError, match=r"factor -1, expected above 0"):
        load_scale(path)
    with pytest.raises(DataError, match="cannot be written"):
        save_scale(path / "scale.yaml", ScaleState())


def test_options_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigurationError, match="0 < least <= 1 <= greatest"):
        ScaleOptions(min_factor=1.5)
    with pytest.raises(ConfigurationError, match="max_step 0"):
        ScaleOptions(max_step=0)


def test_a_time_that_is_no_number_is_refused_and_the_factor_kept():
    tracker = ScaleTracker()
    tracker.update(measured(1.2), 0.0)
    state = tracker.update(measured(1.25), math.nan)
    assert state.factor == pytest.approx(1.2)
    assert "the time of the image is nan" in state.refused
    assert tracker.update(measured(1.2), 0.1).refused == ""


@pytest.mark.parametrize("name", ["x" * 300, "file/scale.yaml"])
def test_a_name_that_no_file_can_have_is_one_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        load_scale(tmp_path / name)
