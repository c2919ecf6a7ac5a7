"""What is built into rooms: kitchens, bathrooms, doors, windows, stairs, beams, pipes, lamps on the ceiling."""

import math
from dataclasses import replace

from metric3d_ros.world.description import colours
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects import presets, room_surfaces
from metric3d_ros.world.objects.furniture import fronts, shade
from metric3d_ros.world.objects.placing import Piece, Place, Wall

DOOR_HEIGHT_M = (1.98, 2.1)
WORKTOP_M = (0.86, 0.92)


def kitchen_run(rng: Rng, length: float) -> Piece:
    """A worktop 0.86 to 0.92 m high on cabinets, with sink, hob and oven; wall cabinets, a hood or shelves above."""
    depth = rng.uniform(0.58, 0.65)

    def build(place: Place) -> None:
        rng = place.rng
        height, foot = rng.uniform(*WORKTOP_M), 0.1
        body, top = presets.furniture(rng), rng.pick([presets.stone(rng), presets.table_top(rng)])
        left, right, near, back = -length / 2, length / 2, -depth / 2, depth / 2
        columns = max(1, round(length / 0.6))
        place.between((left, near + 0.03, foot), (right, back, height - 0.04), body)
        place.between((left, near + 0.08, 0.0), (right, back, foot), presets.dark_plastic(rng))
        place.between((left, near, height - 0.04), (right, back, height), top)
        if columns <= 3 and rng.chance(0.5):
            fronts(place, columns, rng.integer(1, 3), (left, near + 0.03, foot), (right, back, height - 0.04))
        else:
            front = presets.fronts(rng, length / columns, rng.pick([0.76, 0.38, 0.25]))
            place.between((left, near + 0.01, foot), (right, near + 0.03, height - 0.05), front)
        slots = [left + (k + 0.5) * length / columns for k in range(columns)]
        oven, sink = rng.pick(slots), rng.pick(slots)
        place.box((oven, near, 0.45), (0.56, 0.03, 0.56), presets.dark_glass(rng))
        place.box((oven, 0.0, height + 0.003), (0.56, 0.48, 0.008), presets.dark_glass(rng))
        if sink != oven:
            place.box((sink, 0.0, height + 0.002), (0.48, 0.4, 0.006), presets.metal(rng))
            tap = presets.metal(rng)
            place.rod((sink, 0.2, height), (sink, 0.2, height + 0.25), 0.014, tap)
            place.rod((sink, 0.2, height + 0.25), (sink, 0.02, height + 0.22), 0.012, tap)
        if rng.chance(0.3):
            pan = presets.metal(rng)
            place.rod((oven - 0.1, 0.0, height + 0.01), (oven - 0.1, 0.0, height + 0.12), 0.1, pan)
            place.rod(
                (oven - 0.1, -0.08, height + 0.1), (oven - 0.2, -0.28, height + 0.11), 0.01, presets.dark_plastic(rng)
            )
        place.surface(length - 0.1, 0.4, height)
        _above_worktop(place, length, depth, oven)

    return Piece(length, depth, build)


def _above_worktop(place: Place, length: float, depth: float, hob: float) -> None:
    rng = place.rng
    wall_at, style = depth / 2, rng.integer(0, 3)
    if style <= 1:
        deep, low, tall = rng.uniform(0.3, 0.37), rng.uniform(1.32, 1.5), rng.uniform(0.55, 0.8)
        start, end = (-length / 2, length / 2) if style == 0 else (-length / 2, rng.uniform(0.0, length / 2))
        if end - start > 0.4:
            columns = max(1, round((end - start) / 0.55))
            material = presets.fronts(rng, (end - start) / columns, tall)
            place.between((start, wall_at - deep, low), (end, wall_at, low + tall), material)
    elif style == 2:
        board = place.at(0.0, wall_at - 0.12, 1.4)
        board.box((0.0, 0.0, 0.0), (0.8 * length, 0.24, 0.03), presets.wood(rng))
        board.surface(0.8 * length, 0.2, 0.015, height=0.35)
    if rng.chance(0.5) and style != 0:
        steel = presets.metal(rng)
        place.box((hob, wall_at - 0.24, 1.55), (0.6, 0.46, 0.1), steel)
        place.box((hob, wall_at - 0.13, 1.9), (0.26, 0.24, 0.65), steel)
    if rng.chance(0.5):
        place.box((0.0, wall_at - 0.006, 1.15), (length, 0.008, 0.5), room_surfaces.tiles(rng))


