"""Tables, cupboards, shelves, desks, screens, lamps and rugs, with random but realistic sizes and materials."""

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place


def legs(place: Place, width: float, depth: float, height: float, material: Material, *, thickness: float) -> None:
    """Four legs under the corners of a rectangle, square or round, at times splayed."""
    rng = place.rng
    round_legs, splay = rng.chance(0.5), rng.pick([0.0, 0.0, 0.04])
    x, y = width / 2 - thickness, depth / 2 - thickness
    for sx in (-1, 1):
        for sy in (-1, 1):
            if round_legs:
                foot = (sx * (x + splay), sy * (y + splay), 0.0)
                place.rod(foot, (sx * x, sy * y, height), thickness / 2, material)
            else:
                place.box((sx * x, sy * y, height / 2), (thickness, thickness, height), material)


def table(rng: Rng, *, width: float | None = None, depth: float | None = None, height: float | None = None) -> Piece:
    """A table 0.72 to 0.78 m high: round on one foot, or on four legs, two end panels or a trestle."""
    height = height or rng.uniform(0.72, 0.78)
    if width is None and rng.chance(0.25):
        return _round_table(rng.uniform(0.35, 0.65), height)
    width, depth = width or rng.uniform(0.9, 1.9), depth or rng.uniform(0.6, 0.95)

    def build(place: Place) -> None:
        rng = place.rng
        top, frame, thickness = bm.table_top(rng), bm.furniture(rng), rng.uniform(0.018, 0.05)
        if rng.chance(0.5):
            frame = top
        place.box((0.0, 0.0, height - thickness / 2), (width, depth, thickness), top)
        under = height - thickness
        style = rng.integer(0, 3)
        if style <= 1:
            legs(place, width, depth, under, frame, thickness=rng.uniform(0.03, 0.08))
            if rng.chance(0.3):
                place.box((0.0, 0.0, under - 0.05), (width - 0.14, depth - 0.14, 0.09), frame)
        elif style == 2:
            for side in (-1, 1):
                place.box((side * (width / 2 - 0.06), 0.0, under / 2), (0.04, depth - 0.08, under), frame)
        else:
            for side in (-1, 1):
                x = side * (width / 2 - 0.2)
                place.box((x, 0.0, under / 2), (0.06, 0.06, under), frame)
                place.box((x, 0.0, 0.03), (0.07, depth - 0.1, 0.06), frame)
        place.surface(width, depth, height)

    return Piece(width, depth, build)


def _round_table(radius: float, height: float) -> Piece:
    def build(place: Place) -> None:
        rng = place.rng
        frame = bm.furniture(rng)
        place.rod((0.0, 0.0, height - 0.03), (0.0, 0.0, height), radius, bm.table_top(rng))
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height - 0.03), rng.uniform(0.03, 0.06), frame)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.03), 0.55 * radius, frame, taper=0.8)
        place.surface(1.3 * radius, 1.3 * radius, height)

    return Piece(2 * radius, 2 * radius, build)


def low_table(rng: Rng) -> Piece:
    """A table before a sofa, 0.35 to 0.5 m high."""
    return table(rng, width=rng.uniform(0.6, 1.2), depth=rng.uniform(0.5, 0.7), height=rng.uniform(0.35, 0.5))


def cupboard(rng: Rng, *, height: float | None = None) -> Piece:
    """A wardrobe, a sideboard or a chest of drawers; its fronts are a pattern, or doors and drawers with handles."""
    height = height or rng.pick([rng.uniform(0.7, 1.1), rng.uniform(1.2, 1.5), rng.uniform(1.8, 2.3)])
    width, depth = rng.uniform(0.5, 1.9), rng.uniform(0.35, 0.62)

    def build(place: Place) -> None:
        rng = place.rng
        body = bm.furniture(rng)
        foot = rng.pick([0.0, 0.08, 0.12])
        place.between((-width / 2, -depth / 2, foot), (width / 2, depth / 2, height), body)
        if foot:
            place.between(
                (-width / 2 + 0.03, -depth / 2 + 0.05, 0.0),
                (width / 2 - 0.03, depth / 2, foot),
                bm.dark_plastic(rng),
            )
        columns, rows = max(1, round(width / rng.uniform(0.4, 0.6))), 1 if height > 1.6 else rng.integer(1, 4)
        if rng.chance(0.5) and columns * rows <= 6:
            fronts(place, columns, rows, (-width / 2, -depth / 2, foot), (width / 2, 0.0, height))
        elif rng.chance(0.7):
            front = tm.fronts(rng, width / columns, (height - foot) / rows)
            place.between((-width / 2, -depth / 2 - 0.012, foot), (width / 2, -depth / 2, height), front)
        place.surface(width, depth, height, height=0.6)

    return Piece(width, depth + 0.03, build)


