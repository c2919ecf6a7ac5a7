"""Which depth pixels to trust: range, confidence, and edges where depth jumps."""

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry.row_blocks import row_blocks

DEFAULT_MAX_JUMP = 0.1


def filter_depth(
    depth_m: NDArray[np.float32],
    *,
    min_depth_m: float = 0.0,
    max_depth_m: float = float("inf"),
    confidence: NDArray[np.float32] | None = None,
    min_confidence: float = 0.0,
    max_jump: float | None = None,
) -> NDArray[np.float32]:
    """Return a copy of `depth_m` (H, W) in which every pixel that fails a test is NaN.

    A pixel passes when min_depth_m <= depth <= max_depth_m (and depth is finite and > 0), its confidence (H, W) is at
    least `min_confidence`, and it is not on an edge that `depth_edges` finds with `max_jump`; None keeps edges.
    A NaN confidence fails wherever `min_confidence` is > 0.

    Raises ConfigurationError when a limit cannot be met by anything.
    """
    if not min_depth_m < max_depth_m:
        raise ConfigurationError(
            f"depth limits are {min_depth_m:g} to {max_depth_m:g} m, expected the first below the second"
        )
    with np.errstate(invalid="ignore"):
        kept = (depth_m > 0) & (depth_m >= min_depth_m) & (depth_m <= max_depth_m) & np.isfinite(depth_m)
        if confidence is not None and min_confidence > 0:
            kept &= confidence >= min_confidence
    if max_jump is not None:
        kept &= ~depth_edges(depth_m, max_jump=max_jump)
    return np.where(kept, depth_m, np.float32(np.nan))


def depth_edges(depth_m: NDArray[np.float32], *, max_jump: float = DEFAULT_MAX_JUMP) -> NDArray[np.bool_]:
    """Find the pixels from which depth jumps to one of the 8 neighbours: (H, W) bool.

    There, cameras and networks alike leave points that fly between the near and the far surface. A jump is more than
    `max_jump` times the nearer depth: 0.1 is 20 cm at 2 m. Both sides of a jump are edges. A surface seen at a grazing
    angle jumps too, by z / (height * focal_px) per pixel for a floor, so far floors are the first to go when the limit
    is small. Neighbours that are NaN, infinite or <= 0 are no jump.

    Raises ConfigurationError when `max_jump` is not above 0.
    """
    if not max_jump > 0:
        raise ConfigurationError(f"max_jump is {max_jump:g}, expected above 0 (0.1 is a tenth of the nearer depth)")
    edges = np.empty(depth_m.shape, np.bool_)
    for block in row_blocks(len(depth_m), reach=1):
        edges[block.rows] = _edges_of_block(depth_m[block.around], max_jump)[block.inner]
    return edges


def _edges_of_block(depth_m: NDArray[np.float32], max_jump: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        usable = (depth_m > 0) & np.isfinite(depth_m)
    everywhere = bool(usable.all())
    nearest = depth_m if everywhere else np.where(usable, depth_m, np.float32(np.inf))
    farthest = depth_m if everywhere else np.where(usable, depth_m, np.float32(0))
    # Over 3 x 3, rows first, then columns.
    for axis in (0, 1):
        nearest = _over_neighbours(np.minimum, nearest, axis=axis)
        farthest = _over_neighbours(np.maximum, farthest, axis=axis)
    edges: NDArray[np.bool_] = farthest > nearest * np.float32(1 + max_jump)
    return edges if everywhere else edges & usable


def _over_neighbours(reduce: np.ufunc, image: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
    """Reduce each pixel with its two neighbours along `axis`."""
    if image.shape[axis] < 2:
        return image
    result = np.empty_like(image)
    values, reduced = (image, result) if axis == 0 else (image.T, result.T)
    pairs = reduce(values[1:], values[:-1])
    reduced[0], reduced[-1] = pairs[0], pairs[-1]
    reduce(pairs[1:], pairs[:-1], out=reduced[1:-1])
    return result