def fridge(rng: Rng) -> Piece:
    """A fridge, a washing machine, a cooker or a boiler."""
    style = rng.integer(0, 3)
    height = [rng.uniform(1.4, 2.0), 0.85, rng.uniform(0.85, 0.9), rng.uniform(1.2, 1.8)][style]

    def build(place: Place) -> None:
        rng = place.rng
        body = presets.white_goods(rng) if rng.chance(0.7) else presets.metal(rng)
        if style == 3:
            place.rod((0.0, 0.0, 0.05), (0.0, 0.0, height), 0.27, body)
            place.ball((0.0, 0.0, height), (0.27, 0.27, 0.08), body)
            place.rod((0.1, 0.0, height), (0.1, 0.1, height + 0.5), 0.03, presets.metal(rng))
            return
        place.between((-0.3, -0.29, 0.02), (0.3, 0.3, height), body)
        if style == 0:
            for low, high in ((0.05, 0.45 * height), (0.46 * height, height - 0.01)):
                place.between((-0.295, -0.33, low), (0.295, -0.295, high), body)
            place.box((0.24, -0.35, 0.55 * height), (0.02, 0.03, 0.4), presets.metal(rng))
        elif style == 1:
            place.rod((0.0, -0.28, 0.45), (0.0, -0.32, 0.45), 0.19, presets.metal(rng))
            place.rod((0.0, -0.31, 0.45), (0.0, -0.325, 0.45), 0.14, presets.dark_glass(rng))
            place.box((0.0, -0.295, 0.78), (0.58, 0.012, 0.1), presets.dark_plastic(rng))
        else:
            place.box((0.0, -0.295, 0.45), (0.5, 0.02, 0.4), presets.dark_glass(rng))
            place.box((0.0, -0.32, 0.68), (0.46, 0.03, 0.02), presets.metal(rng))
            for k in range(3):
                at = (-0.2 + 0.2 * k, -0.3, 0.78)
                place.rod(at, (at[0], -0.33, 0.78), 0.025, presets.dark_plastic(rng))
        place.surface(0.56, 0.5, height, height=0.5)

    return Piece(0.62, 0.66, build)


def basin(rng: Rng) -> Piece:
    """A wash basin 0.8 to 0.88 m high on a foot or a cabinet, with tap and mirror."""
    width = rng.uniform(0.45, 0.9)

    def build(place: Place) -> None:
        rng = place.rng
        height, white, steel = rng.uniform(0.8, 0.88), presets.ceramic(rng), presets.metal(rng)
        if rng.chance(0.5):
            cabinet = presets.fronts(rng, width / 2, 0.5)
            place.between((-width / 2 + 0.03, -0.2, 0.15), (width / 2 - 0.03, 0.24, height - 0.1), cabinet)
        else:
            place.rod((0.0, 0.08, 0.0), (0.0, 0.08, height - 0.1), 0.1, white, taper=0.8)
        if rng.chance(0.5):
            place.box((0.0, 0.0, height - 0.06), (width, 0.48, 0.12), white)
        else:
            place.ball((0.0, 0.0, height - 0.06), (width / 2, 0.24, 0.09), white)
        place.box((0.0, -0.02, height + 0.002), (0.7 * width, 0.28, 0.006), presets.white_goods(rng))
        place.rod((0.0, 0.19, height), (0.0, 0.1, height + 0.12), 0.016, steel)
        mirror = rng.uniform(0.5, 0.9)
        if rng.chance(0.5):
            place.box((0.0, 0.23, height + 0.3 + mirror / 2), (width, 0.02, mirror), presets.mirror(rng))
        else:
            place.box(
                (0.0, 0.18, height + 0.3 + mirror / 2), (width, 0.12, mirror), presets.fronts(rng, width / 2, mirror)
            )
        place.at(0.0, 0.12).surface(width, 0.12, height, height=0.25)

    return Piece(width, 0.5, build)


