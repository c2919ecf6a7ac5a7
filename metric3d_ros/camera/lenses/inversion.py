"""A lens model inverted for every pixel of a camera: solved on a grid, interpolated, and every pixel checked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.lens import Lens, Points
from metric3d_ros.camera.pinhole import Pinhole

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Block = tuple[slice, slice]  # rows and columns

# A ray whose reprojection misses its own pixel by more than this has no place on the lens model.
_MAX_REPROJECTION_PX = 0.1
# What misses by more than this is corrected or solved: on ordinary lenses nothing but the edge of the model.
_ACCURATE_PX = 5e-4
# If interpolation misses by more than that in many places, this is good enough: correcting all of them takes 50 ms.
_MANY, _ROUGHLY_PX = 0.25, 2e-3
# Single precision misses by more than that on its own if an image lies thousands of pixels off the optical axis.
_ROUNDING = float(np.finfo(np.float32).eps)
_OFF_AXIS_PX = 2000
_SPACING_PX = 4
# Arrays of this many pixels stay in a processor's cache.
_BLOCK_PIXELS = 32_768


def invert_lens(lens: Lens, camera: Pinhole, inverted: Float32Array) -> None:
    """Fill (H, W, 2) float32 with the point on the plane z = 1 that each pixel sees; NaN where the lens has none.

    Every point is checked as it is stored, in single precision: projected through `lens` it appears within a tenth of
    a pixel of its own pixel. Solving for each pixel instead takes three times as long.

    A lens at 640 x 480 takes 10 to 20 ms of one core; more if its model ends within the image, or bends so sharply that
    interpolation misses.
    """
    u, v = camera.plane_coordinates()
    grid, known, near = _solve_grid(lens, camera)
    farthest_px = float(max(np.abs(u).max() * camera.fx, np.abs(v).max() * camera.fy))
    rounding_px = 2 * _ROUNDING * farthest_px
    accurate_px, roughly_px = (
        min(max(wanted_px, rounding_px), _MAX_REPROJECTION_PX) for wanted_px in (_ACCURATE_PX, _ROUGHLY_PX)
    )
    dtype = np.float64 if farthest_px > _OFF_AXIS_PX else np.float32
    inverted[...] = np.nan
    unsolved = np.zeros((camera.height, camera.width), np.bool_)
    for block, cells in _blocks_with_rays(camera, near):
        part, at_rows, at_columns = inverted[block], *block
        x, y = part[..., 0], part[..., 1]
        x[...], y[...] = (_interpolate(plane, cells, dtype)[: x.shape[0], : x.shape[1]] for plane in grid)
        interpolated = _to_pixels(known[cells], x.shape)
        wanted = u[at_columns], v[at_rows, None]
        off_x, off_y = _misses_px(lens, camera, (x, y), wanted)
        off_px = _larger(off_x, off_y)
        limit_px = accurate_px
        missed = interpolated & ~(off_px <= limit_px)
        if np.count_nonzero(missed) > _MANY * missed.size:
            limit_px = roughly_px
            missed = interpolated & ~(off_px <= limit_px)
        accurate = off_px <= limit_px
        if missed.any():
            accurate[missed] = _correct(lens, camera, (x, y), missed, (off_x, off_y), wanted) <= limit_px
        part[~interpolated] = np.nan
        unsolved[block] = _to_pixels(near[cells], x.shape) & ~(interpolated & accurate)
    at_v, at_u = np.nonzero(unsolved)
    if at_v.size:
        wanted_x, wanted_y = u[at_u], v[at_v]
        about_x, about_y = inverted[at_v, at_u].T.astype(np.float64)
        solved = lens.undistort(wanted_x, wanted_y, near=(about_x, about_y))
        x, y = (plane.astype(np.float32) for plane in solved)
        missed_px = _larger(*_misses_px(lens, camera, (x, y), (wanted_x, wanted_y)))
        lost = ~(missed_px <= _MAX_REPROJECTION_PX)
        x[lost] = y[lost] = np.nan
        inverted[at_v, at_u, 0], inverted[at_v, at_u, 1] = x, y


def _correct(
    lens: Lens,
    camera: Pinhole,
    found: tuple[Float32Array, Float32Array],
    missed: BoolArray,
    off_px: Points,
    wanted: Points,
) -> Float64Array:
    """Move the points of a block that `missed` by what they are off, in place; return by how many px they then miss.

    One step of Newton's method, with the derivatives that neighbouring pixels give: a point that appears `off_px`
    beside its pixel is exchanged for what the map has as far on the other side.
    """
    height, width = missed.shape
    at = np.flatnonzero(missed)
    rows, columns = np.divmod(at, width)
    up, down, left, right = (
        step.astype(np.intp) for step in (rows > 0, rows < height - 1, columns > 0, columns < width - 1)
    )
    off_u, off_v = (plane.ravel()[at] for plane in off_px)
    step_u, step_v = off_u / np.maximum(left + right, 1), off_v / np.maximum(up + down, 1)
    left, right, above, below = at - left, at + right, at - up * width, at + down * width
    moved = []
    for plane in found:
        values = plane.ravel()
        by_u, by_v = values[right] - values[left], values[below] - values[above]
        moved.append((values[at] - step_u * by_u - step_v * by_v).astype(np.float32))
    before = _larger(off_u, off_v)
    after = _larger(*_misses_px(lens, camera, (moved[0], moved[1]), (wanted[0][columns], wanted[1][rows, 0])))
    better = after < before  # not where the map is torn
    for plane, values in zip(found, moved, strict=True):
        plane[rows[better], columns[better]] = values[better]
    return np.where(better, after, before)


def _blocks_with_rays(camera: Pinhole, near: BoolArray) -> Iterator[tuple[Block, Block]]:
    """Yield blocks of (rows, columns), in pixels and in cells, that together hold every cell that is `near`."""
    rows = max(1, _BLOCK_PIXELS // (camera.width * _SPACING_PX))
    for top in range(0, len(near), rows):
        columns = np.flatnonzero(near[top : top + rows].any(axis=0))
        if columns.size:
            cells = slice(top, min(top + rows, len(near))), slice(int(columns[0]), int(columns[-1]) + 1)
            pixels = (
                slice(side.start * _SPACING_PX, min(side.stop * _SPACING_PX, most))
                for side, most in zip(cells, (camera.height, camera.width), strict=True)
            )
            yield (next(pixels), next(pixels)), cells


def _solve_grid(lens: Lens, camera: Pinhole) -> tuple[Points, BoolArray, BoolArray]:
    """Solve at every fourth row and column, from one before the image to two after it.

    Returns x and y there (0 where the lens has no ray), and for each cell of 4 x 4 pixels whether all of the 4 x 4
    knots that a cubic through it needs are known, and whether any is, or the axis is near.
    """
    columns, rows = (
        (np.arange(-(-side // _SPACING_PX) + 3) - 1) * _SPACING_PX for side in (camera.width, camera.height)
    )
    wanted_x, wanted_y = np.meshgrid((columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy)
    x, y = lens.undistort(wanted_x.ravel(), wanted_y.ravel())
    x, y = x.reshape(wanted_x.shape), y.reshape(wanted_x.shape)
    has_ray = np.isfinite(x) & np.isfinite(y)
    x[~has_ray] = y[~has_ray] = 0.0
    # A lens may have rays so close to its axis only that no knot sees one.
    close = np.maximum(np.abs(columns - camera.cx)[None], np.abs(rows - camera.cy)[:, None]) <= _SPACING_PX
    known = np.all(_windows(has_ray), axis=(2, 3))
    near = np.any(_windows(has_ray | close), axis=(2, 3))
    return (x, y), np.asarray(known, np.bool_), np.asarray(near, np.bool_)


def _windows(plane: BoolArray) -> BoolArray:
    return np.lib.stride_tricks.sliding_window_view(plane, (4, 4))


def _cubic_weights() -> Float64Array:
    """Return (4 pixels, 4 knots): Lagrange's cubic between the second and the third of four equally spaced knots."""
    t = np.arange(_SPACING_PX) / _SPACING_PX
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )


