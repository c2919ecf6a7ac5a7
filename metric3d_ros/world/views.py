"""Informative views of furnished rooms and streets, from cameras at any height, with any tilt and lens."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.world.description.materials import SKY
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import ENCLOSURE_FACES, Scene
from metric3d_ros.world.places.staging import StagedScene
from metric3d_ros.world.rendering.sparse_ray_casting import clearance, first_hits
from metric3d_ros.world.rendering.viewpoint import Pose, draw_poses, look
from metric3d_ros.world.scenes import PLAIN, TRAINING_MIX, build_scene, draw_world, stage_scene

HEIGHT_M = (0.2, 2.5)  # above the floor or the ground
PITCH_DEG = (-60.0, 30.0)  # up is positive
ROLL_DEG = 10.0
FIELD_OF_VIEW_DEG = (40.0, 110.0)  # across the image's width
CLEARANCE_M = 0.12  # from every solid
MIN_DISTANCE_M = 0.25  # of what is seen in the middle
MIN_MEDIAN_DISTANCE_M = 0.7
MIN_SURFACES = 3
MAX_SKY_SHARE = 0.55
RIVALS = (1, 2, 4, 4)  # of how many good views the richest is taken
CHECK_COLUMNS, CHECK_ROWS = 9, 7


@dataclass(frozen=True)
class Views:
    """A scene, some poses in it, and the focal length that all of them have."""

    world: str
    scene: Scene
    poses: list[Pose]
    focal_px: float


def draw_training_views(
    seed: int,
    *,
    size_hw: tuple[int, int],
    mix: Mapping[str, float] = TRAINING_MIX,
    count: int = 3,
    focal_px: float | None = None,
) -> Views:
    """Return up to `count` views of the scene of a seed, for training; sometimes none.

    The world is drawn from `mix`, and the focal length, unless given, so that the field of view across the width is
    within `FIELD_OF_VIEW_DEG`. The same seed gives the same views.
    """
    world, rng = draw_world(seed, mix), Rng(seed, 1)
    drawn = draw_focal_px(rng, size_hw[1])
    focal_px = focal_px or drawn
    slopes = (size_hw[1] / (2 * focal_px), size_hw[0] / (2 * focal_px))
    if world == PLAIN:
        scene = build_scene(seed)
        poses = draw_poses(scene, rng, tan_half_width=slopes[0], tan_half_height=slopes[1], candidates=2 * count)
        return Views(world, scene, poses[:count], focal_px)
    staged = stage_scene(seed, world)
    poses = camera_poses(staged, rng, tan_half_width=slopes[0], tan_half_height=slopes[1], count=count)
    return Views(world, staged.scene, poses, focal_px)


def draw_focal_px(rng: Rng, width: int) -> float:
    """Return a focal length: fields of view of 50 to 90 degrees more often than narrower and wider ones."""
    low, high = FIELD_OF_VIEW_DEG
    field = rng.triangular(low, high, 62.0)
    return width / (2 * math.tan(math.radians(field) / 2))


def camera_poses(
    staged: StagedScene, rng: Rng, *, tan_half_width: float, tan_half_height: float, count: int, tries: int = 12
) -> list[Pose]:
    """Return up to `count` poses with an informative view, of up to `tries` that are clear of every solid.

    Some are taken as they come, others are the richest of several, as people point cameras at things.
    """
    poses: list[Pose] = []
    rivals: list[tuple[int, Pose]] = []
    wanted = rng.pick(RIVALS)
    for _ in range(4 * tries):
        if tries == 0 or len(poses) == count:
            break
        position, yaw = staged.standpoints.draw(rng)
        if clearance(staged.scene, np.array(position, np.float32)) < CLEARANCE_M:
            continue
        tries -= 1
        roll = rng.triangular(-ROLL_DEG, ROLL_DEG, 0.0) if rng.chance(0.7) else 0.0
        pose = look(position, yaw=yaw, pitch=math.radians(_pitch_deg(rng, staged)), roll=math.radians(roll))
        rich = richness(staged.scene, pose, tan_half_width=tan_half_width, tan_half_height=tan_half_height)
        if rich >= MIN_SURFACES:
            rivals.append((rich, pose))
        if rivals and (len(rivals) >= wanted or tries == 0):
            poses.append(max(rivals, key=lambda rival: rival[0])[1])
            rivals, wanted = [], rng.pick(RIVALS)
    return poses


def _pitch_deg(rng: Rng, staged: StagedScene) -> float:
    """Level or slightly down most often; on streets nearly always, as on cars."""
    outdoors = staged.scene.kind == "street"
    share = rng.uniform(0.0, 1.0)
    if share < (0.8 if outdoors else 0.7):
        return rng.triangular(-12.0, 10.0, -1.5) if outdoors else rng.triangular(-32.0, 14.0, -8.0)
    if share < 0.93:
        return rng.triangular(PITCH_DEG[0], 0.0, -20.0)
    return rng.triangular(-5.0, PITCH_DEG[1], 8.0)


def check_rays(tan_half_width: float, tan_half_height: float) -> NDArray[np.float32]:
    """Return 9 x 7 rays (63, 3) over a pinhole camera's image, z = 1."""
    across = ((np.arange(CHECK_COLUMNS) + 0.5) / CHECK_COLUMNS * 2 - 1) * tan_half_width
    down = ((np.arange(CHECK_ROWS) + 0.5) / CHECK_ROWS * 2 - 1) * tan_half_height
    rays = np.ones((CHECK_ROWS * CHECK_COLUMNS, 3), np.float32)
    rays[:, 0] = np.tile(across, CHECK_ROWS)
    rays[:, 1] = np.repeat(down, CHECK_COLUMNS)
    return rays


def richness(scene: Scene, pose: Pose, *, tan_half_width: float, tan_half_height: float) -> int:
    """Return how many surfaces 63 rays of a camera meet; 0 if all are close, one is right before it, or it sees sky."""
    rays = check_rays(tan_half_width, tan_half_height)
    distance, row = first_hits(scene, pose.position, rays @ pose.rotation.T)
    middle = (np.abs(rays[:, 0]) < 0.6 * tan_half_width) & (np.abs(rays[:, 1]) < 0.6 * tan_half_height)
    if distance[middle].min() < MIN_DISTANCE_M or distance.min() < 0.5 * MIN_DISTANCE_M:
        return 0
    sky = scene.materials[:ENCLOSURE_FACES, SKY] > 0.5
    in_sky = (row < ENCLOSURE_FACES) & sky[np.minimum(row, ENCLOSURE_FACES - 1)]
    if float(np.median(distance)) < MIN_MEDIAN_DISTANCE_M or float(np.mean(in_sky)) > MAX_SKY_SHARE:
        return 0
    return len(set(row.tolist()))