def toilet(rng: Rng) -> Piece:
    """A toilet, its seat 0.4 m high."""

    def build(place: Place) -> None:
        rng = place.rng
        white = presets.ceramic(rng)
        place.rod((0.0, -0.08, 0.0), (0.0, -0.08, 0.38), 0.13, white, taper=1.4)
        place.ball((0.0, -0.1, 0.4), (0.19, 0.25, 0.03), presets.white_goods(rng))
        place.box((0.0, 0.25, 0.2), (0.3, 0.2, 0.4), white)
        place.box((0.0, 0.25, 0.58), (0.38, 0.17, 0.38), white)
        if rng.chance(0.3):
            place.at(0.0, 0.15, 0.42, roll=-0.15).ball((0.0, 0.0, 0.2), (0.18, 0.025, 0.22), white)
        place.at(0.0, 0.25).surface(0.34, 0.15, 0.77, height=0.2)

    return Piece(0.4, 0.7, build)


def tub(rng: Rng) -> Piece:
    """A bath tub 0.5 to 0.6 m high, at times with a curtain."""
    width, depth = rng.uniform(1.5, 1.8), rng.uniform(0.7, 0.85)

    def build(place: Place) -> None:
        rng = place.rng
        height, white = rng.uniform(0.5, 0.62), presets.ceramic(rng)
        side = rng.pick([white, room_surfaces.tiles(rng)])
        for sy in (-1, 1):
            place.box((0.0, sy * (depth / 2 - 0.03), height / 2), (width, 0.06, height), side)
        for sx in (-1, 1):
            place.box((sx * (width / 2 - 0.04), 0.0, height / 2), (0.08, depth, height), white)
        place.box((0.0, 0.0, 0.08), (width, depth, 0.16), white)
        place.box((0.0, -depth / 2 + 0.04, height), (width, 0.09, 0.02), white)
        if rng.chance(0.4):
            x = rng.pick([-1, 1]) * (width / 2 - rng.uniform(0.2, 0.5))
            place.box((x, -depth / 2 + 0.05, 1.2), (rng.uniform(0.3, 0.9), 0.03, 1.5), presets.curtain(rng))
        steel = presets.metal(rng)
        place.rod((0.0, depth / 2 - 0.03, 0.75), (0.0, depth / 2 - 0.15, 0.73), 0.02, steel)
        place.rod((0.1, depth / 2 - 0.03, 0.8), (0.1, depth / 2 - 0.03, 1.8), 0.012, steel)

    return Piece(width, depth, build)


def shower(rng: Rng) -> Piece:
    """A shower tray with a wall or a curtain and its pipe."""

    def build(place: Place) -> None:
        rng = place.rng
        place.box((0.0, 0.0, 0.06), (0.9, 0.9, 0.12), presets.ceramic(rng))
        steel = presets.metal(rng)
        place.rod((0.0, 0.42, 0.9), (0.0, 0.42, 2.0), 0.014, steel)
        place.rod((0.0, 0.42, 2.0), (0.0, 0.2, 1.98), 0.012, steel)
        if rng.chance(0.6):
            place.box((rng.pick([-0.44, 0.44]), 0.0, 1.05), (0.02, 0.88, 1.85), room_surfaces.tiles(rng))
        if rng.chance(0.6):
            wide = rng.uniform(0.25, 0.85)
            place.box((-0.45 + wide / 2, -0.43, 1.1), (wide, 0.03, 1.7), presets.curtain(rng))
        place.rod((-0.45, -0.43, 1.97), (0.45, -0.43, 1.97), 0.012, steel)

    return Piece(0.92, 0.92, build)