_WEIGHTS = _cubic_weights()


def _interpolate(grid: Float64Array, cells: Block, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return the values of all pixels in rows and columns of cells, from the knots around them, computed in `dtype`."""
    count, columns = (side.stop - side.start for side in cells)
    knots = grid[cells[0].start : cells[0].stop + 3, cells[1].start : cells[1].stop + 3]
    tall = np.empty((count, _SPACING_PX, columns + 3), dtype)
    for pixel, weights in enumerate(_WEIGHTS):
        tall[:, pixel] = _weighted([knots[rank : rank + count] for rank in range(4)], weights)
    tall = tall.reshape(count * _SPACING_PX, columns + 3)
    wide = np.empty((len(tall), columns, _SPACING_PX), dtype)
    for pixel, weights in enumerate(_WEIGHTS.astype(dtype)):
        wide[..., pixel] = _weighted([tall[:, rank : rank + columns] for rank in range(4)], weights)
    return wide.reshape(len(tall), columns * _SPACING_PX)


def _weighted(planes: list[npt.NDArray[Any]], weights: npt.NDArray[Any]) -> Any:
    total = weights[0] * planes[0]
    for weight, plane in zip(weights[1:], planes[1:], strict=True):
        if weight:
            total += weight * plane
    return total


def _to_pixels(cells: BoolArray, size_hw: tuple[int, ...]) -> BoolArray:
    """Return for each pixel what its cell has."""
    pixels = np.repeat(np.repeat(cells, _SPACING_PX, axis=0), _SPACING_PX, axis=1)
    return pixels[: size_hw[0], : size_hw[1]]


def _misses_px(lens: Lens, camera: Pinhole, found: tuple[Float32Array, Float32Array], wanted: Points) -> Points:
    """Return how far to the right of and below their own pixels the points found appear, in pixels."""
    seen_x, seen_y = lens.distort(found[0].astype(np.float64), found[1].astype(np.float64))
    seen_x -= wanted[0]
    seen_x *= camera.fx
    seen_y -= wanted[1]
    seen_y *= camera.fy
    return seen_x, seen_y


def _larger(x: Float64Array, y: Float64Array) -> Float64Array:
    return np.maximum(np.abs(x), np.abs(y))
