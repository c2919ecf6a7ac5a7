"""Clutter on floors and walls: shoes, bins, toys, leaning boards, hanging pictures and shelves."""

import math

from metric3d_ros.world.objects.indoors.clutter import (
    Thing,
    bag,
    ball,
    basket,
    books,
    carton,
    cloth_heap,
    figure,
    leaves,
    machine,
    wire,
)
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Footprint, Place, Wall


def shoes(place: Place, free: float) -> None:
    """A pair of shoes."""
    rng, material = place.rng, bm.soft(place.rng)
    for side in (-1, 1):
        place.ball(
            (side * 0.08, rng.uniform(-0.05, 0.05), 0.04), (0.05, 0.14, 0.05), material, yaw=rng.uniform(-0.4, 0.4)
        )


def bin_(place: Place, free: float) -> None:
    """A waste-paper basket, a bucket or a bin."""
    rng = place.rng
    radius, tall = rng.uniform(0.12, 0.22), rng.uniform(0.25, 0.65)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, tall), radius, tm.anything(rng), taper=rng.uniform(1.0, 1.25))
    if rng.chance(0.4):
        place.ball((0.0, 0.0, tall), (radius, radius, 0.3 * radius), tm.anything(rng))


def vacuum_cleaner(place: Place, free: float) -> None:
    """A vacuum cleaner with its hose and tube."""
    rng = place.rng
    body, dark = bm.plastic(rng), bm.dark_plastic(rng)
    place.ball((0.0, 0.0, 0.13), (0.22, 0.14, 0.13), body)
    place.rod((0.2, 0.0, 0.14), (0.45, 0.1, 0.5), 0.025, dark)
    place.rod((0.45, 0.1, 0.5), (0.8, 0.2, 0.03), 0.018, bm.metal(rng))
    place.box((0.83, 0.2, 0.03), (0.1, 0.28, 0.05), dark)


def big_plant(place: Place, free: float) -> None:
    """A plant 0.7 to 1.7 m high in a tub."""
    rng = place.rng
    tub, tall = rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.7)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, tub), 0.4 * tub, bm.ceramic(rng), taper=1.3)
    stem = rng.uniform(0.0, 0.5) * (tall - tub)
    if stem > 0.15:
        place.rod((0.0, 0.0, tub), (rng.uniform(-0.1, 0.1), 0.0, tub + stem), 0.02, tm.bark(rng))
    leaves(place.at(0.0, 0.0, tub + stem), tall - tub - stem, count=rng.integer(5, 10))


def toys(place: Place, free: float) -> None:
    """Toys strewn about."""
    rng = place.rng
    for _ in range(rng.integer(2, 5)):
        figure(place.at(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), yaw=rng.uniform(-3, 3)), 0.3)


ON_FLOOR: list[Thing] = [
    carton, carton, carton, shoes, bin_, vacuum_cleaner, big_plant, toys, bag, bag, cloth_heap, cloth_heap, basket,
    wire, books, ball, machine,
]  # fmt: skip


def litter_floor(
    place: Place, low: tuple[float, float], high: tuple[float, float], things: list[Thing] | None = None
) -> None:
    """Put one object on a free spot of the floor, if there is one."""
    rng, stage = place.rng, place.stage
    for _ in range(4):
        x, y = rng.uniform(low[0] + 0.2, high[0] - 0.2), rng.uniform(low[1] + 0.2, high[1] - 0.2)
        if stage.claim(Footprint(x, y, 0.22, 0.2, 0.0), gap=0.02):
            solids = len(stage.solids)
            rng.pick(things or ON_FLOOR)(place.at(x, y, yaw=rng.uniform(-math.pi, math.pi)), 2.0)
            if len(stage.solids) > stage.max_solids:
                del stage.solids[solids:]
            return


