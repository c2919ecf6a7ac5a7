"""Error measures against numbers worked by hand."""

import math

import numpy as np
import pytest

from metric3d_ros.comparison.metrics import (
    EDGE_REACH_PX,
    comparable,
    coverage,
    edge_error_px,
    measure_depth,
    measure_image,
    measure_normals,
    median_scale,
    normal_angles_deg,
    summarise,
)
from metric3d_ros.errors import DataError

NAN = np.nan


def image(*rows):
    return np.array(rows, np.float32)


def turned(degrees):
    """Return a unit vector that faces the camera, turned from the optical axis by this angle."""
    return [math.sin(math.radians(degrees)), 0.0, -math.cos(math.radians(degrees))]


def test_depth_figures_of_four_pixels_worked_by_hand():
    true = image([1.0, 2.0], [4.0, 8.0])
    estimated = image([1.1, 2.0], [3.0, 12.0])
    errors = measure_depth(estimated, true)
    assert errors.abs_rel == pytest.approx((0.1 + 0 + 0.25 + 0.5) / 4, abs=1e-6)
    assert errors.delta1 == 0.5  # 4/3 and 12/8 miss the threshold of 1.25
    assert errors.rmse_m == pytest.approx(math.sqrt((0.01 + 0 + 1 + 16) / 4), abs=1e-5)
    e = [math.log(1.1), 0.0, math.log(0.75), math.log(1.5)]
    expected = 100 * math.sqrt(sum(x * x for x in e) / 4 - (sum(e) / 4) ** 2)
    assert errors.silog == pytest.approx(expected, abs=1e-4)


def test_a_ratio_of_exactly_one_and_a_quarter_is_outside_delta1():
    assert measure_depth(image([1.25, 1.0, 1.0]), image([1.0, 1.25, 1.0])).delta1 == pytest.approx(1 / 3)


def test_a_wrong_scale_costs_no_silog_and_is_undone_by_the_median():
    true = np.random.default_rng(0).uniform(0.5, 9, (7, 12)).astype(np.float32)
    errors = measure_depth(true * 3, true)
    assert errors.silog == pytest.approx(0, abs=1e-3)
    assert errors.abs_rel == pytest.approx(2, rel=1e-5)
    assert median_scale(true * 3, true) == pytest.approx(1 / 3, rel=1e-6)


def test_median_scale_is_the_ratio_of_medians_over_pixels_that_both_know():
    true = image([2.0, 4.0, 9.0, NAN])
    estimated = image([1.0, 8.0, 3.0, 100.0])
    assert median_scale(estimated, true) == pytest.approx(4 / 3)


def test_what_is_not_a_depth_is_not_compared():
    true = image([1.0, 0.0, NAN, 2.0, np.inf, 3.0])
    estimated = image([1.0, 1.0, 1.0, NAN, 1.0, 0.0])
    assert comparable(estimated, true).tolist() == [[True, False, False, False, False, False]]
    assert measure_depth(estimated, true).abs_rel == 0
    assert coverage(estimated, true) == pytest.approx(1 / 3)  # of 1, 2 and 3 m, only 1 m was estimated


def test_farther_than_the_limit_is_not_compared():
    true, estimated = image([1.0, 80.0, 80.5]), image([1.0, 40.0, 1.0])
    assert measure_depth(estimated, true, max_depth_m=80).abs_rel == pytest.approx(0.25)


def test_nothing_to_compare_and_other_sizes_are_errors():
    with pytest.raises(DataError, match="no pixel has both a true depth and an estimate"):
        measure_depth(image([1.0]), image([NAN]))
    with pytest.raises(DataError, match="within 5 m"):
        median_scale(image([1.0]), image([6.0]), max_depth_m=5)
    with pytest.raises(DataError, match=r"shape \(1, 2\), the true one \(1, 1\)"):
        measure_depth(image([1.0, 2.0]), image([1.0]))


def test_normal_angles_are_exact_from_nothing_to_opposite():
    angles = [0.0, 0.01, 11.0, 90.0, 179.0, 180.0]
    estimated = image([turned(a) for a in angles])
    true = image([turned(0.0)] * len(angles))
    np.testing.assert_allclose(normal_angles_deg(estimated, true)[0], angles, atol=1e-3)


def test_normal_figures_of_five_pixels_worked_by_hand():
    true = image([turned(0.0)] * 6)
    estimated = image([turned(0.0), turned(5.0), turned(11.0), turned(12.0), turned(42.0), [NAN] * 3])
    errors = measure_normals(estimated, true)
    assert errors.mean_deg == pytest.approx(14, abs=1e-3)
    assert errors.median_deg == pytest.approx(11, abs=1e-3)
    assert errors.within_11_25 == pytest.approx(3 / 5)


def test_normals_that_nowhere_meet_have_no_figures():
    nothing = np.full((2, 3, 3), NAN, np.float32)
    assert measure_normals(nothing, nothing) is None
    with pytest.raises(DataError, match="normals"):
        measure_normals(nothing, nothing[:1])


def test_an_image_of_doubled_depth_has_perfect_aligned_figures():
    true = np.linspace(1, 5, 15, dtype=np.float32).reshape(3, 5)
    true[1, 1] = NAN
    figures = measure_image(estimated_m=true * 2, true_m=true, estimated_normals=None, true_normals=None)
    assert figures["abs_rel"] == pytest.approx(1)
    assert figures["aligned_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert figures["aligned_delta1"] == 1
    assert figures["scale"] == pytest.approx(0.5)
    assert figures["coverage"] == 1
    assert figures["normal_mean_deg"] is None


def test_totals_are_the_mean_and_median_image_of_those_that_have_the_figure():
    totals = summarise([{"a": 1.0, "n": None}, {"a": 2.0, "n": 5.0}, {"a": 6.0, "n": NAN}])
    assert totals == {"mean": {"a": 3.0, "n": 5.0}, "median": {"a": 2.0, "n": 5.0}}


def step_at(column: int, *, ratio: float = 2.0) -> np.ndarray:
    depth = np.full((40, 60), 2.0, np.float32)
    depth[:, column:] *= ratio
    return depth


@pytest.mark.parametrize(("shift", "expected"), [(0, 0.0), (1, 1.0), (3, 3.0), (25, 10.0)])
def test_edges_are_off_by_the_pixels_that_they_are_shifted_by(shift: int, expected: float) -> None:
    assert edge_error_px(step_at(20 + shift), step_at(20)) == pytest.approx(expected, abs=0.05)


def test_scale_moves_no_edge() -> None:
    assert edge_error_px(3 * step_at(20), step_at(20)) == pytest.approx(0)


def test_depth_without_the_true_edge_misses_it_by_the_full_reach() -> None:
    assert edge_error_px(np.full((40, 60), 2.0, np.float32), step_at(20)) == EDGE_REACH_PX


def test_edges_need_a_dense_truth_that_has_some() -> None:
    sparse = step_at(20)
    sparse[::2] = np.nan
    assert edge_error_px(step_at(20), sparse) is None
    assert edge_error_px(step_at(20), np.full((40, 60), 2.0, np.float32)) is None
