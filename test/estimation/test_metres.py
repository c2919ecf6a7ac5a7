"""Depth becomes metres in one function, for numbers and arrays alike."""

import numpy as np

from metric3d_ros.estimation.metres import metres_per_canonical_metre


def test_an_image_of_a_longer_lens_shows_things_as_much_farther_away():
    assert metres_per_canonical_metre(1000.0) == 1.0
    assert metres_per_canonical_metre(500.0) == 0.5
    np.testing.assert_array_equal(metres_per_canonical_metre(np.array([250.0, 2000.0])), [0.25, 2.0])
