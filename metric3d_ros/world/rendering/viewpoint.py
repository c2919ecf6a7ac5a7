"""Viewpoints in a scene: poses, the check that a view is informative, and a smooth camera flight."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import DataError
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import CENTRE, FLOOR, HALF_SIZE, Scene, box_bounds
from metric3d_ros.world.rendering.array_ops import NUMPY_OPS, Vectors
from metric3d_ros.world.rendering.ray_casting import tables_of, trace

CAMERA_HEIGHT_M = (0.8, 1.4)
PITCH_DEG = (-16.0, -1.0)
ROLL_DEG = 3.0
CLEARANCE_M = 0.35
MIN_FLOOR_SHARE = 0.10
MIN_DISTANCE_M = 0.35
MIN_MEDIAN_DISTANCE_M = 1.2
RUG_HEIGHT_M = 0.03
CHECK_COLUMNS, CHECK_ROWS = 12, 9
MOST_FRAMES = 100_000
"""Of a flight: its path is checked at each of them, which takes minutes by then."""


@dataclass(frozen=True)
class Pose:
    """Where a camera is and how it is turned, in the world frame of a scene (x, y along the walls, z up; metres)."""

    rotation: NDArray[np.float32]  # (3, 3) world from camera optical frame (x right, y down, z forward)
    position: NDArray[np.float32]  # (3,)


def look(position: tuple[float, float, float], *, yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    """Return the pose of a camera that looks along `yaw` (from x towards y) and `pitch` (up positive); radians.

    A positive `roll` turns the camera clockwise, as seen by itself.
    """
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    forward = np.array([cos_yaw * cos_pitch, sin_yaw * cos_pitch, sin_pitch])
    level = np.array([sin_yaw, -cos_yaw, 0.0])
    down = np.cross(forward, level)
    right = math.cos(roll) * level + math.sin(roll) * down
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return Pose(rotation.astype(np.float32), np.array(position, np.float32))


def is_clear(scene: Scene, position: tuple[float, float, float], *, clearance: float = CLEARANCE_M) -> bool:
    """Return whether a camera fits: this far from walls and from solids, and over no solid except a rug."""
    x, y, z = position
    sx, sy, height = (float(c) for c in scene.size)
    if not (clearance <= x <= sx - clearance and clearance <= y <= sy - clearance and 0.2 <= z <= height - 0.2):
        return False
    boxes = box_bounds(scene.boxes)
    if len(boxes):
        gap_x = np.maximum(np.maximum(boxes[:, 0] - x, x - boxes[:, 3]), 0.0)
        gap_y = np.maximum(np.maximum(boxes[:, 1] - y, y - boxes[:, 4]), 0.0)
        tall = boxes[:, 5] > RUG_HEIGHT_M
        if np.any(tall & (gap_x * gap_x + gap_y * gap_y < clearance * clearance)):
            return False
    for row in (*scene.ellipsoids, *scene.cylinders):
        centre_x, centre_y, radius = row[CENTRE], row[CENTRE + 1], row[HALF_SIZE]
        if (centre_x - x) ** 2 + (centre_y - y) ** 2 < (radius + clearance) ** 2:
            return False
    return True


def good_views(scene: Scene, poses: list[Pose], *, tan_half_width: float, tan_half_height: float) -> NDArray[np.bool_]:
    """Return for each pose whether a pinhole camera sees enough floor, nothing too close, and not just a near wall.

    A blank wall close up gives no clue to its distance. The check casts 12 x 9 rays per pose.
    """
    across = (np.arange(CHECK_COLUMNS, dtype=np.float32) + 0.5) / CHECK_COLUMNS * 2 - 1
    down = (np.arange(CHECK_ROWS, dtype=np.float32) + 0.5) / CHECK_ROWS * 2 - 1
    rays = np.stack(
        [
            np.tile(across * tan_half_width, CHECK_ROWS),
            np.repeat(down * tan_half_height, CHECK_COLUMNS),
            np.ones(CHECK_COLUMNS * CHECK_ROWS),
        ]
    ).astype(np.float32)
    count = rays.shape[1]
    world = np.concatenate([pose.rotation @ rays for pose in poses], axis=1)
    origin = np.repeat(np.stack([pose.position for pose in poses], axis=1), count, axis=1)
    hit = trace(NUMPY_OPS, tables_of(scene), Vectors(*origin), Vectors(*world))
    surface, distance = hit.surface.reshape(len(poses), count), hit.distance.reshape(len(poses), count)
    floor_share = (surface == FLOOR).mean(axis=1)
    enough: NDArray[np.bool_] = (
        (floor_share >= MIN_FLOOR_SHARE)
        & (distance.min(axis=1) >= MIN_DISTANCE_M)
        & (np.median(distance, axis=1) >= MIN_MEDIAN_DISTANCE_M)
    )
    return enough


def draw_poses(scene: Scene, rng: Rng, *, tan_half_width: float, tan_half_height: float, candidates: int) -> list[Pose]:
    """Return the good views among up to `candidates` random poses of a hand-held or robot-borne camera."""
    sx, sy = float(scene.size[0]), float(scene.size[1])
    poses = []
    for _ in range(4 * candidates):
        position = (rng.uniform(0.3, sx - 0.3), rng.uniform(0.3, sy - 0.3), rng.triangular(*CAMERA_HEIGHT_M, 1.1))
        if not is_clear(scene, position):
            continue
        # Look past the middle of the room more often than into the nearest corner.
        towards = math.atan2(sy / 2 - position[1], sx / 2 - position[0])
        yaw = towards + rng.triangular(-2.4, 2.4, 0.0)
        pitch = math.radians(rng.triangular(*PITCH_DEG, -7.0))
        poses.append(look(position, yaw=yaw, pitch=pitch, roll=math.radians(rng.triangular(-ROLL_DEG, ROLL_DEG, 0.0))))
        if len(poses) == candidates:
            break
    if not poses:
        return []
    good = good_views(scene, poses, tan_half_width=tan_half_width, tan_half_height=tan_half_height)
    return [pose for pose, keep in zip(poses, good, strict=True) if keep]


def camera_flight(
    scene: Scene, *, frames: int = 60, tan_half_width: float = 0.6, tan_half_height: float = 0.45, seed: int = 0
) -> list[Pose]:
    """Return the poses of a smooth flight through a scene, clear of every solid and with floor always in view.

    The camera moves between two free places while it turns towards a point of interest and gently sways. Raises
    `DataError` if the scene has no such flight, which happens in some small crowded rooms: take another seed.
    """
    best: tuple[float, list[Pose]] | None = None
    for attempt in range(120):
        rng = Rng(scene.seed, seed, attempt, 7)
        poses, length = _flight_attempt(scene, rng, frames)
        if not poses or (best is not None and length <= best[0]):
            continue
        if good_views(scene, poses, tan_half_width=tan_half_width, tan_half_height=tan_half_height).all():
            best = (length, poses)
    if best is None:
        raise DataError(
            f"scene {scene.seed} has no clear flight of {frames} frames (120 paths tried); use another scene seed"
        )
    return best[1]


def _flight_attempt(scene: Scene, rng: Rng, frames: int) -> tuple[list[Pose], float]:
    """Return the poses between two random free places and the length of the path, or nothing if it is blocked."""
    sx, sy = float(scene.size[0]), float(scene.size[1])
    start = np.array([rng.uniform(0.5, sx - 0.5), rng.uniform(0.5, sy - 0.5)])
    end = np.array([rng.uniform(0.5, sx - 0.5), rng.uniform(0.5, sy - 0.5)])
    target = np.array([rng.uniform(0.1, 0.9) * sx, rng.uniform(0.1, 0.9) * sy])
    span = float(np.linalg.norm(end - start))
    if span < 0.8:
        return [], 0.0
    side = np.array([start[1] - end[1], end[0] - start[0]]) / span
    bow = rng.uniform(-0.3, 0.3) * span
    base_height = rng.uniform(1.0, 1.2)
    poses = []
    for index in range(frames):
        share = index / max(frames - 1, 1)
        eased = share * share * (3 - 2 * share)
        at = start + eased * (end - start) + math.sin(math.pi * eased) * bow * side
        height = base_height + 0.12 * math.sin(2 * math.pi * share)
        position = (float(at[0]), float(at[1]), height)
        if not is_clear(scene, position):
            return [], 0.0
        offset = target - at
        if float(np.linalg.norm(offset)) < 1.0:
            return [], 0.0
        yaw = math.atan2(offset[1], offset[0]) + 0.25 * math.sin(2 * math.pi * share)
        poses.append(
            look(
                position,
                yaw=yaw,
                pitch=math.radians(-7.0 + 3.0 * math.sin(2 * math.pi * share)),
                roll=math.radians(1.5 * math.sin(4 * math.pi * share)),
            )
        )
    return poses, span
