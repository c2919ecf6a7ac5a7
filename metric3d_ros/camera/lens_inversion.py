"""A lens model inverted for every pixel of a camera: solved on a grid, interpolated, and every pixel checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from metric3d_ros.camera.record import Camera

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Points = tuple[Float64Array, Float64Array]

# A ray whose reprojection misses its own pixel by more than this has no place on the lens model.
_MAX_REPROJECTION_PX = 0.1
# What interpolation misses by more than this is solved: on ordinary lenses nothing but the edge of the model.
_ACCURATE_PX = 5e-4
_SPACING_PX = 4
# Arrays of this many pixels stay in a processor's cache.
_BLOCK_PIXELS = 16_384


class Lens(Protocol):
    """What bends the rays: between the plane z = 1 and where its points appear there."""

    @property
    def widest_deg(self) -> float:
        """The angle off the axis up to which there are rays."""

    def distort(self, x: Float64Array, y: Float64Array) -> Points:
        """Return where points (x, y, 1) appear; NaN where the lens model does not reach."""

    def undistort(self, x: Float64Array, y: Float64Array, *, near: Points | None = None) -> Points:
        """Return the points that appear at (x, y), NaN where there are none; `near` them are these, where not NaN."""


def plane_coordinates(camera: Camera) -> tuple[Float64Array, Float64Array]:
    """Return where columns (W,) and rows (H,) lie on the plane z = 1, as seen through a perfect lens."""
    u = (np.arange(camera.width, dtype=np.float64) - camera.cx) / camera.fx
    v = (np.arange(camera.height, dtype=np.float64) - camera.cy) / camera.fy
    return u, v


def invert_lens(lens: Lens, camera: Camera, inverted: Float32Array) -> None:
    """Fill (H, W, 2) float32 with the point on the plane z = 1 that each pixel sees; NaN where the lens has none.

    Every point is checked as it is stored, in single precision: projected through `lens` it appears within a tenth of
    a pixel of its own pixel. Solving for each pixel instead takes three times as long.
    """
    u, v = plane_coordinates(camera)
    grid_x, grid_y, known, near = _solve_grid(lens, camera)
    unsolved = np.empty((camera.height, camera.width), np.bool_)
    for rows in _row_blocks(camera):
        cells = slice(rows.start // _SPACING_PX, -(-rows.stop // _SPACING_PX))
        size = (rows.stop - rows.start, camera.width)
        wanted_x, wanted_y = (plane.ravel() for plane in np.meshgrid(u, v[rows]))
        x, y = (_interpolate(grid, cells)[: size[0], : size[1]].ravel() for grid in (grid_x, grid_y))
        missed = _reprojection_px(lens, camera, x, y, wanted_x, wanted_y)
        interpolated = _to_pixels(known[cells], size)
        x[~interpolated] = y[~interpolated] = np.nan
        inverted[rows, :, 0], inverted[rows, :, 1] = x.reshape(size), y.reshape(size)
        accurate = interpolated & (missed <= _ACCURATE_PX)
        unsolved[rows] = (_to_pixels(near[cells], size) & ~accurate).reshape(size)
    at_v, at_u = np.nonzero(unsolved)
    if at_v.size:
        wanted_x, wanted_y = u[at_u], v[at_v]
        about_x, about_y = inverted[at_v, at_u].T.astype(np.float64)
        solved = lens.undistort(wanted_x, wanted_y, near=(about_x, about_y))
        x, y = (plane.astype(np.float32) for plane in solved)
        lost = ~(_reprojection_px(lens, camera, x, y, wanted_x, wanted_y) <= _MAX_REPROJECTION_PX)
        x[lost] = y[lost] = np.nan
        inverted[at_v, at_u, 0], inverted[at_v, at_u, 1] = x, y


def _row_blocks(camera: Camera) -> Iterator[slice]:
    rows = max(1, _BLOCK_PIXELS // (camera.width * _SPACING_PX)) * _SPACING_PX
    for top in range(0, camera.height, rows):
        yield slice(top, min(top + rows, camera.height))


def _solve_grid(lens: Lens, camera: Camera) -> tuple[Float64Array, Float64Array, BoolArray, BoolArray]:
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
    return x, y, np.asarray(known, np.bool_), np.asarray(near, np.bool_)


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


def _interpolate(grid: Float64Array, cells: slice) -> Float32Array:
    """Return the values of all pixels in rows of cells, from the knots around them."""
    count, columns = cells.stop - cells.start, grid.shape[1] - 3
    tall = np.empty((count, _SPACING_PX, grid.shape[1]), np.float32)
    a, b, c, d = (grid[cells.start + rank : cells.start + rank + count] for rank in range(4))
    for pixel, weights in enumerate(_WEIGHTS):
        tall[:, pixel] = weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d
    tall = tall.reshape(count * _SPACING_PX, grid.shape[1])
    wide = np.empty((len(tall), columns, _SPACING_PX), np.float32)
    a, b, c, d = (tall[:, rank : rank + columns] for rank in range(4))
    for pixel, weights in enumerate(_WEIGHTS.astype(np.float32)):
        wide[..., pixel] = weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d
    return wide.reshape(len(tall), columns * _SPACING_PX)


def _to_pixels(cells: BoolArray, size_hw: tuple[int, int]) -> BoolArray:
    """Return for each pixel, as one row after the other, what its cell has."""
    pixels = np.repeat(np.repeat(cells, _SPACING_PX, axis=0), _SPACING_PX, axis=1)
    return pixels[: size_hw[0], : size_hw[1]].ravel()


def _reprojection_px(
    lens: Lens, camera: Camera, x: Float32Array, y: Float32Array, wanted_x: Float64Array, wanted_y: Float64Array
) -> Float64Array:
    seen_x, seen_y = lens.distort(x.astype(np.float64), y.astype(np.float64))
    return np.maximum(np.abs(seen_x - wanted_x) * camera.fx, np.abs(seen_y - wanted_y) * camera.fy)
