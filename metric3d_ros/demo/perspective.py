"""Point clouds drawn in perspective, shaded by their own relief."""

import math

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating]

BACKGROUND_RGB = (12, 13, 16)
_OVERSAMPLING = 2
_RELIEF_STRENGTH = 1.8
_FAR = np.uint64(0xFFFFFFFFFFFFFFFF)


def draw_in_perspective(
    points: FloatArray,
    rgb: RgbImage,
    *,
    eye: FloatArray,
    target: FloatArray,
    size_hw: tuple[int, int],
    hfov_deg: float = 60.0,
    point_size_m: float = 0.02,
) -> RgbImage:
    """Draw (N, 3) points, z up, as discs of `point_size_m` seen from `eye` towards `target`: (*size_hw, 3) RGB.

    Nearer points cover farther ones. Edges are darkened in proportion to the step in depth behind them ("eye-dome
    lighting", Boucheny, 2009), which shows shape where colour alone does not. Points that are not finite are left out.
    """
    height, width = size_hw[0] * _OVERSAMPLING, size_hw[1] * _OVERSAMPLING
    focal_px = width / 2 / math.tan(math.radians(hfov_deg) / 2)
    seen = (points.reshape(-1, 3) - np.asarray(eye, np.float64)) @ _view_from_world(eye, target).T
    with np.errstate(invalid="ignore"):
        kept = np.isfinite(seen).all(axis=1) & (seen[:, 2] > 0.05)
    seen, colours = seen[kept], rgb.reshape(-1, 3)[kept]
    column = seen[:, 0] / seen[:, 2] * focal_px + width / 2
    row = seen[:, 1] / seen[:, 2] * focal_px + height / 2
    radius_px = np.clip(np.rint(0.5 * point_size_m * focal_px / seen[:, 2]), 1, 12).astype(np.intp)

    # One number holds depth (in its high bits) and the point's index, so a minimum per pixel gives both.
    rank = np.arange(len(seen), dtype=np.uint64)
    key = (np.minimum(seen[:, 2] * 1e5, 2**31).astype(np.uint64) << np.uint64(32)) | rank
    buffer = np.full(height * width, _FAR, np.uint64)
    for radius in np.unique(radius_px):
        chosen = radius_px == radius
        _splat(buffer, (height, width), column[chosen], row[chosen], key[chosen], int(radius))
    hit = buffer != _FAR
    canvas = np.full((height * width, 3), BACKGROUND_RGB, np.float32)
    canvas[hit] = colours[(buffer[hit] & np.uint64(0xFFFFFFFF)).astype(np.intp)]
    depth_m = np.where(hit, (buffer >> np.uint64(32)).astype(np.float64) * 1e-5, np.nan).reshape(height, width)
    lit = canvas.reshape(height, width, 3) * _relief(depth_m)[..., None]
    small = cv2.resize(lit, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def _splat(
    buffer: npt.NDArray[np.uint64],
    size_hw: tuple[int, int],
    column: FloatArray,
    row: FloatArray,
    key: npt.NDArray[np.uint64],
    radius: int,
) -> None:
    """Lower every pixel of the discs around (column, row) to the least `key` of the points that cover it."""
    height, width = size_hw
    u, v = column.astype(np.intp), row.astype(np.intp)
    inside = (u >= radius) & (u < width - radius) & (v >= radius) & (v < height - radius)
    centre, key = v[inside] * width + u[inside], key[inside]
    # Of several assignments to one pixel the last one stays: from far to near, that is the nearest point.
    order = np.argsort(key)[::-1]
    centre, key = centre[order], key[order]
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy > radius * radius + 0.5:
                continue
            at = centre + (dy * width + dx)
            buffer[at] = np.minimum(buffer[at], key)


def _relief(depth_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return a factor (H, W), below 1 if a pixel is behind its neighbours; empty pixels count as far away."""
    log_depth = np.log2(np.where(np.isfinite(depth_m), depth_m, np.nanmax(depth_m, initial=1.0) * 2)).astype(np.float32)
    shade = np.zeros_like(log_depth)
    for step in (2, 5):
        for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
            behind = log_depth - np.roll(log_depth, (dy, dx), (0, 1))
            shade += np.clip(behind, 0, 0.12)
    return np.asarray(np.exp(-_RELIEF_STRENGTH * shade), np.float32)


def _view_from_world(eye: FloatArray, target: FloatArray) -> npt.NDArray[np.float64]:
    """Return the rotation (3, 3) into a viewer's frame: x right, y down, z ahead; the world's z is up."""
    ahead = np.asarray(target, np.float64) - np.asarray(eye, np.float64)
    ahead /= np.linalg.norm(ahead)
    # Straight up or down, any direction can be to the right.
    right = np.cross(ahead, [0.0, 0.0, 1.0]) if abs(ahead[2]) < 1 - 1e-9 else np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead])
