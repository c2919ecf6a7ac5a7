"""A folder of pictures that several tests of runs share."""

import numpy as np
import pytest

from metric3d_ros.recordings.images import write_rgb


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 64 x 48."""
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        write_rgb(tmp_path / "pictures" / f"view_{number}.png", rgb)
    return tmp_path / "pictures"
