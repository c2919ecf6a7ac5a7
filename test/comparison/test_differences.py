"""How far two outputs are from each other: figures worked out by hand, limits, and what cannot be compared."""

import numpy as np
import pytest

from metric3d_ros.comparison.differences import Difference, Figure, Limits, Measure, compare, equality_limits

EQUAL = equality_limits(1e-3)
EQUAL_ANGLES = equality_limits(1e-3, Measure.ANGLE)


def test_differences_are_relative_above_one_and_absolute_below():
    expected = np.array([[10.0, 0.5, np.nan]], np.float32)
    found = np.array([[10.1, 0.501, np.nan]], np.float32)
    difference = compare("depth", found, expected, EQUAL, holes=True)
    assert difference[Figure.LARGEST] == pytest.approx(0.01, rel=1e-3)
    assert difference[Figure.MOST] == pytest.approx(0.001 + 0.999 * 0.009, rel=1e-3)
    assert difference[Figure.MEAN] == pytest.approx(0.0055, rel=1e-3)
    assert not difference.acceptable
    assert compare("depth", found, expected, equality_limits(1e-2), holes=True).acceptable


def test_single_pixels_may_be_off_by_ten_times_the_tolerance():
    expected = np.ones((100, 200), np.float32)
    found = expected.copy()
    found[7, 5] += 5e-3
    assert compare("depth", found, expected, EQUAL).acceptable
    found[7, 5] += 6e-3
    assert not compare("depth", found, expected, EQUAL).acceptable


def test_unit_vectors_are_compared_by_their_angle():
    radians = np.radians(0.09)
    expected = np.zeros((4, 6, 3), np.float32)
    expected[..., 2] = -1
    found = np.zeros_like(expected)
    found[..., 0], found[..., 2] = np.sin(radians), -np.cos(radians)
    difference = compare("normals", found, expected, EQUAL_ANGLES)
    assert difference[Figure.MOST] == pytest.approx(0.09, rel=1e-3)
    assert difference.measure.unit == " deg"
    assert difference.acceptable
    assert not compare("normals", found, expected, equality_limits(8e-4, Measure.ANGLE)).acceptable


def test_ratios_and_the_drift_of_the_scale_are_relative_everywhere():
    expected = np.linspace(0.1, 5, 10_000, dtype=np.float32)
    found = expected * np.float32(1.001)
    found[:200] *= 1.5  # the nearest 2 %: they move no median
    limits = Limits(
        measure=Measure.RATIO, most={Figure.MEDIAN: 2e-3, Figure.NEARLY_MOST: 2e-2, Figure.SCALE_DRIFT: 1e-4}
    )
    difference = compare("depth", found, expected, limits, case="room")
    assert difference[Figure.MEDIAN] == pytest.approx(1e-3, rel=1e-3)
    assert difference[Figure.NEARLY_MOST] == pytest.approx(0.5015, rel=1e-3)
    assert difference[Figure.SCALE_DRIFT] == pytest.approx(1e-3, rel=1e-2)
    assert [difference.is_within(figure) for figure in difference.figures] == [True, False, False]
    assert difference.excess(Figure.SCALE_DRIFT) == pytest.approx(10, rel=1e-2)


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("found", "measure", "holes"),
    [
        pytest.param(None, Measure.ABSOLUTE_BELOW_ONE, True, id="no such output"),
        pytest.param(np.ones((3, 2), np.float32), Measure.ABSOLUTE_BELOW_ONE, True, id="another shape"),
        pytest.param(
            np.array([[1, 1, np.nan], [1, 1, 1]], np.float32), Measure.ABSOLUTE_BELOW_ONE, True, id="a hole in one only"
        ),
        pytest.param(np.full((2, 3), np.inf, np.float32), Measure.ABSOLUTE_BELOW_ONE, False, id="infinite"),
        pytest.param(np.array([[1, 1, 0], [1, 1, 1]], np.float32), Measure.RATIO, False, id="a ratio of zero"),
    ],
)
def test_outputs_that_cannot_be_compared_are_infinitely_different(found, measure, holes):
    difference = compare("depth", found, ONES, equality_limits(1.0, measure), holes=holes)
    assert difference.figures == {Figure.UNUSABLE: np.inf}
    assert (difference[Figure.MOST], difference.limit(Figure.MOST)) == (np.inf, 1.0)
    assert not difference.acceptable
    assert difference.excess(Figure.UNUSABLE) == np.inf


def test_holes_in_both_are_not_acceptable_unless_allowed_nor_are_outputs_without_any_value():
    holes = ONES.copy()
    holes[0, 0] = np.nan
    assert compare("depth", holes, holes, EQUAL, holes=True).acceptable
    assert not compare("depth", holes, holes, EQUAL).acceptable
    nothing = np.full_like(ONES, np.nan)
    assert not compare("depth", nothing, nothing, EQUAL, holes=True).acceptable


def test_a_figure_that_is_no_number_is_never_within_its_limit():
    difference = Difference(
        output="depth",
        case="",
        measure=Measure.RATIO,
        figures={Figure.MEDIAN: float("nan")},
        limits={Figure.MEDIAN: float("inf")},
    )
    assert not difference.acceptable
