"""Culling: finds the solids that can affect a patch of the image, because it sees them or they shade or touch it.

Written for both NumPy and PyTorch: `xp` is the library. Culled solids cannot change the picture.
"""

from typing import Any, NamedTuple

import numpy as np

from metric3d_ros.world.description import solids as s
from metric3d_ros.world.rendering.ray_casting import Tables

Array = Any
WIDE = 1e9
SUN_AWAY = 50.0  # a sun's frustum starts at so many times the reach of its shadows, as its rays are parallel
MARGIN_SHARE, MARGIN_M = 0.03, 0.01  # by which patches are widened; the first is more than 1 / SUN_AWAY


class Extents(NamedTuple):
    """Boxes around solids: turned ones, and along the world's axes."""

    centre: Array  # (..., K, 3)
    spokes: Array  # (..., K, 3, 3) half the edges, as vectors
    low: Array  # (..., K, 3)
    high: Array  # (..., K, 3)


class Frustum(NamedTuple):
    """A pyramid: apex, axes (columns: right, down, forward) and the range of x / z and of y / z."""

    rotation: Array  # (..., 3, 3)
    apex: Array  # (..., 3)
    ranges: Array  # (..., 4) least x / z, largest x / z, least y / z, largest y / z


def extents(xp: Any, tables: Tables) -> Extents:
    """Return the extents of solids: boxes, ellipsoids, cylinders."""
    centres, spokes, reaches = [], [], []
    for kind, rows in enumerate((tables.boxes, tables.ellipsoids, tables.cylinders)):
        half = rows[..., s.HALF_SIZE : s.HALF_SIZE + 3]
        if kind == 2:
            widest = xp.clip(rows[..., s.TAPER : s.TAPER + 1], 1.0, None)
            half = xp.concatenate([half[..., :2] * widest, half[..., 2:]], -1)
        own = rows[..., :9].reshape(*rows.shape[:-1], 3, 3) * half[..., None]
        centres.append(rows[..., s.CENTRE : s.CENTRE + 3])
        spokes.append(own)
        reaches.append(xp.sqrt((own * own).sum(-2)) if kind == 1 else xp.abs(own).sum(-2))
    centre, reach = xp.concatenate(centres, -2), xp.concatenate(reaches, -2)
    return Extents(centre, xp.concatenate(spokes, -3), centre - reach, centre + reach)


def in_frustum(xp: Any, solids: Extents, frustum: Frustum) -> Array:
    """Return (..., K) which solids reach into a frustum, conservatively: none of its planes has them wholly outside."""
    offset = solids.centre - frustum.apex[..., None, :]
    rotation, ranges = frustum.rotation, frustum.ranges

    def along(vector: Array, axis: int) -> Array:
        columns = rotation[..., axis]
        x, y, z = (columns[..., None, a] for a in range(3))
        return vector[..., 0] * x + vector[..., 1] * y + vector[..., 2] * z

    centre = [along(offset, axis) for axis in range(3)]
    spokes = [[along(solids.spokes[..., k, :], axis) for axis in range(3)] for k in range(3)]
    keep = centre[2] + xp.abs(spokes[0][2]) + xp.abs(spokes[1][2]) + xp.abs(spokes[2][2]) >= 0.0
    for index, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
        limit = ranges[..., index, None]
        reach = sign * (centre[axis] - limit * centre[2])
        for spoke in spokes:
            reach = reach + xp.abs(spoke[axis] - limit * spoke[2])
        keep = keep & (reach >= 0.0)
    return keep


def in_box(solids: Extents, low: Array, high: Array) -> Array:
    """Return (..., K) which solids reach into a box (..., 3) along the world's axes."""
    keep = (solids.low[..., 0] <= high[..., None, 0]) & (solids.high[..., 0] >= low[..., None, 0])
    for axis in (1, 2):
        keep = (
            keep & (solids.low[..., axis] <= high[..., None, axis]) & (solids.high[..., axis] >= low[..., None, axis])
        )
    return keep


def may_shade(xp: Any, solids: Extents, low: Array, high: Array, light: Array) -> Array:
    """Return (..., K) which solids may be between a light (..., LIGHT_COLUMNS) and the points of a box (..., 3)."""
    margin = MARGIN_SHARE * (high - low) + MARGIN_M
    low, high = low - margin, high + margin
    position, is_lamp = light[..., :3], light[..., s.LIGHT_IS_LAMP : s.LIGHT_IS_LAMP + 1]
    # A lamp is one place; a sun is as far from each point.
    end_low, end_high = position + (1.0 - is_lamp) * low, position + (1.0 - is_lamp) * high
    between = in_box(solids, xp.minimum(low, end_low), xp.maximum(high, end_high))
    middle = 0.5 * (low + high)
    apex = is_lamp * position + (1.0 - is_lamp) * (middle + SUN_AWAY * position)
    return between & in_frustum(xp, solids, _frustum_around(xp, low, high, apex))


def _frustum_around(xp: Any, low: Array, high: Array, apex: Array) -> Frustum:
    """Return the frustum from an apex around a box (..., 3); an all-including one if the apex is too near."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    forward = middle - apex
    distance = xp.sqrt((forward * forward).sum(-1)) + 1e-6
    fx, fy, fz = (forward[..., a] / distance for a in range(3))
    steep = xp.abs(fz) > 0.9
    # Right is forward x up, or forward x (1, 0, 0) if it points up or down.
    rx, ry, rz = xp.where(steep, 0.0, fy), xp.where(steep, fz, -fx), xp.where(steep, -fy, 0.0)
    length = xp.sqrt(rx * rx + ry * ry + rz * rz) + 1e-9
    rx, ry, rz = rx / length, ry / length, rz / length
    dx, dy, dz = fy * rz - fz * ry, fz * rx - fx * rz, fx * ry - fy * rx
    right, down, ahead = (xp.stack(list(axis), -1) for axis in ((rx, ry, rz), (dx, dy, dz), (fx, fy, fz)))
    x_ratios, y_ratios, depths = [], [], []
    for signs in np.ndindex(2, 2, 2):
        corner = [half[..., a] * (2.0 * signs[a] - 1.0) for a in range(3)]
        x, y, z = (sum(corner[a] * axis[..., a] for a in range(3)) for axis in (right, down, ahead))
        z = z + distance
        safe = xp.where(z > 1e-3, z, 1e-3)
        x_ratios.append(x / safe)
        y_ratios.append(y / safe)
        depths.append(z)
    behind = xp.amin(xp.stack(depths, -1), -1) <= 1e-3
    ratios = []
    for values in (x_ratios, y_ratios):
        stacked = xp.stack(values, -1)
        ratios += [
            xp.where(behind, -WIDE, xp.amin(stacked, -1)),
            xp.where(behind, WIDE, xp.amax(stacked, -1)),
        ]
    # Nothing is left out if the apex is within the box: the axis is then of no use either.
    start = apex - xp.where(behind, WIDE, 0.0)[..., None] * ahead
    return Frustum(xp.stack([right, down, ahead], -1), start, xp.stack(ratios, -1))
