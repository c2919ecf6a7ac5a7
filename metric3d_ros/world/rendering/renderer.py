"""Renders the synthetic world: a scene, a pose and a camera in; colour, z-depth, normals and validity out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import CameraError
from metric3d_ros.world.description.materials import SKY
from metric3d_ros.world.description.solids import LIGHT_IS_LAMP, LIGHT_SOFTNESS, Scene
from metric3d_ros.world.rendering.array_ops import NUMPY_OPS, Vectors
from metric3d_ros.world.rendering.culling import Extents, Frustum, extents, in_box, in_frustum, may_shade
from metric3d_ros.world.rendering.lighting import CONTACT_RADIUS, contact, develop, direct_light, shadow, to_light
from metric3d_ros.world.rendering.patterns import albedo
from metric3d_ros.world.rendering.ray_casting import Hit, Tables, tables_of, trace
from metric3d_ros.world.rendering.viewpoint import Pose

BLOCK = 64  # pixels of a block's side: its working set stays in the cache, and far solids can be left out
NOISE = 0.008  # standard deviation of the camera's noise, of full scale


@dataclass(frozen=True)
class View:
    """A camera's image of a scene, with its ground truth."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W) z-depth at the pixel's centre, +inf in the sky, NaN where there is no ray
    normal: NDArray[np.float32]  # (H, W, 3) unit, camera optical frame, facing the camera, NaN where not valid
    valid: NDArray[np.bool_]  # (H, W) False where the camera has no ray, and in the sky
    sky: NDArray[np.bool_]  # (H, W)


def pinhole_rays(
    size_hw: tuple[int, int], *, fx: float, fy: float | None = None, cx: float | None = None, cy: float | None = None
) -> NDArray[np.float32]:
    """Return the rays (H, W, 3), z = 1, of a pinhole camera in its optical frame; pixel centres are at integers.

    `fx`, `fy` (by default `fx`) and the principal point (by default the image's centre) are pixels.
    """
    height, width = size_hw
    if height < 1 or width < 1 or not fx > 0 or (fy is not None and not fy > 0):
        raise CameraError(f"pinhole camera of size {size_hw}, fx {fx}, fy {fy}: all of them must be positive")
    fy = fx if fy is None else fy
    cx = (width - 1) / 2 if cx is None else cx
    cy = (height - 1) / 2 if cy is None else cy
    rays = np.ones((height, width, 3), np.float32)
    rays[..., 0] = (np.arange(width) - cx) / fx
    rays[..., 1] = ((np.arange(height) - cy) / fy)[:, None]
    return rays


def render(
    scene: Scene, pose: Pose, rays: NDArray[np.float32], *, samples: int = 2, noise_seed: int | None = None
) -> View:
    """Return a camera's view: `rays` (H, W, 3), optical frame, any length, from `pinhole_rays` or a ray table.

    `samples` x `samples` rays are averaged per pixel for the colour, between neighbours of the table; the truth is
    that of the pixel's centre. Depth is along the optical axis. Rays that are not finite, or that do not point
    forward (z <= 0), have no depth: black, NaN and invalid. `noise_seed` adds a camera's noise, reproducibly.
    Raises `CameraError` for a table of another shape.
    """
    rays = np.asarray(rays, np.float32)
    if rays.ndim != 3 or rays.shape[2] != 3 or min(rays.shape[:2]) < 1:
        raise CameraError(f"ray table of shape {rays.shape}: expected (H, W, 3), one ray per pixel")
    height, width = rays.shape[:2]
    forward = rays[..., 2]
    has_ray = np.isfinite(rays).all(axis=2) & (forward > 1e-6)
    unit = np.where(has_ray[..., None], rays, np.array([0, 0, 1], np.float32))
    unit = unit / np.linalg.norm(unit, axis=2, keepdims=True)
    pixel_angle = _pixel_angle(unit)

    rgb = np.zeros((height, width, 3), np.float32)
    depth = np.empty((height, width), np.float32)
    normal = np.empty((height, width, 3), np.float32)
    sky = np.empty((height, width), np.bool_)
    world = _World(scene)
    offsets = [((i + 0.5) / samples - 0.5, (j + 0.5) / samples - 0.5) for i in range(samples) for j in range(samples)]
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            block = (slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width)))
            depth[block], normal[block], sky[block], rgb[block] = _render_block(
                world, pose, unit, pixel_angle, block, offsets
            )
    if noise_seed is not None:
        rgb += np.random.Generator(np.random.PCG64(noise_seed)).normal(0.0, NOISE, rgb.shape).astype(np.float32)
    sky &= has_ray
    valid = has_ray & ~sky
    depth[sky], depth[~has_ray], normal[~valid], rgb[~has_ray] = np.inf, np.nan, np.nan, 0.0
    return View((np.clip(rgb, 0.0, 1.0) * 255 + 0.5).astype(np.uint8), depth, normal, valid, sky)


