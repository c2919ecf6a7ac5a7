"""Renders the synthetic world: a scene, a pose and a camera in; colour, z-depth, normals and validity out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import CameraError
from metric3d_ros.world.light_transport import (
    CONTACT_RADIUS,
    NUMPY_OPS,
    Hit,
    Tables,
    Vectors,
    contact,
    lamp_from,
    light_up,
    pattern,
    shadow,
    trace,
)
from metric3d_ros.world.scene import ROOM_FACES, Scene
from metric3d_ros.world.viewpoint import Pose

BLOCK = 64  # pixels of a block's side: its working set stays in the cache, and far solids can be left out
NOISE = 0.008  # standard deviation of the camera's noise, of full scale


@dataclass(frozen=True)
class View:
    """What a camera sees of a scene, and the truth about it."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W) z-depth at the pixel's centre, NaN where invalid
    normal: NDArray[np.float32]  # (H, W, 3) unit, camera optical frame, facing the camera, NaN where invalid
    valid: NDArray[np.bool_]  # (H, W) False where the camera has no ray


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
    """Return what a camera sees: `rays` (H, W, 3), optical frame, any length, as `pinhole_rays` or a ray table gives.

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
    valid = np.isfinite(rays).all(axis=2) & (forward > 1e-6)
    unit = np.where(valid[..., None], rays, np.array([0, 0, 1], np.float32))
    unit = unit / np.linalg.norm(unit, axis=2, keepdims=True)
    pixel_angle = _pixel_angle(unit)

    rgb = np.zeros((height, width, 3), np.float32)
    depth = np.empty((height, width), np.float32)
    normal = np.empty((height, width, 3), np.float32)
    offsets = [((i + 0.5) / samples - 0.5, (j + 0.5) / samples - 0.5) for i in range(samples) for j in range(samples)]
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            block = (slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width)))
            depth[block], normal[block], colour = _render_block(scene, pose, unit, pixel_angle, block, offsets)
            rgb[block] = colour
    if noise_seed is not None:
        rgb += np.random.Generator(np.random.PCG64(noise_seed)).normal(0.0, NOISE, rgb.shape).astype(np.float32)
    depth[~valid], normal[~valid], rgb[~valid] = np.nan, np.nan, 0.0
    return View((np.clip(rgb, 0.0, 1.0) * 255 + 0.5).astype(np.uint8), depth, normal, valid)


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


def _render_block(
    scene: Scene,
    pose: Pose,
    unit: NDArray[np.float32],
    pixel_angle: NDArray[np.float32],
    block: tuple[slice, slice],
    offsets: list[tuple[float, float]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return depth (h, w), normals (h, w, 3) and colour (h, w, 3) of one block of pixels."""
    centre = unit[block]
    shape = centre.shape[:2]
    down, right = _slopes(unit, block)
    bundles = [centre] if len(offsets) == 1 else [centre, *(centre + dy * down + dx * right for dy, dx in offsets)]
    directions = pose.rotation @ np.stack(bundles).reshape(-1, 3).T  # (3, bundles * h * w)
    direction = Vectors(*directions)
    origin = Vectors(*(pose.position[a, None] for a in range(3)))
    seen = _tables_in_cone(scene, pose.position, directions[:, : centre.size // 3].T)
    hit = trace(NUMPY_OPS, seen.tables, origin, direction)
    hit = hit._replace(surface=seen.rows[hit.surface])

    pixels = shape[0] * shape[1]
    depth = (hit.distance[:pixels] * centre[..., 2].reshape(-1)).reshape(shape)
    normals = np.stack([component[:pixels] for component in hit.normal], axis=-1) @ pose.rotation

    if len(offsets) > 1:
        direction = Vectors(*(c[pixels:] for c in direction))
        hit = Hit(
            hit.distance[pixels:],
            hit.surface[pixels:],
            Vectors(*(c[pixels:] for c in hit.normal)),
            Vectors(*(c[pixels:] for c in hit.anchor)),
        )
    colours = _colour(scene, pose, hit, direction, np.tile(pixel_angle[block].reshape(-1), len(offsets)))
    colour = colours.reshape(len(offsets), *shape, 3).mean(axis=0)
    return depth, normals.reshape(*shape, 3), colour


def _colour(
    scene: Scene, pose: Pose, hit: Hit, direction: Vectors, pixel_angle: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the colours (P, 3), 0..1, of what rays of unit direction hit."""
    point = Vectors(*(pose.position[a] + hit.distance * direction[a] for a in range(3)))
    everything = Tables(scene.room, scene.boxes, scene.spheres, scene.cylinders, scene.materials, scene.light)
    albedo = pattern(NUMPY_OPS, everything, hit, point, direction, pixel_angle * hit.distance)
    low, high = (np.array([edge(c) for c in point], np.float32) for edge in (np.min, np.max))
    between = _tables_in_box(scene, np.minimum(low, scene.light[:3]), np.maximum(high, scene.light[:3]))
    around = _tables_in_box(scene, low - 5 * CONTACT_RADIUS, high + 5 * CONTACT_RADIUS)
    open_share = shadow(NUMPY_OPS, between.tables, between.local(hit.surface), point, lamp_from(everything, point))
    ambient_share = contact(NUMPY_OPS, around.tables, hit._replace(surface=around.local(hit.surface)), point)
    lit = light_up(NUMPY_OPS, everything, hit, point, direction, albedo, open_share, ambient_share)
    return np.stack(lit, axis=-1)


@dataclass(frozen=True)
class _Selection:
    """Some of a scene's solids, and how their material rows map to the scene's."""

    tables: Tables
    rows: NDArray[np.int32]  # scene row of each row of this selection

    def local(self, surface: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the rows of this selection for rows of the scene; -1 where the solid is not in it."""
        inverse = np.full(len(self.tables.materials), -1, np.int32)
        inverse[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        return inverse[surface]


def _select(scene: Scene, keep: list[NDArray[np.bool_]]) -> _Selection:
    """Select by one row of flags each for the boxes, the spheres and the cylinders."""
    boxes, spheres, cylinders = (np.flatnonzero(flags) for flags in keep)
    after_boxes = ROOM_FACES + len(scene.boxes)
    rows = np.concatenate(
        [
            np.arange(ROOM_FACES),
            ROOM_FACES + boxes,
            after_boxes + spheres,
            after_boxes + len(scene.spheres) + cylinders,
        ]
    ).astype(np.int32)
    tables = Tables(
        scene.room, scene.boxes[boxes], scene.spheres[spheres], scene.cylinders[cylinders], scene.materials, scene.light
    )
    return _Selection(tables, rows)


def _bounds(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the bounding boxes (K, 6) of the boxes, the spheres and the cylinders."""
    sphere, cylinder = scene.spheres, scene.cylinders
    around_spheres = np.concatenate([sphere[:, :3] - sphere[:, 3:], sphere[:, :3] + sphere[:, 3:]], axis=1)
    around_cylinders = np.stack(
        [
            cylinder[:, 0] - cylinder[:, 2],
            cylinder[:, 1] - cylinder[:, 2],
            cylinder[:, 3],
            cylinder[:, 0] + cylinder[:, 2],
            cylinder[:, 1] + cylinder[:, 2],
            cylinder[:, 4],
        ],
        axis=1,
    )
    return scene.boxes, around_spheres, around_cylinders


def _tables_in_box(scene: Scene, low: NDArray[np.float32], high: NDArray[np.float32]) -> _Selection:
    """Select the solids that reach into an axis-aligned box; exact, as nothing else can touch what is inside."""
    keep = [np.all((bounds[:, :3] <= high + 1e-4) & (bounds[:, 3:] >= low - 1e-4), axis=1) for bounds in _bounds(scene)]
    return _select(scene, keep)


def _tables_in_cone(scene: Scene, apex: NDArray[np.float32], directions: NDArray[np.float32]) -> _Selection:
    """Select the solids whose bounding sphere touches the cone around the rays (P, 3) from `apex`."""
    axis = directions.mean(axis=0)
    axis /= max(float(np.linalg.norm(axis)), 1e-9)
    cosines = directions @ axis / np.linalg.norm(directions, axis=1)
    half_angle = 1.1 * float(np.arccos(np.clip(cosines.min(), -1.0, 1.0))) + 1e-3  # samples lie a little outside
    keep = []
    for bounds in _bounds(scene):
        centre, radius = (bounds[:, :3] + bounds[:, 3:]) / 2, np.linalg.norm(bounds[:, 3:] - bounds[:, :3], axis=1) / 2
        offset = centre - apex
        distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
        angle = np.arccos(np.clip(offset @ axis / distance, -1.0, 1.0))
        own_angle = np.where(radius < distance, np.arcsin(np.clip(radius / distance, 0.0, 1.0)), np.pi)
        keep.append(angle <= half_angle + own_angle)
    return _select(scene, keep)
