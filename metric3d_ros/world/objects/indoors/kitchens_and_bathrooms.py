"""Fittings of kitchens and bathrooms: worktops, fridges, basins, toilets, baths, showers."""

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.indoors.fittings import WORKTOP_M
from metric3d_ros.world.objects.indoors.furniture import fronts
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import rooms as rm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place


def kitchen_run(rng: Rng, length: float) -> Piece:
    """A worktop 0.86 to 0.92 m high on cabinets, with sink, hob and oven; wall cabinets, a hood or shelves above."""
    depth = rng.uniform(0.58, 0.65)

    def build(place: Place) -> None:
        rng = place.rng
        height, foot = rng.uniform(*WORKTOP_M), 0.1
        body, top = (
            bm.furniture(rng),
            rng.pick([bm.stone(rng), bm.table_top(rng)]),
        )
        left, right, near, back = -length / 2, length / 2, -depth / 2, depth / 2
        columns = max(1, round(length / 0.6))
        place.between((left, near + 0.03, foot), (right, back, height - 0.04), body)
        place.between((left, near + 0.08, 0.0), (right, back, foot), bm.dark_plastic(rng))
        place.between((left, near, height - 0.04), (right, back, height), top)
        if columns <= 3 and rng.chance(0.5):
            fronts(place, columns, rng.integer(1, 3), (left, near + 0.03, foot), (right, back, height - 0.04))
        else:
            front = tm.fronts(rng, length / columns, rng.pick([0.76, 0.38, 0.25]))
            place.between((left, near + 0.01, foot), (right, near + 0.03, height - 0.05), front)
        slots = [left + (k + 0.5) * length / columns for k in range(columns)]
        oven, sink = rng.pick(slots), rng.pick(slots)
        place.box((oven, near, 0.45), (0.56, 0.03, 0.56), bm.dark_glass(rng))
        place.box((oven, 0.0, height + 0.003), (0.56, 0.48, 0.008), bm.dark_glass(rng))
        if sink != oven:
            place.box((sink, 0.0, height + 0.002), (0.48, 0.4, 0.006), bm.metal(rng))
            tap = bm.metal(rng)
            place.rod((sink, 0.2, height), (sink, 0.2, height + 0.25), 0.014, tap)
            place.rod((sink, 0.2, height + 0.25), (sink, 0.02, height + 0.22), 0.012, tap)
        if rng.chance(0.3):
            pan = bm.metal(rng)
            place.rod((oven - 0.1, 0.0, height + 0.01), (oven - 0.1, 0.0, height + 0.12), 0.1, pan)
            place.rod(
                (oven - 0.1, -0.08, height + 0.1),
                (oven - 0.2, -0.28, height + 0.11),
                0.01,
                bm.dark_plastic(rng),
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
            material = tm.fronts(rng, (end - start) / columns, tall)
            place.between((start, wall_at - deep, low), (end, wall_at, low + tall), material)
    elif style == 2:
        board = place.at(0.0, wall_at - 0.12, 1.4)
        board.box((0.0, 0.0, 0.0), (0.8 * length, 0.24, 0.03), bm.wood(rng))
        board.surface(0.8 * length, 0.2, 0.015, height=0.35)
    if rng.chance(0.5) and style != 0:
        steel = bm.metal(rng)
        place.box((hob, wall_at - 0.24, 1.55), (0.6, 0.46, 0.1), steel)
        place.box((hob, wall_at - 0.13, 1.9), (0.26, 0.24, 0.65), steel)
    if rng.chance(0.5):
        place.box((0.0, wall_at - 0.006, 1.15), (length, 0.008, 0.5), rm.tiles(rng))


def fridge(rng: Rng) -> Piece:
    """A fridge, a washing machine, a cooker or a boiler."""
    style = rng.integer(0, 3)
    height = [rng.uniform(1.4, 2.0), 0.85, rng.uniform(0.85, 0.9), rng.uniform(1.2, 1.8)][style]

    def build(place: Place) -> None:
        rng = place.rng
        body = bm.white_goods(rng) if rng.chance(0.7) else bm.metal(rng)
        if style == 3:
            place.rod((0.0, 0.0, 0.05), (0.0, 0.0, height), 0.27, body)
            place.ball((0.0, 0.0, height), (0.27, 0.27, 0.08), body)
            place.rod((0.1, 0.0, height), (0.1, 0.1, height + 0.5), 0.03, bm.metal(rng))
            return
        place.between((-0.3, -0.29, 0.02), (0.3, 0.3, height), body)
        if style == 0:
            for low, high in ((0.05, 0.45 * height), (0.46 * height, height - 0.01)):
                place.between((-0.295, -0.33, low), (0.295, -0.295, high), body)
            place.box((0.24, -0.35, 0.55 * height), (0.02, 0.03, 0.4), bm.metal(rng))
        elif style == 1:
            place.rod((0.0, -0.28, 0.45), (0.0, -0.32, 0.45), 0.19, bm.metal(rng))
            place.rod((0.0, -0.31, 0.45), (0.0, -0.325, 0.45), 0.14, bm.dark_glass(rng))
            place.box((0.0, -0.295, 0.78), (0.58, 0.012, 0.1), bm.dark_plastic(rng))
        else:
            place.box((0.0, -0.295, 0.45), (0.5, 0.02, 0.4), bm.dark_glass(rng))
            place.box((0.0, -0.32, 0.68), (0.46, 0.03, 0.02), bm.metal(rng))
            for k in range(3):
                at = (-0.2 + 0.2 * k, -0.3, 0.78)
                place.rod(at, (at[0], -0.33, 0.78), 0.025, bm.dark_plastic(rng))
        place.surface(0.56, 0.5, height, height=0.5)

    return Piece(0.62, 0.66, build)


def basin(rng: Rng) -> Piece:
    """A wash basin 0.8 to 0.88 m high on a foot or a cabinet, with tap and mirror."""
    width = rng.uniform(0.45, 0.9)

    def build(place: Place) -> None:
        rng = place.rng
        height, white, steel = rng.uniform(0.8, 0.88), bm.ceramic(rng), bm.metal(rng)
        if rng.chance(0.5):
            cabinet = tm.fronts(rng, width / 2, 0.5)
            place.between((-width / 2 + 0.03, -0.2, 0.15), (width / 2 - 0.03, 0.24, height - 0.1), cabinet)
        else:
            place.rod((0.0, 0.08, 0.0), (0.0, 0.08, height - 0.1), 0.1, white, taper=0.8)
        if rng.chance(0.5):
            place.box((0.0, 0.0, height - 0.06), (width, 0.48, 0.12), white)
        else:
            place.ball((0.0, 0.0, height - 0.06), (width / 2, 0.24, 0.09), white)
        place.box((0.0, -0.02, height + 0.002), (0.7 * width, 0.28, 0.006), bm.white_goods(rng))
        place.rod((0.0, 0.19, height), (0.0, 0.1, height + 0.12), 0.016, steel)
        mirror = rng.uniform(0.5, 0.9)
        if rng.chance(0.5):
            place.box((0.0, 0.23, height + 0.3 + mirror / 2), (width, 0.02, mirror), tm.mirror())
        else:
            place.box(
                (0.0, 0.18, height + 0.3 + mirror / 2),
                (width, 0.12, mirror),
                tm.fronts(rng, width / 2, mirror),
            )
        place.at(0.0, 0.12).surface(width, 0.12, height, height=0.25)

    return Piece(width, 0.5, build)


def toilet(rng: Rng) -> Piece:
    """A toilet, its seat 0.4 m high."""

    def build(place: Place) -> None:
        rng = place.rng
        white = bm.ceramic(rng)
        place.rod((0.0, -0.08, 0.0), (0.0, -0.08, 0.38), 0.13, white, taper=1.4)
        place.ball((0.0, -0.1, 0.4), (0.19, 0.25, 0.03), bm.white_goods(rng))
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
        height, white = rng.uniform(0.5, 0.62), bm.ceramic(rng)
        side = rng.pick([white, rm.tiles(rng)])
        for sy in (-1, 1):
            place.box((0.0, sy * (depth / 2 - 0.03), height / 2), (width, 0.06, height), side)
        for sx in (-1, 1):
            place.box((sx * (width / 2 - 0.04), 0.0, height / 2), (0.08, depth, height), white)
        place.box((0.0, 0.0, 0.08), (width, depth, 0.16), white)
        place.box((0.0, -depth / 2 + 0.04, height), (width, 0.09, 0.02), white)
        if rng.chance(0.4):
            x = rng.pick([-1, 1]) * (width / 2 - rng.uniform(0.2, 0.5))
            place.box((x, -depth / 2 + 0.05, 1.2), (rng.uniform(0.3, 0.9), 0.03, 1.5), tm.curtain(rng))
        steel = bm.metal(rng)
        place.rod((0.0, depth / 2 - 0.03, 0.75), (0.0, depth / 2 - 0.15, 0.73), 0.02, steel)
        place.rod((0.1, depth / 2 - 0.03, 0.8), (0.1, depth / 2 - 0.03, 1.8), 0.012, steel)

    return Piece(width, depth, build)


def shower(rng: Rng) -> Piece:
    """A shower tray with a wall or a curtain and its pipe."""

    def build(place: Place) -> None:
        rng = place.rng
        place.box((0.0, 0.0, 0.06), (0.9, 0.9, 0.12), bm.ceramic(rng))
        steel = bm.metal(rng)
        place.rod((0.0, 0.42, 0.9), (0.0, 0.42, 2.0), 0.014, steel)
        place.rod((0.0, 0.42, 2.0), (0.0, 0.2, 1.98), 0.012, steel)
        if rng.chance(0.6):
            place.box((rng.pick([-0.44, 0.44]), 0.0, 1.05), (0.02, 0.88, 1.85), rm.tiles(rng))
        if rng.chance(0.6):
            wide = rng.uniform(0.25, 0.85)
            place.box((-0.45 + wide / 2, -0.43, 1.1), (wide, 0.03, 1.7), tm.curtain(rng))
        place.rod((-0.45, -0.43, 1.97), (0.45, -0.43, 1.97), 0.012, steel)

    return Piece(0.92, 0.92, build)
