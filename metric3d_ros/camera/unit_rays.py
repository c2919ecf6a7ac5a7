"""Directions of pixels as unit vectors, also of those that look sideways or backwards, and where directions appear.

A ray that is scaled to z = 1 ends 90 degrees off the axis. A fisheye lens sees farther, and what it sees there has a
range along the ray but no depth along the axis.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.equidistant import EquidistantLens
from metric3d_ros.camera.lenses.lens import Lens
from metric3d_ros.camera.pinhole import Pinhole
from metric3d_ros.camera.pixel_rays import compute_rays

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

WIDEST_RAD = math.radians(100.0)
"""How far off the axis a pixel may look."""
_TABLE_SIZE = 4096


@lru_cache(maxsize=8)
def unit_rays(camera: Pinhole, lens: Lens | None) -> Float32Array:
    """Return the unit direction of each pixel (H, W, 3), optical frame, also behind the image plane (z <= 0).

    Equidistant lenses have rays up to 100 degrees off the axis, others up to 90. NaN if a pixel has none. Computed once
    per camera; the array is shared and read-only.
    """
    if isinstance(lens, EquidistantLens):
        rays = _equidistant_rays(camera, lens)
    else:
        rays = compute_rays(camera, lens)
        rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    rays.flags.writeable = False
    return rays


def project_directions(camera: Pinhole, lens: EquidistantLens, xyz: Float64Array) -> Float64Array:
    """Return the pixels (..., 2) at which directions (..., 3) appear, those behind the image plane too; NaN if none."""
    aside = np.hypot(xyz[..., 0], xyz[..., 1])
    theta = np.arctan2(aside, xyz[..., 2])
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(aside > 1e-12, lens.image_radius(theta) / aside, 1 / xyz[..., 2])
        scale = np.where(theta <= _widest_rad(lens), scale, np.nan)
    return np.stack([xyz[..., 0] * scale * camera.fx + camera.cx, xyz[..., 1] * scale * camera.fy + camera.cy], axis=-1)


def _equidistant_rays(camera: Pinhole, lens: EquidistantLens) -> Float32Array:
    u, v = camera.plane_coordinates()
    u, v = u[None, :], v[:, None]
    radius = np.hypot(u, v)
    angles = np.linspace(0, _widest_rad(lens), _TABLE_SIZE)
    theta = np.interp(radius, lens.image_radius(angles), angles, right=np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        aside = np.where(radius > 1e-12, np.sin(theta) / radius, 1.0)
    return np.stack([u * aside, v * aside, np.cos(theta)], axis=-1).astype(np.float32)


@lru_cache(maxsize=8)
def _widest_rad(lens: EquidistantLens) -> float:
    """Return the angle off the axis at which the lens model turns around, at most `WIDEST_RAD`."""
    angles = np.linspace(0, WIDEST_RAD, _TABLE_SIZE)
    turns = np.nonzero(np.diff(lens.image_radius(angles)) <= 0)[0]
    return float(angles[turns[0]]) if turns.size else WIDEST_RAD
