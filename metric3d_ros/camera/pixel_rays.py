"""The rays that the pixels of a camera look along, computed once per camera."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.inversion import invert_lens
from metric3d_ros.camera.lenses.lens import Lens
from metric3d_ros.camera.pinhole import Pinhole

Float32Array = npt.NDArray[np.float32]


@lru_cache(maxsize=8)
def ray_planes(camera: Pinhole, lens: Lens | None, stride: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return x, y and z of the rays of every `stride`-th row and column; see Camera.ray_planes."""
    if lens is not None:
        x, y, z = (
            np.ascontiguousarray(plane) for plane in np.moveaxis(pixel_rays(camera, lens)[::stride, ::stride], -1, 0)
        )
    else:
        u, v = camera.plane_coordinates()
        x, y = u[None, ::stride].astype(np.float32), v[::stride, None].astype(np.float32)
        z = np.ones((1, 1), np.float32)
    for plane in (x, y, z):
        plane.flags.writeable = False
    return x, y, z


@lru_cache(maxsize=8)
def pixel_rays(camera: Pinhole, lens: Lens | None) -> Float32Array:
    """Return (H, W, 3) float32 rays, read-only; see Camera.rays."""
    directions = compute_rays(camera, lens)
    directions.flags.writeable = False
    return directions


def compute_rays(camera: Pinhole, lens: Lens | None) -> Float32Array:
    """Return (H, W, 3) float32 rays that are not kept."""
    directions = np.empty((camera.height, camera.width, 3), np.float32)
    if lens is None:
        u, v = camera.plane_coordinates()
        directions[..., 0], directions[..., 1], directions[..., 2] = u, v[:, None], 1
    else:
        invert_lens(lens, camera, directions[..., :2])
        np.multiply(directions[..., 0], 0, out=directions[..., 2])  # NaN where the others are
        directions[..., 2] += 1
    return directions
