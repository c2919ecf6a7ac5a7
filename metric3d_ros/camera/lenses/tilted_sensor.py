"""A sensor that is tilted against its lens: a homography between the two planes."""

import math

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


def tilt_matrix(tilt_x: float, tilt_y: float) -> Float64Array:
    """Return the homography onto a sensor that is turned by `tilt_x`, then `tilt_y` (radians)."""
    sin_x, cos_x, sin_y, cos_y = math.sin(tilt_x), math.cos(tilt_x), math.sin(tilt_y), math.cos(tilt_y)
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    turned = about_y @ about_x
    onto_sensor = np.array([[turned[2, 2], 0, -turned[0, 2]], [0, turned[2, 2], -turned[1, 2]], [0, 0, 1]])
    return np.asarray(onto_sensor @ turned, np.float64)


def through(matrix: Float64Array, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return x, y and w of points through a homography; only points with w > 0 stay on their side of the horizon."""
    lines = []
    for by_x, by_y, constant in matrix:
        line = by_x * x
        line += by_y * y
        line += constant
        lines.append(line)
    seen_x, seen_y, w = lines
    seen_x /= w
    seen_y /= w
    return seen_x, seen_y, w
