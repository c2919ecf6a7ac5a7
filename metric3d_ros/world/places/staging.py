"""From placed objects to a scene: its tables, lamps and sun, and the standpoints of cameras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.world.description import colours
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene, SceneDraft, box_bounds, ellipsoid_bounds
from metric3d_ros.world.objects.placing import Point, Solid, Stage
from metric3d_ros.world.places.shell import Shell

MAX_LAMPS = 2
STICKS_OUT_M = 0.05  # frames of doors and windows reach into walls


class Standpoints(Protocol):
    """Where cameras may stand."""

    def draw(self, rng: Rng) -> tuple[Point, float]:
        """Return a position and the yaw of a look that is likely to be worth having."""


@dataclass(frozen=True)
class StagedScene:
    """A scene and where cameras may stand in it."""

    scene: Scene
    standpoints: Standpoints


@dataclass(frozen=True)
class RoomStandpoints:
    """Anywhere between two corners, looking past the middle more often than into the nearest corner."""

    low: tuple[float, float]
    high: tuple[float, float]
    ceiling: float

    def draw(self, rng: Rng) -> tuple[Point, float]:
        """Return a position 0.2 to 2.5 m above the floor, mostly as hands hold a camera, and a yaw."""
        x, y = rng.uniform(self.low[0], self.high[0]), rng.uniform(self.low[1], self.high[1])
        top = min(2.5, self.ceiling - 0.25)
        z = rng.triangular(0.9, min(1.9, top), 1.4) if rng.chance(0.75) else rng.uniform(0.2, top)
        towards = math.atan2((self.low[1] + self.high[1]) / 2 - y, (self.low[0] + self.high[0]) / 2 - x)
        return (x, y, z), towards + rng.triangular(-2.6, 2.6, 0.0)


def box_row(solid: Solid) -> list[float]:
    """Return a box or an ellipsoid as a row of a scene's table."""
    (a, b, c), (d, e, f), (g, h, i) = solid.rotation
    x, y, z = solid.centre
    rows = [a, d, g, b, e, h, c, f, i, x, y, z]  # the table holds local from world: the transposed rotation
    width, depth, height = solid.size
    if solid.kind == "ellipsoid":
        return [*rows, width, depth, height, 0.0, 0.0, 0.0, 1.0]
    half = (width / 2, depth / 2, height / 2)
    if solid.texture_origin is None:
        return [*rows, *half, *half, 1.0]
    dx, dy, dz = x - solid.texture_origin[0], y - solid.texture_origin[1], z - solid.texture_origin[2]
    return [
        *rows,
        *half,
        a * dx + d * dy + g * dz,
        b * dx + e * dy + h * dz,
        c * dx + f * dy + i * dz,
        1.0,
    ]


def cylinder_row(solid: Solid) -> list[float]:
    """Return a cylinder as a row of a scene's table: local z along its axis, local x level."""
    (x0, y0, z0), (x1, y1, z1) = solid.centre, solid.top
    ax, ay, az = x1 - x0, y1 - y0, z1 - z0
    length = math.sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = ax / length, ay / length, az / length
    level = math.hypot(ax, ay)
    ex, ey = (ay / level, -ax / level) if level > 1e-6 else (1.0, 0.0)
    fx, fy, fz = -az * ey, az * ex, ax * ey - ay * ex  # local y = local z x local x
    radius, taper, _ = solid.size
    half = length / 2
    middle = [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2]
    return [ex, ey, 0.0, fx, fy, fz, ax, ay, az, *middle, radius, radius, half, 0.0, 0.0, half, taper]


def fill(draft: SceneDraft, solids: Sequence[Solid], *, within: tuple[Point, Point] | None = None) -> None:
    """Add placed solids to a draft; leave out those that stick out `within` two corners by more than 5 cm."""
    kinds: dict[str, list[Solid]] = {"box": [], "ellipsoid": [], "cylinder": []}
    for solid in solids:
        kinds[solid.kind].append(solid)
    for kind, to_row, bounds_of, rows, materials in (
        ("box", box_row, box_bounds, draft.boxes, draft.box_materials),
        ("ellipsoid", box_row, ellipsoid_bounds, draft.ellipsoids, draft.ellipsoid_materials),
        ("cylinder", cylinder_row, box_bounds, draft.cylinders, draft.cylinder_materials),
    ):
        if not kinds[kind]:
            continue
        table = np.array([to_row(s) for s in kinds[kind]], np.float32)
        keep: NDArray[np.bool_] = np.ones(len(table), np.bool_)
        if within is not None:
            bounds = bounds_of(table)
            low, high = np.array(within[0], np.float32), np.array(within[1], np.float32)
            fits = (bounds[:, :3] >= low - STICKS_OUT_M) & (bounds[:, 3:] <= high + STICKS_OUT_M)
            keep = np.all(fits, axis=1)
        rows += list(table[keep])
        materials += [s.material for s, kept in zip(kinds[kind], keep.tolist(), strict=True) if kept]


