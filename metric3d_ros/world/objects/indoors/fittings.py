"""Fittings of rooms: doors, windows, curtains, stairs, beams, pillars, pipes, ceiling lamps."""

import math
from dataclasses import replace

from metric3d_ros.world.description import colours
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.indoors.furniture import shade
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import rooms as rm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place, Wall

DOOR_HEIGHT_M = (1.98, 2.1)
WORKTOP_M = (0.86, 0.92)


def stairs(rng: Rng, *, rise: float) -> Piece:
    """A straight flight towards its back, of steps 0.16 to 0.2 m high, up to `rise` metres; at times with a rail."""
    step, tread, width = rng.uniform(0.16, 0.2), rng.uniform(0.24, 0.3), rng.uniform(0.8, 1.2)
    count = max(3, min(round(rise / step), 14))
    depth = count * tread

    def build(place: Place) -> None:
        rng = place.rng
        material, riser = rm.floor(rng, "living"), bm.furniture(rng)
        is_open = rng.chance(0.3)
        for k in range(count):
            near, top = -depth / 2 + k * tread, (k + 1) * step
            low = top - 0.045 if is_open else max(0.0, top - step)
            place.between((-width / 2, near, low), (width / 2, near + tread + 0.02, top), material)
        slope = math.atan2(step, tread)
        middle = place.at(0.0, 0.0, count * step / 2)
        for side in (-1, 1):
            string = (math.hypot(depth, count * step), 0.04, 0.28)
            middle.at(side * (width / 2 + 0.02), 0.0, -0.08, yaw=math.pi / 2, pitch=slope).box(
                (0.0, 0.0, 0.0), string, riser
            )
        if rng.chance(0.7):
            x, rail = rng.pick([-1, 1]) * (width / 2), bm.furniture(rng)
            foot = (x, -depth / 2, 0.95)
            place.rod(foot, (x, depth / 2, 0.95 + count * step), 0.025, rail)
            for k in range(0, count, 2):
                y = -depth / 2 + (k + 0.5) * tread
                place.rod((x, y, (k + 1) * step), (x, y, 0.95 + (k + 0.5) * step), 0.012, rail)

    return Piece(width + 0.1, depth, build)


def door_leaf(place: Place, width: float, height: float, *, open_by: float) -> None:
    """A door's leaf hinged at the origin, along x when it is shut, turned by `open_by`; with handles."""
    rng = place.rng
    leaf = place.at(0.0, 0.0, yaw=open_by)
    plain = rng.chance(0.5)
    material = bm.furniture(rng)
    if not plain:
        material = replace(
            material, joint_colour=colours.scaled(material.colour, 0.6), cell_u=width / 2, cell_v=height / 3, joint=0.05
        )
    leaf.box((width / 2, 0.0, height / 2), (width, 0.04, height - 0.01), material)
    steel = bm.metal(rng)
    for side in (-1, 1):
        leaf.rod((width - 0.07, 0.0, 1.05), (width - 0.07, side * 0.06, 1.05), 0.012, steel)
        leaf.box((width - 0.12, side * 0.065, 1.05), (0.13, 0.018, 0.02), steel)


def door_frame(place: Place, width: float, height: float, thickness: float) -> None:
    """A frame around an opening whose middle is the origin, in a wall along x that is `thickness` deep."""
    material, deep = bm.furniture(place.rng), thickness + 0.03
    for side in (-1, 1):
        place.box((side * (width / 2 + 0.03), 0.0, height / 2), (0.07, deep, height), material)
    place.box((0.0, 0.0, height + 0.03), (width + 0.13, deep, 0.07), material)


def window_frame(place: Place, width: float, height: float, thickness: float) -> None:
    """A frame with bars around an opening whose lower edge is at the origin, with a sill inside (at -y)."""
    rng = place.rng
    material, bar = (
        bm.white_goods(rng) if rng.chance(0.7) else bm.wood(rng),
        rng.uniform(0.04, 0.08),
    )
    for side in (-1, 1):
        place.box((side * (width / 2 - bar / 2), 0.0, height / 2), (bar, 0.06, height), material)
    for z in (bar / 2, height - bar / 2):
        place.box((0.0, 0.0, z), (width, 0.06, bar), material)
    for k in range(1, max(1, round(width / rng.uniform(0.5, 0.9)))):
        x = -width / 2 + k * width / max(1, round(width / 0.7))
        place.box((x, 0.0, height / 2), (0.7 * bar, 0.05, height), material)
    if rng.chance(0.3):
        place.box((0.0, 0.0, rng.uniform(0.35, 0.7) * height), (width, 0.04, 0.6 * bar), material)
    sill = place.at(0.0, -thickness / 2 - 0.06)
    sill.box((0.0, 0.0, -0.015), (width + 0.1, thickness + 0.14, 0.03), rng.pick([material, bm.stone(rng)]))
    sill.surface(width, 0.16, 0.0, height=0.5)


