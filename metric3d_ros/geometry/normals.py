"""Surface normals from depth, for models that give none.

A plane at distance h whose normal n faces the camera holds the points with n . P = -h. With P = depth * (x, y, 1) that
is 1 / depth = -n . (x, y, 1) / h: a linear function a x + b y + c of the ray, and n is -(a, b, c), normalised. So the
slopes of inverse depth give a plane's normal exactly, however slanted the plane is. The same holds for range and unit
rays.
"""

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.geometry.deprojection import check_size
from metric3d_ros.geometry.row_blocks import row_blocks

Array = NDArray[np.float32]

# Relative change of inverse depth per pixel above which two neighbours are not on one surface.
_MAX_JUMP = 0.25
# A surface ends where the slopes on a pixel's two sides differ by more than this part of inverse depth per pixel, and
# one is three times the other or they have opposite signs: a round surface bends, but not so suddenly.
_MAX_BEND = 0.02
# Pixels on each side that a normal depends on.
_REACH = 2


def normals_from_depth(depth_m: Array, camera: Camera) -> Array:
    """Estimate the surface normal of every pixel: (H, W, 3) float32 unit vectors in the optical frame.

    `depth_m` is (H, W) metres, NaN, infinite or <= 0 where invalid. Normals face the camera (a wall in front of it is
    0, 0, -1). Each comes from the pixel and two more on each side, along its row and its column; at an edge only from
    the side that lies on the same surface. NaN where depth is invalid or has no neighbour on its surface in one of the
    two directions.

    Raises CameraError when the camera's size is not the image's.
    """
    check_size(depth_m, camera)
    normals = np.empty((*depth_m.shape, 3), np.float32)
    rays = camera.rays()
    for block in row_blocks(camera.height, reach=_REACH):
        found = _normals_of_block(depth_m[block.around], rays[block.around], camera)
        normals[block.rows] = found[block.inner]
    return normals


def _normals_of_block(depth_m: Array, rays: Array, camera: Camera) -> Array:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        inverse = np.where((depth_m > 0) & np.isfinite(depth_m), 1 / depth_m, np.float32(np.nan))
        along_v, along_u = (_slope(inverse, axis=axis) for axis in (0, 1))  # per pixel down, to the right
        if camera.along_rays:
            a, b, c = _plane_by_directions(inverse, along_u, along_v, rays)
        else:
            if camera.distortion:
                a, b = _slopes_by_ray(along_u, along_v, rays)
            else:
                a, b = along_u * np.float32(camera.fx), along_v * np.float32(camera.fy)
            c = inverse - a * rays[..., 0] - b * rays[..., 1]
        scale = np.float32(-1) / np.sqrt(a * a + b * b + c * c)
        return np.dstack([a * scale, b * scale, c * scale])


def _slope(inverse: Array, *, axis: int) -> Array:
    """Return the change of `inverse` (H, W) per pixel along `axis`; NaN where neither side continues the surface."""
    size = inverse.shape[axis]
    padded = list(inverse.shape)
    padded[axis] += 3
    # At i: the step from pixel i - 2 to pixel i - 1. Two NaN stand before the first step, two behind the last.
    steps = np.full(padded, np.nan, np.float32)
    inner = _part(steps, 2, size + 1, axis)
    np.subtract(_part(inverse, 1, size, axis), _part(inverse, 0, size - 1, axis), out=inner)
    nearer = np.minimum(_part(inverse, 1, size, axis), _part(inverse, 0, size - 1, axis))
    np.copyto(inner, np.float32(np.nan), where=np.abs(inner) > np.float32(_MAX_JUMP) * nearer)

    before = _one_sided(_part(steps, 1, size + 1, axis), _part(steps, 0, size, axis))
    after = _one_sided(_part(steps, 2, size + 2, axis), _part(steps, 3, size + 3, axis))
    slope = (before + after) * np.float32(0.5)
    steep_before, steep_after = np.abs(before), np.abs(after)
    bend = np.abs(after - before)
    ends = (bend > np.float32(_MAX_BEND) * inverse) & (bend > np.float32(0.5) * (steep_before + steep_after))
    np.copyto(slope, np.where(steep_after < steep_before, after, before), where=ends)
    # One side missing: the other one alone.
    np.copyto(slope, after, where=np.isnan(before))
    np.copyto(slope, before, where=np.isnan(after))
    return slope


def _one_sided(near: Array, far: Array) -> Array:
    """Return the least-squares slope over the steps to the first and from there to the second neighbour.

    For values 0, d1, d1 + d2 at 0, 1, 2 and a line through the first it is (d1 + 2 (d1 + d2)) / 5.
    """
    return np.where(np.isnan(far), near, near * np.float32(0.6) + far * np.float32(0.4))


def _slopes_by_ray(along_u: Array, along_v: Array, rays: Array) -> tuple[Array, Array]:
    """Turn slopes per pixel into slopes per ray coordinate, for lenses whose rays are not evenly spaced."""
    x_by_v, x_by_u = (_central(rays[..., 0], axis=axis) for axis in (0, 1))
    y_by_v, y_by_u = (_central(rays[..., 1], axis=axis) for axis in (0, 1))
    scale: Array = np.reciprocal(x_by_u * y_by_v - y_by_u * x_by_v)
    return (along_u * y_by_v - along_v * y_by_u) * scale, (along_v * x_by_u - along_u * x_by_v) * scale


def _plane_by_directions(inverse: Array, along_u: Array, along_v: Array, rays: Array) -> tuple[Array, Array, Array]:
    """Return the (a, b, c) whose product with each ray is 1 / depth, of rays that are not scaled to z = 1.

    Three equations: for the ray itself, and for how it changes to the right and down, with Cramer's rule.
    """
    by_v, by_u = (np.stack([_central(rays[..., i], axis=axis) for i in range(3)], axis=-1) for axis in (0, 1))
    across = np.cross(by_u, by_v)
    scale = np.reciprocal(np.einsum("...i,...i->...", rays, across))[..., None]
    plane = (
        inverse[..., None] * across
        + along_u[..., None] * np.cross(by_v, rays)
        + along_v[..., None] * np.cross(rays, by_u)
    ) * scale
    return plane[..., 0], plane[..., 1], plane[..., 2]


def _central(values: Array, *, axis: int) -> Array:
    """Return the change of `values` (H, W) per pixel along `axis`, one-sided at both ends."""
    size = values.shape[axis]
    slope = np.full_like(values, np.nan)
    if size > 1:
        _part(slope, 0, 1, axis)[...] = _part(values, 1, 2, axis) - _part(values, 0, 1, axis)
        _part(slope, size - 1, size, axis)[...] = _part(values, size - 1, size, axis) - _part(
            values, size - 2, size - 1, axis
        )
        _part(slope, 1, size - 1, axis)[...] = (
            _part(values, 2, size, axis) - _part(values, 0, size - 2, axis)
        ) * np.float32(0.5)
    return slope


def _part(values: Array, start: int, stop: int, axis: int) -> Array:
    return values[start:stop] if axis == 0 else values[:, start:stop]