def lean_boards(place: Place, wall: Wall) -> None:
    """Boards, a ladder, a mirror or a broom that lean on a wall."""
    rng, stage = place.rng, place.stage
    x, y, yaw = wall.facing(rng.uniform(0.3, max(0.4, wall.length - 0.3)), 0.25)
    if not stage.claim(Footprint(x, y, 0.25, 0.22, yaw), gap=0.0):
        return
    spot = place.at(x, y, yaw=yaw)
    for k in range(rng.integer(1, 4)):
        tall, width = rng.uniform(0.7, 2.0), rng.pick([0.03, rng.uniform(0.1, 0.5)])
        foot = rng.uniform(0.1, 0.35)
        lean = math.asin(min(foot / tall, 0.5))
        board = spot.at(rng.uniform(-0.2, 0.2), 0.22 - foot + 0.03 * k, 0.0, roll=-lean, yaw=rng.uniform(-0.15, 0.15))
        board.box(
            (0.0, 0.0, tall / 2),
            (width, 0.02, tall),
            rng.pick([bm.wood(rng), tm.anything(rng)]),
        )


def hang_on_wall(place: Place, wall: Wall, ceiling: float, *, blocked: list[tuple[float, float]]) -> None:
    """Hang one thing on a wall: a picture, a poster, a clock, a board with things on it, clothes on hooks, a radiator.

    `blocked`: stretches of the wall that are doors and windows; what is hung is added to it.
    """
    rng, stage = place.rng, place.stage
    style = rng.integer(0, 9)
    width = [0.6, 0.9, 0.35, 1.0, 0.5, 0.35, 0.12, 1.3, 0.5, 0.9][style] * rng.uniform(0.6, 1.3)
    along = rng.uniform(width / 2 + 0.05, max(wall.length - width / 2 - 0.05, width / 2 + 0.06))
    if any(along - width / 2 < b and a < along + width / 2 for a, b in blocked) or width > wall.length:
        return
    solids = len(stage.solids)
    x, y, yaw = wall.facing(along, 0.012)
    spot = place.at(x, y, yaw=yaw)
    blocked.append((along - width / 2, along + width / 2))
    z = rng.uniform(1.2, 1.75)
    if style == 0:
        tall = width * rng.uniform(0.6, 1.5)
        spot.box((0.0, 0.0, z), (width + 0.05, 0.024, tall + 0.05), bm.furniture(rng))
        spot.box((0.0, -0.008, z), (width, 0.022, tall), tm.picture(rng))
    elif style in (1, 5):
        spot.box(
            (0.0, 0.0, z),
            (width, 0.006, width * rng.uniform(0.5, 1.3)),
            tm.poster(rng),
            pitch=rng.uniform(-0.04, 0.04),
        )
    elif style == 2:
        spot.rod((0.0, 0.0, z + 0.3), (0.0, -0.03, z + 0.3), width / 2, bm.ceramic(rng))
    elif style in (3, 9):
        shelf = spot.at(0.0, -0.1, z)
        shelf.box((0.0, 0.0, 0.0), (width, 0.22, 0.025), bm.furniture(rng))
        shelf.surface(width, 0.2, 0.0125, height=0.35)
    elif style == 4:
        for k in range(rng.integer(1, 4)):
            at = (-width / 2 + 0.15 * k, -0.08, z - 0.3)
            spot.ball(at, (0.13, 0.08, rng.uniform(0.3, 0.55)), bm.cloth(rng), pitch=rng.uniform(-0.1, 0.1))
    elif style == 6:
        spot.box((0.0, 0.0, 1.1), (0.08, 0.02, 0.08 * rng.integer(1, 2)), bm.white_goods(rng))
    elif style == 7:
        tall = rng.uniform(0.4, 0.9)
        spot.box((0.0, -0.06, 0.12 + tall / 2), (width, rng.uniform(0.06, 0.14), tall), tm.radiator(rng))
    else:
        spot.box((0.0, -0.08, ceiling - 0.35), (max(width, 0.7), 0.2, 0.28), bm.white_goods(rng))
    if len(stage.solids) > stage.max_solids:
        del stage.solids[solids:]