def stairs(rng: Rng, *, rise: float) -> Piece:
    """A straight flight towards its back, of steps 0.16 to 0.2 m high, up to `rise` metres; at times with a rail."""
    step, tread, width = rng.uniform(0.16, 0.2), rng.uniform(0.24, 0.3), rng.uniform(0.8, 1.2)
    count = max(3, min(round(rise / step), 14))
    depth = count * tread

    def build(place: Place) -> None:
        rng = place.rng
        material, riser = room_surfaces.floor(rng, "living"), presets.furniture(rng)
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
            x, rail = rng.pick([-1, 1]) * (width / 2), presets.furniture(rng)
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
    material = presets.furniture(rng)
    if not plain:
        material = replace(
            material, joint_colour=colours.scaled(material.colour, 0.6), cell_u=width / 2, cell_v=height / 3, joint=0.05
        )
    leaf.box((width / 2, 0.0, height / 2), (width, 0.04, height - 0.01), material)
    steel = presets.metal(rng)
    for side in (-1, 1):
        leaf.rod((width - 0.07, 0.0, 1.05), (width - 0.07, side * 0.06, 1.05), 0.012, steel)
        leaf.box((width - 0.12, side * 0.065, 1.05), (0.13, 0.018, 0.02), steel)


def door_frame(place: Place, width: float, height: float, thickness: float) -> None:
    """A frame around an opening whose middle is the origin, in a wall along x that is `thickness` deep."""
    material, deep = presets.furniture(place.rng), thickness + 0.03
    for side in (-1, 1):
        place.box((side * (width / 2 + 0.03), 0.0, height / 2), (0.07, deep, height), material)
    place.box((0.0, 0.0, height + 0.03), (width + 0.13, deep, 0.07), material)


def window_frame(place: Place, width: float, height: float, thickness: float) -> None:
    """A frame with bars around an opening whose lower edge is at the origin, with a sill inside (at -y)."""
    rng = place.rng
    material, bar = presets.white_goods(rng) if rng.chance(0.7) else presets.wood(rng), rng.uniform(0.04, 0.08)
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
    sill.box((0.0, 0.0, -0.015), (width + 0.1, thickness + 0.14, 0.03), rng.pick([material, presets.stone(rng)]))
    sill.surface(width, 0.16, 0.0, height=0.5)


def curtains(place: Place, width: float, top: float) -> None:
    """Curtains at both sides of a window whose middle is the origin, or a blind drawn half down; the room is at -y."""
    rng = place.rng
    cover = presets.curtain(rng)
    bottom = rng.pick([0.05, 0.6])
    place.rod((-width / 2 - 0.25, -0.1, top), (width / 2 + 0.25, -0.1, top), 0.014, presets.metal(rng))
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
    glow = presets.lamp_glow(rng)
    if style == 0 and height > 2.3:
        drop = rng.uniform(0.3, min(0.8, height - 1.75))
        place.rod((0.0, 0.0, height - drop), (0.0, 0.0, height), 0.006, presets.cable(rng))
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
        place.box((0.0, 0.0, height - 0.03), (1.3, 0.12, 0.05), presets.white_goods(rng))
        light = height - 0.25
    else:
        for k in range(3):
            place.ball((0.0, 0.3 * (k - 1), height - 0.08), (0.05, 0.05, 0.06), glow)
        light = height - 0.3
    place.stage.lamps.append(place.point(0.0, 0.0, light))


def pipes(place: Place, wall: Wall, ceiling: float) -> None:
    """Pipes or a duct along a wall, near the ceiling or the floor, with a branch."""
    rng = place.rng
    material = presets.metal(rng) if rng.chance(0.5) else presets.white_goods(rng)
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
        rng.pick([presets.wood(rng), room_surfaces.concrete(rng)]),
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
        material = rng.pick([room_surfaces.paint, room_surfaces.concrete, room_surfaces.masonry, presets.wood])(rng)
        if rng.chance(0.5):
            place.rod((0.0, 0.0, 0.0), (0.0, 0.0, ceiling), size / 2, material)
        else:
            place.between((-size / 2, -size / 2, 0.0), (size / 2, size / 2, ceiling), material)

    return Piece(size, size, build)
