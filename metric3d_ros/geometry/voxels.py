"""A voxel grid: one point for each small cube of space."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError

_AXIS_BITS = 21  # three of them fit an int64


def voxel_means(
    points: NDArray[np.float32], *, size_m: float, attributes: tuple[NDArray[Any], ...] = ()
) -> tuple[NDArray[np.float32], tuple[NDArray[Any], ...]]:
    """Replace all points in each cube of `size_m` by their mean.

    `points` is (..., 3) float32, metres; points that are not finite are left out. Each of `attributes` is (..., C) with
    the points' leading shape (colours, normals) and is averaged likewise, in its own dtype; normals must be scaled to
    unit length again. Cubes are aligned with the frame's origin, so a scene that stands still keeps its cubes.

    Returns (M, 3) float32 points and a tuple of (M, C) attributes, ordered by x, then y, then z of their cubes: the
    same points in any order give the same cubes in the same order.

    Raises ConfigurationError when `size_m` is not above 0, or so small that the cloud spans over two million cubes
    along an axis.
    """
    if not size_m > 0:
        raise ConfigurationError(f"the voxel size is {size_m:g} m, expected above 0")
    columns = points.reshape(-1, 3).T
    kept = np.flatnonzero(np.isfinite(columns).all(axis=0))
    columns = columns.take(kept, axis=1)  # (3, N)
    labels, counts = _label_cubes(columns, size_m)

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        sums = np.stack([np.bincount(labels, weights=each, minlength=len(counts)) for each in values], axis=1)
        means = sums / counts[:, None]
        return (np.rint(means) if np.issubdtype(values.dtype, np.integer) else means).astype(values.dtype)

    means = tuple(mean(each.reshape(-1, each.shape[-1]).T.take(kept, axis=1)) for each in attributes)
    return mean(columns), means


def _label_cubes(columns: NDArray[np.float32], size_m: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number the cubes that hold points: returns each point's cube (N,) and each cube's count of points (M,)."""
    key = np.zeros(columns.shape[1], np.int64)
    for coordinates in columns:
        cell = np.floor(coordinates.astype(np.float64) / size_m)
        cell -= cell.min(initial=np.inf)
        if cell.max(initial=0.0) >= 1 << _AXIS_BITS:
            raise ConfigurationError(
                f"the voxel size is {size_m:g} m, too small for a cloud {cell.max():.0f} cubes long: raise it"
            )
        key <<= _AXIS_BITS
        key |= cell.astype(np.int64)
    order = np.argsort(key)
    ordered = key.take(order)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(order) else order
    counts = np.diff(starts, append=len(order))
    labels = np.empty(len(order), np.intp)
    labels[order] = np.repeat(np.arange(len(starts)), counts)
    return labels, counts
