"""Verification measures what it says, and lets nothing through that is off."""

import numpy as np
import pytest

from metric3d_export.checks import verify
from metric3d_export.checks.verify import measure, require_acceptable
from metric3d_ros.comparison.differences import Difference, Figure
from metric3d_ros.comparison.precision_limits import EXACT_LIMITS, SIZES_NHW
from metric3d_ros.errors import ExportError


def test_depth_differences_are_relative_beyond_one_metre_and_absolute_below():
    expected = np.array([[[0.5, 10.0]]])
    found = np.array([[[0.5 + 2e-4, 10.0 + 5e-3]]])
    difference = measure("depth", "1 x 1 x 2", found, expected)
    assert difference[Figure.LARGEST] == pytest.approx(5e-4)
    assert difference[Figure.MEAN] == pytest.approx((2e-4 + 5e-4) / 2)


def test_normal_differences_are_angles_in_degrees():
    angle = np.radians(0.25)
    expected = np.array([[[[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]]])
    found = np.array([[[[0.0, np.sin(angle), -np.cos(angle)], [0.0, 0.0, 1.0]]]])
    difference = measure("normal", "1 x 1 x 2", found, expected)
    assert difference[Figure.LARGEST] == pytest.approx(180)
    assert difference[Figure.MEAN] == pytest.approx((180 + 0.25) / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_single_value_that_is_not_finite_is_not_acceptable(bad):
    expected = np.ones((1, 50, 50))
    found = expected.copy()
    found[0, 3, 4] = bad
    assert not measure("depth", "", found, expected).acceptable
    assert measure("depth", "", expected, expected).acceptable


def test_an_output_of_another_shape_is_not_acceptable():
    assert not measure("depth", "", np.ones((1, 28, 56)), np.ones((1, 28, 55))).acceptable


def test_few_pixels_may_be_off_a_little_and_none_much():
    expected = np.ones((1, 100, 100))
    found = expected.copy()
    found[0, 0, :5] += 5e-3
    assert measure("confidence", "", found, expected).acceptable
    found[0, 0, 5:20] += 5e-3
    assert not measure("confidence", "", found, expected).acceptable  # 0.2 % of the pixels
    found = expected.copy()
    found[0, 0, 0] += 2e-2
    assert not measure("confidence", "", found, expected).acceptable


def off_by(output: str, case: str, *, largest: float, most: float) -> Difference:
    limits = EXACT_LIMITS[output]
    figures = {Figure.LARGEST: largest, Figure.MOST: most, Figure.MEAN: most / 2}
    return Difference(output=output, case=case, measure=limits.measure, figures=figures, limits=limits.most)


def test_the_error_names_the_worst_output_and_its_size():
    differences = [
        off_by("depth", "1 x 56 x 84", largest=1e-5, most=1e-5),
        off_by("normal", "2 x 28 x 28", largest=3.0, most=2.0),
        off_by("confidence", "2 x 28 x 28", largest=0.1, most=0.05),
    ]
    with pytest.raises(ExportError, match=r"normal at 2 x 28 x 28 by 2.0e\+00 deg.*1 more"):
        require_acceptable(differences)
    require_acceptable(differences[:1])


def test_every_verification_covers_a_batch_and_sizes_that_are_no_multiple():
    sizes = SIZES_NHW
    assert len(sizes) >= 3
    assert any(n > 1 for n, _, _ in sizes)
    assert any(height % 28 and width % 28 and height % 32 and width % 32 for _, height, width in sizes)
    assert verify.TRACED_SIZE_HW not in [(height, width) for _, height, width in sizes]