def finish_room(stage: Stage, shell: Shell, *, seed: int, kind: str) -> StagedScene:
    """Light a room and return its scene: its lamps, warm or cold, dim or bright; sun if there are real windows."""
    rng = stage.rng
    draft = SceneDraft(shell.low, shell.high, shell.faces)
    fill(draft, stage.solids, within=(shell.low, shell.high))
    warmth = rng.triangular(-0.15, 0.45, 0.1)
    tint = (1 + warmth, 1.0, max(0.3, 1 - 1.2 * warmth))
    lamps = list(stage.lamps)
    while len(lamps) > MAX_LAMPS:
        lamps.remove(rng.pick(lamps))
    if not lamps:
        lamps = [(shell.width / 2, shell.depth / 2, shell.height - 0.3)]
    reach = 0.55 * math.sqrt(max(shell.width, shell.depth))
    by_day = shell.outdoors and rng.chance(0.85)
    power = colours.sizes(rng, 0.5, 3.0) * reach * (0.35 if by_day else 1.0)
    for lamp in lamps:
        own = power * rng.uniform(0.4, 1.2) / math.sqrt(len(lamps))
        draft.add_lamp(lamp, (own * tint[0], own * tint[1], own * tint[2]), softness=rng.pick([0.02, 0.06, 0.15]))
    ambient = colours.sizes(rng, 0.06, 0.6)
    cool = rng.uniform(-0.1, 0.25) if by_day else -0.6 * warmth
    draft.above = (ambient * (1 - cool), ambient, ambient * (1 + cool))
    draft.below = colours.scaled(draft.above, rng.uniform(0.4, 0.9))
    if shell.outdoors:
        _daylight(draft, shell, rng, by_day=by_day, indoors=ambient)
    # As cameras do: bright if the room is dark, though rarely quite right.
    draft.exposure = colours.sizes(rng, 0.45, 1.9) / (ambient + power * math.sqrt(len(lamps)) / 3.0)
    margin = 0.25
    standpoints = RoomStandpoints(
        (margin, margin + shell.slope_low),
        (shell.width - margin, shell.depth - margin - shell.slope_high),
        shell.height,
    )
    return StagedScene(draft.finish(seed, kind), standpoints)


def _daylight(draft: SceneDraft, shell: Shell, rng: Rng, *, by_day: bool, indoors: float) -> None:
    """Light from outside: the room keeps its own ambient light as a share of the sky's."""
    if not by_day:
        draft.above = colours.scaled(draft.above, 1.0)
        return
    bright = rng.uniform(2.0, 7.0)
    share = min(1.0, indoors / bright)
    draft.above = (0.9 * bright, bright, 1.1 * bright)
    draft.below = (0.5 * bright, 0.5 * bright, 0.45 * bright)
    rim = 0.03  # surfaces of the room are inside, whatever their rounding
    draft.inside = ((-rim, -rim, -rim), (shell.width + rim, shell.depth + rim, shell.height + rim), share)
    if rng.chance(0.6):
        yaw, height = rng.uniform(0.0, 2 * math.pi), math.radians(rng.uniform(12.0, 60.0))
        towards = (math.cos(yaw) * math.cos(height), math.sin(yaw) * math.cos(height), math.sin(height))
        sun = rng.uniform(2.0, 8.0)
        draft.add_sun(towards, (sun, 0.94 * sun, 0.82 * sun))


def light_outdoors(draft: SceneDraft, rng: Rng, *, overcast: bool) -> None:
    """Add the sun and the light of the sky."""
    yaw, height = rng.uniform(0.0, 2 * math.pi), math.radians(rng.uniform(12.0, 65.0))
    towards = (math.cos(yaw) * math.cos(height), math.sin(yaw) * math.cos(height), math.sin(height))
    sky = colours.sizes(rng, 0.6, 1.4) if overcast else colours.sizes(rng, 0.12, 0.6)
    sun = rng.uniform(0.0, 0.3) if overcast else rng.uniform(1.2, 3.0)
    warm = 0.0 if overcast else rng.uniform(0.0, 0.3) * (1.3 - height)
    draft.above = (sky * 0.92, sky * 0.98, sky * 1.1)
    draft.below = colours.scaled(draft.above, rng.uniform(0.3, 0.6))
    draft.add_sun(towards, (sun * (1 + warm), sun, sun * (1 - warm)), softness=0.5 if overcast else 0.012)
    draft.exposure = colours.sizes(rng, 0.7, 2.4) / (sky + 0.5 * sun)