def fronts(place: Place, columns: int, rows: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    """Doors or drawers with gaps and handles before the plane y = low[1]; one may stand open."""
    rng = place.rng
    front, handle = bm.furniture(rng), bm.metal(rng)
    wide, tall = (high[0] - low[0]) / columns, (high[2] - low[2]) / rows
    upright = tall > wide
    for i in range(columns):
        for j in range(rows):
            x, z = low[0] + (i + 0.5) * wide, low[2] + (j + 0.5) * tall
            out = rng.uniform(0.08, 0.3) if not upright and rng.chance(0.07) else 0.009
            place.box((x, low[1] - out, z), (wide - 0.008, 0.018 if out < 0.05 else 2 * out, tall - 0.008), front)
            if rng.chance(0.75):
                grip = (0.012, 0.02, 0.14) if upright else (0.14, 0.02, 0.012)
                side = (0.4 * wide * rng.pick([-1, 1])) if upright else 0.0
                place.box((x + side, low[1] - 2 * out - 0.012, z), grip, handle)


def shelf(rng: Rng, *, height: float | None = None, width: float | None = None) -> Piece:
    """An open shelf: sides, boards, sometimes a back; its boards are surfaces for other objects."""
    width, depth = width or rng.uniform(0.6, 1.4), rng.uniform(0.24, 0.5)
    height = height or rng.pick([rng.uniform(0.8, 1.2), rng.uniform(1.6, 2.2)])

    def build(place: Place) -> None:
        rng = place.rng
        material, thickness = bm.furniture(rng), rng.uniform(0.015, 0.035)
        levels = max(2, round(height / rng.uniform(0.3, 0.48)))
        style = rng.integer(0, 2)
        if style == 2:  # posts at the corners
            post = bm.metal(rng)
            for sx in (-1, 1):
                for sy in (-1, 1):
                    at = (sx * (width / 2 - 0.015), sy * (depth / 2 - 0.015), height / 2)
                    place.box(at, (0.03, 0.03, height), post)
        else:
            for side in (-1, 1):
                place.box((side * width / 2, 0.0, height / 2), (thickness, depth, height), material)
        if style == 1:
            place.box((0.0, depth / 2 - 0.005, height / 2), (width, 0.01, height), material)
        lowest = rng.uniform(0.06, 0.2)
        step = (height - lowest) / (levels - 1)
        for level in range(levels):
            z = min(lowest + level * step, height - thickness)
            place.box((0.0, 0.0, z), (width, depth, thickness), material)
            place.surface(
                width - 0.05, depth - 0.03, z + thickness / 2, height=step - 0.03 if level < levels - 1 else 0.5
            )

    return Piece(width + 0.02, depth + 0.01, build)


def books_shelf(rng: Rng) -> Piece:
    """A shelf of books as one block with the pattern of spines, or rows of blocks of several heights."""
    width, depth, height = rng.uniform(0.6, 2.0), rng.uniform(0.22, 0.35), rng.pick([1.05, 1.75, 2.1])

    def build(place: Place) -> None:
        rng = place.rng
        body, spines = bm.furniture(rng), tm.books(rng)
        place.between((-width / 2, -depth / 2 + 0.06, 0.0), (width / 2, depth / 2, height), body)
        for side in (-1, 1):
            place.box((side * width / 2, 0.0, height / 2), (0.03, depth, height), body)
        step = height / max(2, round(height / 0.36))
        for level in range(round(height / step)):
            z = level * step
            place.box((0.0, 0.0, z + 0.015), (width, depth, 0.03), body)
            x = -width / 2 + 0.02
            while x < width / 2 - 0.15:
                run = min(rng.uniform(0.25, 0.9), width / 2 - 0.02 - x)
                tall = rng.uniform(0.18, step - 0.05)
                if rng.chance(0.85):
                    near = -depth / 2 + rng.uniform(0.01, 0.05)
                    place.between((x, near, z + 0.03), (x + run, -depth / 2 + 0.07, z + 0.03 + tall), spines)
                x += run + rng.pick([0.0, 0.0, 0.1])
        place.box((0.0, 0.0, height), (width + 0.03, depth, 0.03), body)
        place.surface(width, depth, height + 0.015, height=0.4)

    return Piece(width + 0.03, depth, build)


def desk(rng: Rng) -> Piece:
    """A desk with a screen and what belongs to it; at times with a chest of drawers under it."""
    width, depth, height = rng.uniform(1.1, 1.8), rng.uniform(0.6, 0.85), rng.uniform(0.71, 0.76)
    under = table(rng, width=width, depth=depth, height=height)

    def build(place: Place) -> None:
        rng = place.rng
        under.build(place)
        if rng.chance(0.5):
            x = rng.pick([-1, 1]) * (width / 2 - 0.26)
            drawers = tm.fronts(rng, 0.42, 0.18)
            place.box((x, 0.04, 0.3), (0.42, depth - 0.12, 0.58), drawers)
        for _ in range(rng.integer(0, 2)):
            screen(place.at(rng.uniform(-0.3, 0.3) * width, 0.12, height, yaw=rng.uniform(-0.5, 0.5)))
        if rng.chance(0.6):
            place.box(
                (rng.uniform(-0.2, 0.2), -0.14, height + 0.012),
                (0.43, 0.14, 0.024),
                bm.dark_plastic(rng),
                yaw=rng.uniform(-0.2, 0.2),
            )

    return Piece(width, depth, build)


def screen(place: Place) -> None:
    """A computer's screen on a foot."""
    rng = place.rng
    wide = rng.uniform(0.42, 0.7)
    tall, dark = 0.6 * wide, bm.dark_plastic(rng)
    place.box((0.0, 0.02, 0.01), (0.24, 0.2, 0.018), dark)
    place.box((0.0, 0.05, 0.14), (0.05, 0.03, 0.26), dark)
    panel = place.at(0.0, 0.02, 0.12 + tall / 2, roll=rng.uniform(-0.15, 0.02))
    panel.box((0.0, 0.0, 0.0), (wide, 0.035, tall), dark)
    panel.box((0.0, -0.018, 0.008), (wide - 0.025, 0.004, tall - 0.035), tm.screen(rng))


def television(rng: Rng) -> Piece:
    """A television on a low board."""
    width, depth, height = rng.uniform(1.0, 1.9), rng.uniform(0.35, 0.45), rng.uniform(0.35, 0.55)

    def build(place: Place) -> None:
        rng = place.rng
        place.between(
            (-width / 2, -depth / 2, 0.06),
            (width / 2, depth / 2, height),
            tm.fronts(rng, width / 3, height),
        )
        place.box((0.0, 0.0, 0.03), (width - 0.1, depth - 0.1, 0.06), bm.dark_plastic(rng))
        wide = rng.uniform(0.8, 1.3)
        set_ = place.at(rng.uniform(-0.1, 0.1), 0.03, height, yaw=rng.uniform(-0.15, 0.15))
        set_.box((0.0, 0.0, 0.02), (0.4 * wide, 0.2, 0.03), bm.dark_plastic(rng))
        set_.box((0.0, 0.0, 0.07 + 0.29 * wide), (wide, 0.05, 0.58 * wide), bm.dark_plastic(rng))
        set_.box((0.0, -0.026, 0.07 + 0.29 * wide), (wide - 0.03, 0.004, 0.58 * wide - 0.04), tm.screen(rng))
        place.surface(width, depth, height, height=0.3)

    return Piece(width, depth, build)


def floor_lamp(rng: Rng) -> Piece:
    """A lamp on a pole, 1.3 to 1.8 m high."""

    def build(place: Place) -> None:
        rng = place.rng
        height, metal = rng.uniform(1.3, 1.8), bm.metal(rng)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.025), 0.14, metal)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height - 0.1), 0.013, metal)
        shade(place.at(0.0, 0.0, height), rng.uniform(0.14, 0.24))

    return Piece(0.35, 0.35, build)


def shade(place: Place, radius: float) -> None:
    """A lampshade around the origin; half of them are lit."""
    rng = place.rng
    lit = rng.chance(0.5)
    material = tm.lit_shade(rng) if lit else bm.cloth(rng)
    if rng.chance(0.75):
        place.rod((0.0, 0.0, -0.8 * radius), (0.0, 0.0, 0.6 * radius), radius, material, taper=rng.uniform(0.45, 1.0))
    else:
        place.ball((0.0, 0.0, 0.0), (radius, radius, radius * rng.uniform(0.7, 1.0)), material)
    if lit:
        place.stage.lamps.append(place.point(0.0, 0.0, radius + 0.15))


def rug(rng: Rng) -> Piece:
    """A rug, a doormat or a runner; furniture may stand on it."""
    width, depth = rng.pick([(0.6, 0.4), (0.7, 2.2), (1.4, 2.0), (1.6, 2.4), (2.0, 3.0)])

    def build(place: Place) -> None:
        place.box((0.0, 0.0, 0.005), (width, depth, 0.011), tm.rug(place.rng))

    return Piece(width, depth, build)
