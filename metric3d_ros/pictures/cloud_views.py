"""Point clouds seen from above and from the side, to scale, with a metric grid."""

import dataclasses
import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.pictures.text import MUTED_RGB, draw_text

Rgb = NDArray[np.uint8]

BACKGROUND_RGB = (22, 24, 28)
_GRID_RGB = (52, 56, 62)
_CAMERA_RGB = (240, 240, 240)
_MARGIN = 0.04
# Drawn at twice the size and averaged down, so that points and lines are smooth.
_OVERSAMPLING = 2


@dataclasses.dataclass(frozen=True)
class _Plane:
    """A direction to look along: which axis, with which sign, goes right, up, and towards the viewer."""

    right: tuple[int, int]
    up: tuple[int, int]
    viewer: tuple[int, int]


_X, _Y, _Z = 0, 1, 2
View = Literal["above", "side"]
ABOVE: View = "above"
SIDE: View = "side"
_PLANES = {
    ABOVE: _Plane(right=(_X, 1), up=(_Z, 1), viewer=(_Y, -1)),
    SIDE: _Plane(right=(_Z, 1), up=(_Y, -1), viewer=(_X, 1)),
}


def draw_cloud(
    points: NDArray[np.float32],
    rgb: Rgb,
    *,
    view: View,
    size_hw: tuple[int, int] = (480, 480),
    max_depth_m: float | None = None,
) -> Rgb:
    """Draw (..., 3) points of the optical frame in their colours, orthographically: (*size_hw, 3) uint8 RGB.

    `above`: x to the right, depth up, the camera at the bottom. `side`: depth to the right, height up, the camera at
    the left, seen from the camera's right. The point nearest to the viewer hides the others. Points that are not
    finite are omitted. The picture spans 98 % of the points, or depth up to `max_depth_m`; its scale is the same in
    both directions, and grid lines are labelled in metres.
    """
    plane = _PLANES[view]
    flat, colours = points.reshape(-1, 3), rgb.reshape(-1, 3)
    kept = np.isfinite(flat).all(axis=1)
    if max_depth_m is not None:
        with np.errstate(invalid="ignore"):
            kept &= flat[:, 2] <= max_depth_m
    flat, colours = flat[kept], colours[kept]
    height, width = size_hw[0] * _OVERSAMPLING, size_hw[1] * _OVERSAMPLING
    right, up, towards = (flat[:, axis] * sign for axis, sign in (plane.right, plane.up, plane.viewer))
    window = _Window.fitting(right, up, height=height, width=width)

    canvas = np.full((height, width, 3), BACKGROUND_RGB, np.uint8)
    lines = window.grid_lines()
    window.draw_grid(canvas, lines)
    _scatter(canvas, *window.to_pixels(right, up), towards, colours)
    window.draw_camera(canvas, view)
    canvas = np.asarray(cv2.resize(canvas, size_hw[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
    window.label_grid(canvas, lines)
    return canvas


@dataclasses.dataclass(frozen=True)
class _Window:
    """The part of the plane that is drawn: `left` and `bottom` in metres, and the scale."""

    left: float
    bottom: float
    px_per_m: float
    height: int
    width: int

    @classmethod
    def fitting(cls, right: NDArray[np.float32], up: NDArray[np.float32], *, height: int, width: int) -> "_Window":
        """Fit 98 % of the points and the camera (at 0, 0) into the picture."""
        if len(right):
            (left, most_right), (bottom, top) = (np.percentile(values, (1, 99)) for values in (right, up))
        else:
            left, most_right, bottom, top = -1.0, 1.0, 0.0, 2.0
        left, most_right = min(float(left), 0.0), max(float(most_right), 0.0)
        bottom, top = min(float(bottom), 0.0), max(float(top), 0.0)
        span = max((most_right - left) / width, (top - bottom) / height, 1e-3 / width)
        px_per_m = (1 - 2 * _MARGIN) / span
        return cls(
            left=(left + most_right) / 2 - width / 2 / px_per_m,
            bottom=(bottom + top) / 2 - height / 2 / px_per_m,
            px_per_m=px_per_m,
            height=height,
            width=width,
        )

    def to_pixels(
        self, right: NDArray[np.float32], up: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (column, row) of points on the plane."""
        return (right - self.left) * self.px_per_m, self.height - (up - self.bottom) * self.px_per_m

    def grid_lines(self) -> tuple[list[float], list[float]]:
        """Return where vertical and horizontal lines stand, in metres, at least 60 final pixels apart."""
        least = 60 * _OVERSAMPLING / self.px_per_m
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)

        def multiples(start: float, length: int) -> list[float]:
            first, last = math.ceil(start / step), math.floor((start + length / self.px_per_m) / step)
            return [i * step for i in range(first, last + 1)]

        return multiples(self.left, self.width), multiples(self.bottom, self.height)

    def draw_grid(self, canvas: Rgb, lines: tuple[list[float], list[float]]) -> None:
        for value in lines[0]:
            column = round((value - self.left) * self.px_per_m)
            cv2.line(canvas, (column, 0), (column, self.height), _GRID_RGB, _OVERSAMPLING)
        for value in lines[1]:
            row = round(self.height - (value - self.bottom) * self.px_per_m)
            cv2.line(canvas, (0, row), (self.width, row), _GRID_RGB, _OVERSAMPLING)

    def label_grid(self, canvas: Rgb, lines: tuple[list[float], list[float]]) -> None:
        """Write metres at the bottom of vertical and at the left of horizontal lines of the final picture."""
        height, width = canvas.shape[:2]
        scale = self.px_per_m / _OVERSAMPLING
        for value in filter(None, lines[0]):  # the camera itself marks 0
            column = (value - self.left) * scale
            if 30 < column < width - 30:
                draw_text(canvas, f"{value:g}", (column + 4, height - 6), size_px=11, rgb=MUTED_RGB)
        for value in filter(None, lines[1]):
            row = height - (value - self.bottom) * scale
            if 16 < row < height - 20:
                draw_text(canvas, f"{value:g} m", (5, row - 4), size_px=11, rgb=MUTED_RGB)

    def draw_camera(self, canvas: Rgb, view: View) -> None:
        """Mark the origin by a triangle that opens in the direction of view."""
        column, row = self.to_pixels(np.zeros(1, np.float32), np.zeros(1, np.float32))
        at = np.array([column[0], row[0]])
        size = 0.022 * self.height
        opens = (
            np.array([[0, 0], [-0.7, -1], [0.7, -1]]) if view == "above" else np.array([[0, 0], [1, -0.7], [1, 0.7]])
        )
        cv2.polylines(
            canvas, [np.rint(at + opens * size).astype(np.int32)], True, _CAMERA_RGB, _OVERSAMPLING, cv2.LINE_AA
        )


def _scatter(
    canvas: Rgb,
    column: NDArray[np.float32],
    row: NDArray[np.float32],
    towards: NDArray[np.float32],
    colours: Rgb,
) -> None:
    """Paint each point as a square of 2 x 2 pixels; where points meet, the one with the largest `towards` is seen."""
    height, width = canvas.shape[:2]
    inside = (column >= 0) & (column < width - 1) & (row >= 0) & (row < height - 1)
    # In the order of an assignment with repeated indices the last one stays: draw from the back to the front.
    order = np.flatnonzero(inside)
    order = order[np.argsort(towards[order], kind="stable")]
    pixels = row[order].astype(np.intp) * width + column[order].astype(np.intp)
    flat = canvas.reshape(-1, 3)
    nearest = np.full(height * width, -np.inf, np.float32)
    for offset in (0, 1, width, width + 1):
        covered = pixels + offset
        level = np.full(height * width, -np.inf, np.float32)
        level[covered] = towards[order]
        winner = np.zeros(height * width, np.intp)
        winner[covered] = order
        shown = np.flatnonzero(level > nearest)
        nearest[shown] = level[shown]
        flat[shown] = colours[winner[shown]]