def _pixel_angle(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the angle (H, W) between neighbouring rays: the mean of both directions, in radians."""
    angle = np.zeros(unit.shape[:2], np.float32)
    directions = 0
    for axis in (0, 1):
        if unit.shape[axis] > 1:
            step = np.linalg.norm(np.diff(unit, axis=axis), axis=2)
            angle += np.concatenate([step, np.take(step, [-1], axis=axis)], axis=axis)
            directions += 1
    if directions == 0:
        return np.full(unit.shape[:2], 1e-3, np.float32)
    return np.maximum(angle / directions, 1e-6)


def _slopes(unit: NDArray[np.float32], block: tuple[slice, slice]) -> list[NDArray[np.float32]]:
    """Return how the block's rays (h, w, 3) change per pixel, downwards and to the right."""
    slopes = []
    for axis, chosen in enumerate(block):
        size = unit.shape[axis]
        first, last = max(chosen.start - 1, 0), min(chosen.stop + 1, size)
        strip = unit[(slice(first, last), block[1]) if axis == 0 else (block[0], slice(first, last))]
        if last - first < 2:
            slopes.append(np.zeros_like(strip))
            continue
        slope = np.gradient(strip, axis=axis)
        inner = slice(chosen.start - first, chosen.stop - first)
        slopes.append(slope[inner] if axis == 0 else slope[:, inner])
    return slopes


class _World:
    """A scene in the renderer's form."""

    def __init__(self, scene: Scene) -> None:
        self.tables = tables_of(scene)
        self.extents = extents(np, self.tables)
        self.is_sky = scene.materials[:, SKY] > 0

    def choose(self, keep: NDArray[np.bool_]) -> Tables:
        """Return the tables with only some of the solids."""
        boxes, ellipsoids = len(self.tables.boxes), len(self.tables.ellipsoids)
        return self.tables._replace(
            boxes=self.tables.boxes[keep[:boxes]],
            ellipsoids=self.tables.ellipsoids[keep[boxes : boxes + ellipsoids]],
            cylinders=self.tables.cylinders[keep[boxes + ellipsoids :]],
            solids=self.tables.solids[np.concatenate([[True], keep])],
        )


def _render_block(
    world: _World,
    pose: Pose,
    unit: NDArray[np.float32],
    pixel_angle: NDArray[np.float32],
    block: tuple[slice, slice],
    offsets: list[tuple[float, float]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Return depth (h, w), normals (h, w, 3), the mask of sky (h, w) and colour (h, w, 3) of one block of pixels."""
    centre = unit[block]
    shape = centre.shape[:2]
    down, right = _slopes(unit, block)
    bundles = [centre] if len(offsets) == 1 else [centre, *(centre + dy * down + dx * right for dy, dx in offsets)]
    rays = np.stack(bundles).reshape(-1, 3)
    direction = Vectors(*(pose.rotation @ rays.T))  # (3, bundles * h * w)
    origin = Vectors(*(pose.position[a, None] for a in range(3)))
    hit = trace(NUMPY_OPS, world.choose(_seen(world.extents, pose, rays)), origin, direction)

    pixels = shape[0] * shape[1]
    sky = world.is_sky[hit.surface[:pixels]].reshape(shape)
    depth = (hit.distance[:pixels] * centre[..., 2].reshape(-1)).reshape(shape)
    normals = np.stack([component[:pixels] for component in hit.normal], axis=-1) @ pose.rotation

    if len(offsets) > 1:
        direction = Vectors(*(c[pixels:] for c in direction))
        hit = Hit(*(Vectors(*(c[pixels:] for c in v)) if isinstance(v, tuple) else v[pixels:] for v in hit))
    colours = _colour(world, pose, hit, direction, np.tile(pixel_angle[block].reshape(-1), len(offsets)))
    colour = colours.reshape(len(offsets), *shape, 3).mean(axis=0)
    return depth, normals.reshape(*shape, 3), sky, colour


def _seen(solids: Extents, pose: Pose, rays: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which solids the rays (P, 3), camera frame, z > 0, may hit."""
    across, down = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
    ranges = np.array([across.min(), across.max(), down.min(), down.max()], np.float32)
    keep: NDArray[np.bool_] = in_frustum(np, solids, Frustum(pose.rotation, pose.position, ranges))
    return keep


def _colour(
    world: _World, pose: Pose, hit: Hit, direction: Vectors, pixel_angle: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the colours (P, 3), 0..1, of what rays of unit direction hit."""
    tables, is_ground = world.tables, ~world.is_sky[hit.surface]
    point = Vectors(*(pose.position[a] + hit.distance * direction[a] for a in range(3)))
    colour = albedo(NUMPY_OPS, tables.materials, hit, direction, pixel_angle)
    open_shares = np.ones((len(tables.lights), len(pixel_angle)), np.float32)
    ambient_share = np.ones(len(pixel_angle), np.float32)
    if is_ground.any():
        low, high = (np.array([edge(c[is_ground]) for c in point], np.float32) for edge in (np.min, np.max))
        for light, share in zip(tables.lights, open_shares, strict=True):
            between = world.choose(may_shade(np, world.extents, low, high, light))
            towards = to_light(Vectors(*light[:3]), light[LIGHT_IS_LAMP], point)
            share[:] = shadow(NUMPY_OPS, between, hit.surface, point, towards, light[LIGHT_SOFTNESS])
        reach = 5 * CONTACT_RADIUS
        around = world.choose(in_box(world.extents, low - reach, high + reach))
        ambient_share = contact(NUMPY_OPS, around, hit.surface, hit.normal, point)
    direct = direct_light(NUMPY_OPS, tables.lights, tables.materials, hit, point, direction, open_shares)
    lit = develop(
        NUMPY_OPS, tables.surroundings, tables.materials, hit, point, direction, colour, direct, ambient_share
    )
    return np.stack(lit, axis=-1)
