"""What of an organised cloud a file of points holds: the points with finite coordinates, and what goes with them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError

Array = npt.NDArray[Any]


def keep_valid(
    path: Path, points: Array, *, rgb: Array | None, normals: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """Return the points (N, 3) of (..., 3) whose coordinates are all finite, and the colours and normals beside them.

    Raises DataError, with the file's name, if the arrays do not fit together.
    """
    if points.shape[-1:] != (3,):
        raise DataError(f"{path}: points have shape {points.shape}, expected (..., 3)")
    for name, values in (("rgb", rgb), ("normals", normals)):
        if values is not None and values.shape != points.shape:
            raise DataError(f"{path}: {name} has shape {values.shape}, expected the points' {points.shape}")
    flat = points.reshape(-1, 3)
    kept = np.isfinite(flat).all(axis=1)
    colours, directions = (None if values is None else values.reshape(-1, 3)[kept] for values in (rgb, normals))
    return flat[kept], colours, directions