def curtains(place: Place, width: float, top: float) -> None:
    """Curtains at both sides of a window whose middle is the origin, or a blind drawn half down; the room is at -y."""
    rng = place.rng
    cover = tm.curtain(rng)
    bottom = rng.pick([0.05, 0.6])
    place.rod((-width / 2 - 0.25, -0.1, top), (width / 2 + 0.25, -0.1, top), 0.014, bm.metal(rng))
    if rng.chance(0.25):
        drop = rng.uniform(0.2, 0.9) * (top - 0.9)
        place.box((0.0, -0.06, top - drop / 2), (width + 0.1, 0.02, drop), cover)
        return
    drawn = rng.uniform(0.12, 0.45) * width
    for side in (-1, 1):
        x = side * (width / 2 + 0.15 - drawn / 2)
        if rng.chance(0.5):
            place.box((x, -0.1, (bottom + top) / 2), (drawn, 0.06, top - bottom), cover)
            continue
        folds = min(6, max(2, round(drawn / 0.12)))
        for k in range(folds):
            at = x + (k + 0.5 - folds / 2) * drawn / folds
            place.rod((at, -0.1, bottom), (at, -0.1, top), 0.55 * drawn / folds, cover)


def ceiling_lamp(place: Place, height: float) -> None:
    """A lamp below a ceiling at `height`: pendant, ball, panel, tube or spots. Its light is added to the stage's."""
    rng, style = place.rng, place.rng.integer(0, 4)
    glow = tm.lamp_glow(rng)
    if style == 0 and height > 2.3:
        drop = rng.uniform(0.3, min(0.8, height - 1.75))
        place.rod((0.0, 0.0, height - drop), (0.0, 0.0, height), 0.006, tm.cable(rng))
        shade(place.at(0.0, 0.0, height - drop), rng.uniform(0.13, 0.28))
        light = height - drop - 0.22
    elif style == 1:
        radius = rng.uniform(0.1, 0.22)
        place.ball((0.0, 0.0, height - 0.06), (radius, radius, 0.08), glow)
        light = height - 0.3
    elif style == 2:
        place.box((0.0, 0.0, height - 0.01), rng.pick([(0.6, 0.6, 0.03), (1.2, 0.3, 0.03)]), glow)
        light = height - 0.2
    elif style == 3:
        place.rod((-0.6, 0.0, height - 0.09), (0.6, 0.0, height - 0.09), 0.018, glow)
        place.box((0.0, 0.0, height - 0.03), (1.3, 0.12, 0.05), bm.white_goods(rng))
        light = height - 0.25
    else:
        for k in range(3):
            place.ball((0.0, 0.3 * (k - 1), height - 0.08), (0.05, 0.05, 0.06), glow)
        light = height - 0.3
    place.stage.lamps.append(place.point(0.0, 0.0, light))


def pipes(place: Place, wall: Wall, ceiling: float) -> None:
    """Pipes or a duct along a wall, near the ceiling or the floor, with a branch."""
    rng = place.rng
    material = bm.metal(rng) if rng.chance(0.5) else bm.white_goods(rng)
    radius, z = colours.sizes(rng, 0.012, 0.16), rng.pick([0.12, ceiling - 0.25, ceiling - 0.4])
    for k in range(rng.integer(1, 2 if radius > 0.05 else 3)):
        out, level = radius + 0.03 + 0.02 * k, z + 2.6 * radius * k
        (x0, y0, _), (x1, y1, _) = wall.facing(0.02, out), wall.facing(wall.length - 0.02, out)
        place.rod((x0, y0, level), (x1, y1, level), radius, material)
        if rng.chance(0.6):
            x, y, _ = wall.facing(rng.uniform(0.2, 0.8) * wall.length, out)
            place.rod((x, y, level), (x, y, 0.0 if z > 1.0 else ceiling), radius * rng.uniform(0.5, 1.0), material)


def beams(place: Place, width: float, depth: float, ceiling: float) -> None:
    """Beams below the ceiling."""
    rng = place.rng
    material, size, along_x = (
        rng.pick([bm.wood(rng), rm.concrete(rng)]),
        rng.uniform(0.1, 0.25),
        rng.chance(0.5),
    )
    count = rng.integer(2, 5)
    for k in range(count):
        share = (k + 0.5) / count
        if along_x:
            place.box((width / 2, share * depth, ceiling - size / 2), (width, 0.7 * size, size), material)
        else:
            place.box((share * width, depth / 2, ceiling - size / 2), (0.7 * size, depth, size), material)


def pillar(rng: Rng, ceiling: float) -> Piece:
    """A round or square pillar or post up to the ceiling."""
    size = rng.uniform(0.12, 0.5)

    def build(place: Place) -> None:
        rng = place.rng
        material = rng.pick([rm.paint, rm.concrete, rm.masonry, bm.wood])(rng)
        if rng.chance(0.5):
            place.rod((0.0, 0.0, 0.0), (0.0, 0.0, ceiling), size / 2, material)
        else:
            place.between((-size / 2, -size / 2, 0.0), (size / 2, size / 2, ceiling), material)

    return Piece(size, size, build)
