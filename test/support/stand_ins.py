"""Stand-ins for functions that fail, pictures to be read, and the mark of tests that need PyTorch."""

import importlib.util

import numpy as np
import pytest

from metric3d_ros.recordings.images import write_rgb

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def raising(error):
    """Return a function of any arguments that raises this."""

    def fail(*_, **__):
        raise error

    return fail


def write_picture(path, *, shade=100, size_hw=(48, 64)):
    """Write a picture of one grey; return its path."""
    write_rgb(path, np.full((*size_hw, 3), shade, np.uint8))
    return path
