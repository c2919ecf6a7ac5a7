"""Calibration images: always the same, and not those that the guard judges by."""

import numpy as np

from metric3d_export.checks import guard
from metric3d_export.precision import calibration_images as calibration
from metric3d_export.precision.calibration_images import calibration_images


def test_calibration_sees_other_rooms_than_the_guard():
    assert min(scene for scene, _ in calibration.ROOMS) >= 1  # the guard's is the very first
    assert {size for _, size in calibration.ROOMS}.isdisjoint(guard.ROOM_SIZES_HW)


def test_calibration_images_are_the_same_each_time_and_all_different():
    images, again = calibration_images(), calibration_images()
    assert all(np.array_equal(a, b) and f == g for (a, f), (b, g) in zip(images, again, strict=True))
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image, _ in images)
    assert len({image.tobytes() for image, _ in images}) == len(images)
