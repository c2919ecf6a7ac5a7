"""The rays that the pixels of a camera look along, computed once per camera."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.equidistant import EquidistantLens
from metric3d_ros.camera.lens_inversion import Lens, invert_lens, plane_coordinates
from metric3d_ros.camera.lens_names import EQUIDISTANT
from metric3d_ros.camera.polynomial import PolynomialLens

if TYPE_CHECKING:
    from metric3d_ros.camera.record import Camera

Float32Array = npt.NDArray[np.float32]

_SAMPLED_SIDE_PX = 160


@lru_cache(maxsize=64)
def lens_of(model: str, coefficients: tuple[float, ...]) -> Lens:
    """Return the lens of a model that has coefficients."""
    return EquidistantLens(coefficients) if model == EQUIDISTANT else PolynomialLens(coefficients)


@lru_cache(maxsize=8)
def ray_planes(camera: Camera, stride: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return x, y and z of the rays of every `stride`-th row and column; see Camera.ray_planes."""
    if camera.distortion:
        x, y, z = (np.ascontiguousarray(plane) for plane in np.moveaxis(rays(camera)[::stride, ::stride], -1, 0))
    else:
        u, v = plane_coordinates(camera)
        x, y = u[None, ::stride].astype(np.float32), v[::stride, None].astype(np.float32)
        z = np.ones((1, 1), np.float32)
    for plane in (x, y, z):
        plane.flags.writeable = False
    return x, y, z


@lru_cache(maxsize=8)
def rays(camera: Camera) -> Float32Array:
    """Return (H, W, 3) float32 rays; see Camera.rays."""
    directions = _compute_rays(camera)
    directions.flags.writeable = False
    return directions


def _compute_rays(camera: Camera) -> Float32Array:
    u, v = plane_coordinates(camera)
    directions = np.ones((camera.height, camera.width, 3), np.float32)
    if not camera.distortion:
        directions[..., 0] = u
        directions[..., 1] = v[:, None]
    else:
        invert_lens(lens_of(camera.distortion_model, camera.distortion), camera, directions[..., :2])
        directions[..., 2] += 0 * directions[..., 0]  # NaN where the others are
    return directions


def share_without_ray(camera: Camera) -> float:
    """Return about which part of the image's pixels has no ray, 0 to 1, from a coarse grid of them."""
    if not camera.distortion:
        return 0.0
    shrink = max(1.0, max(camera.width, camera.height) / _SAMPLED_SIDE_PX)
    sampled = camera.scaled(max(1, round(camera.width / shrink)), max(1, round(camera.height / shrink)))
    return float(np.isnan(_compute_rays(sampled)[..., 0]).mean())
