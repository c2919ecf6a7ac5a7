"""Furniture: pieces with drawn sizes and materials, in the sizes that furniture has."""

import math

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects import presets
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
        top, frame, thickness = presets.table_top(rng), presets.furniture(rng), rng.uniform(0.018, 0.05)
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
        frame = presets.furniture(rng)
        place.rod((0.0, 0.0, height - 0.03), (0.0, 0.0, height), radius, presets.table_top(rng))
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height - 0.03), rng.uniform(0.03, 0.06), frame)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.03), 0.55 * radius, frame, taper=0.8)
        place.surface(1.3 * radius, 1.3 * radius, height)

    return Piece(2 * radius, 2 * radius, build)


def low_table(rng: Rng) -> Piece:
    """A table before a sofa, 0.35 to 0.5 m high."""
    return table(rng, width=rng.uniform(0.6, 1.2), depth=rng.uniform(0.5, 0.7), height=rng.uniform(0.35, 0.5))


def chair(rng: Rng) -> Piece:
    """A chair, its seat 0.43 to 0.48 m high: wooden, moulded, folding or upholstered."""
    width, depth, seat = rng.uniform(0.38, 0.5), rng.uniform(0.4, 0.5), rng.uniform(0.43, 0.48)
    back_top = seat + rng.uniform(0.32, 0.55)

    def build(place: Place) -> None:
        rng = place.rng
        frame, cover = presets.furniture(rng), presets.furniture(rng)
        if rng.chance(0.4):
            cover = presets.fabric(rng)
        thickness, lean = rng.uniform(0.022, 0.04), rng.uniform(0.05, 0.22)
        if rng.chance(0.12):
            place.ball((0.0, 0.0, seat - 0.02), (width / 2, depth / 2, 0.05), cover)
        else:
            place.box((0.0, 0.0, seat - 0.02), (width, depth, rng.uniform(0.025, 0.08)), cover)
        legs(place, width, depth, seat - 0.03, frame, thickness=thickness)
        back = place.at(0.0, depth / 2 - 0.02, seat, roll=-lean)
        tall = back_top - seat
        style = rng.integer(0, 3)
        if style == 0:
            back.box((0.0, 0.0, tall / 2), (width, rng.uniform(0.015, 0.06), tall), cover)
        elif style == 1:
            back.ball((0.0, 0.0, 0.62 * tall), (width / 2, 0.03, 0.42 * tall), cover)
            back.box((0.0, 0.0, 0.2 * tall), (0.06, 0.02, 0.4 * tall), frame)
        else:
            for side in (-1, 1):
                back.box((side * (width / 2 - 0.02), 0.0, tall / 2), (thickness, thickness, tall), frame)
            for share in (0.45, 0.9) if style == 2 else (0.85,):
                back.box((0.0, 0.0, share * tall), (width - 0.02, 0.018, rng.uniform(0.04, 0.14)), frame)
        if rng.chance(0.15):
            place.box(
                (0.0, depth / 2 + 0.03, seat + 0.6 * tall), (width + 0.05, 0.09, 0.5), presets.cloth(rng), roll=-lean
            )
        place.surface(width, depth, seat, height=0.3)

    return Piece(width, depth + 0.05, build)


def office_chair(rng: Rng) -> Piece:
    """A swivel chair on a star of five feet."""

    def build(place: Place) -> None:
        rng = place.rng
        dark, cover = presets.dark_plastic(rng), presets.fabric(rng)
        seat = rng.uniform(0.43, 0.52)
        for k in range(5):
            angle = 2 * math.pi * k / 5
            place.rod((0.0, 0.0, 0.1), (0.29 * math.cos(angle), 0.29 * math.sin(angle), 0.05), 0.025, dark)
        place.rod((0.0, 0.0, 0.06), (0.0, 0.0, seat - 0.05), 0.03, dark)
        place.box((0.0, 0.0, seat - 0.02), (0.48, 0.48, 0.09), cover)
        lean, tall = rng.uniform(0.05, 0.3), rng.uniform(0.4, 0.75)
        back = place.at(0.0, 0.23, seat, roll=-lean)
        if rng.chance(0.5):
            back.box((0.0, 0.0, 0.1 + tall / 2), (0.44, 0.06, tall), cover)
        else:
            back.ball((0.0, 0.0, 0.1 + tall / 2), (0.23, 0.05, tall / 2), cover)
        if rng.chance(0.6):
            for side in (-1, 1):
                place.box((side * 0.27, 0.02, seat + 0.2), (0.06, 0.28, 0.03), dark)
                place.box((side * 0.27, 0.02, seat + 0.09), (0.03, 0.05, 0.2), dark)

    return Piece(0.62, 0.62, build)


def stool(rng: Rng) -> Piece:
    """A stool 0.42 to 0.75 m high."""
    radius, height = rng.uniform(0.14, 0.2), rng.uniform(0.42, 0.75)

    def build(place: Place) -> None:
        rng = place.rng
        frame = presets.furniture(rng)
        place.rod((0.0, 0.0, height - 0.04), (0.0, 0.0, height), radius, presets.furniture(rng))
        for k in range(rng.integer(3, 4)):
            angle = k * 1.7 + 0.4
            foot = (1.1 * radius * math.cos(angle), 1.1 * radius * math.sin(angle), 0.0)
            place.rod(foot, (0.6 * foot[0], 0.6 * foot[1], height - 0.03), 0.014, frame)
        place.surface(1.2 * radius, 1.2 * radius, height)

    return Piece(2.2 * radius, 2.2 * radius, build)


def sofa(rng: Rng, *, seats: int | None = None) -> Piece:
    """A sofa or an armchair with cushions, its seat 0.38 to 0.46 m high."""
    seats = seats or rng.integer(2, 3)
    seat_width, arm = rng.uniform(0.55, 0.75), rng.uniform(0.1, 0.25)
    width, depth = seats * seat_width + 2 * arm, rng.uniform(0.8, 0.98)

    def build(place: Place) -> None:
        rng = place.rng
        cover = presets.upholstery(rng)
        seat, back_top, foot = rng.uniform(0.38, 0.46), rng.uniform(0.72, 0.95), rng.pick([0.0, 0.06, 0.14])
        back = rng.uniform(0.18, 0.28)
        place.between((-width / 2, -depth / 2, foot), (width / 2, depth / 2, seat - 0.14), cover)
        if foot:
            legs(place, width - 0.1, depth - 0.1, foot, presets.furniture(rng), thickness=0.05)
        rounded = rng.chance(0.4)
        for side in (-1, 1):
            x, top = side * (width - arm) / 2, seat + rng.uniform(0.12, 0.22)
            place.box((x, 0.0, (seat - 0.14 + top) / 2), (arm, depth, top - seat + 0.14), cover)
            if rounded:
                place.rod((x, -depth / 2, top), (x, depth / 2, top), 0.55 * arm, cover)
        place.box(
            (0.0, depth / 2 - back / 2, (seat + back_top) / 2 - 0.07), (width, back, back_top - seat + 0.14), cover
        )
        inner = seats * seat_width
        for k in range(seats):
            x = -inner / 2 + (k + 0.5) * seat_width
            place.box(
                (x, -back / 2, seat - 0.06),
                (seat_width - 0.012, depth - back, 0.16),
                cover,
                roll=rng.uniform(-0.03, 0.03),
            )
            if rng.chance(0.8):
                place.box(
                    (x, depth / 2 - back - 0.06, seat + 0.24),
                    (seat_width - 0.02, 0.16, rng.uniform(0.34, 0.46)),
                    cover,
                    roll=-rng.uniform(0.1, 0.3),
                )
        for _ in range(rng.integer(0, 3)):
            cushion(place, rng.uniform(-inner / 2, inner / 2), -0.05, seat)
        if rng.chance(0.25):
            place.box(
                (rng.uniform(-0.5, 0.5) * inner, -0.05, seat + 0.03), (0.7, depth - 0.1, 0.03), presets.cloth(rng)
            )

    return Piece(width, depth, build)


def cushion(place: Place, x: float, y: float, z: float) -> None:
    """A cushion that leans or lies."""
    rng = place.rng
    radii = (rng.uniform(0.2, 0.27), rng.uniform(0.07, 0.11), rng.uniform(0.17, 0.25))
    cover = presets.fabric(rng)
    if rng.chance(0.6):
        place.ball((x, y, z + 0.2), radii, cover, yaw=rng.uniform(-0.5, 0.5), roll=-rng.uniform(0.2, 0.7))
    else:
        place.ball((x, y - 0.1, z + 0.12), (radii[0], radii[2], radii[1]), cover, yaw=rng.uniform(-1.5, 1.5))


def bed(rng: Rng) -> Piece:
    """A bed 1.9 to 2.1 m long with pillows and a blanket; its head is at the back."""
    width, length = rng.pick([0.9, 1.0, 1.4, 1.6, 1.8]) + rng.uniform(0.0, 0.1), rng.uniform(1.95, 2.15)

    def build(place: Place) -> None:
        rng = place.rng
        frame, sheet, blanket = presets.furniture(rng), presets.cloth(rng), presets.cloth(rng)
        base, top = rng.uniform(0.22, 0.34), rng.uniform(0.45, 0.62)
        place.between((-width / 2, -length / 2, 0.12), (width / 2, length / 2, base), frame)
        place.box((0.0, 0.0, (base + top) / 2), (width - 0.04, length - 0.06, top - base), sheet)
        head = rng.pick([0.0, rng.uniform(0.8, 1.3)])
        if head:
            place.box(
                (0.0, length / 2 - 0.02, head / 2),
                (width + 0.02, 0.05, head),
                rng.pick([frame, presets.upholstery(rng)]),
            )
        cover = rng.uniform(0.4, 0.75) * length
        place.box(
            (rng.uniform(-0.06, 0.06), -length / 2 + cover / 2, top + 0.02),
            (width + 0.06, cover, 0.10),
            blanket,
            yaw=rng.uniform(-0.06, 0.06),
        )
        for _ in range(rng.integer(0, 4)):  # folds
            place.ball(
                (rng.uniform(-0.4, 0.4) * width, rng.uniform(-0.45, 0.1) * length, top + 0.06),
                (rng.uniform(0.15, 0.4), rng.uniform(0.08, 0.3), rng.uniform(0.04, 0.14)),
                blanket,
                yaw=rng.uniform(-1.5, 1.5),
            )
        for x in (0.0,) if width < 1.2 else (-width / 4, width / 4):
            place.ball(
                (x, length / 2 - 0.32, top + 0.07),
                (rng.uniform(0.28, 0.38), rng.uniform(0.18, 0.24), rng.uniform(0.07, 0.12)),
                presets.cloth(rng),
                yaw=rng.uniform(-0.3, 0.3),
                roll=rng.uniform(-0.4, 0.1),
            )
        if rng.chance(0.4):
            cushion(place, rng.uniform(-0.3, 0.3) * width, 0.2, top)
        place.at(0.0, -0.3 * length).surface(0.8 * width, 0.3 * length, top + 0.07)

    return Piece(width + 0.06, length, build)


def cupboard(rng: Rng, *, height: float | None = None) -> Piece:
    """A wardrobe, a sideboard or a chest of drawers; its fronts are a pattern, or doors and drawers with handles."""
    height = height or rng.pick([rng.uniform(0.7, 1.1), rng.uniform(1.2, 1.5), rng.uniform(1.8, 2.3)])
    width, depth = rng.uniform(0.5, 1.9), rng.uniform(0.35, 0.62)

    def build(place: Place) -> None:
        rng = place.rng
        body = presets.furniture(rng)
        foot = rng.pick([0.0, 0.08, 0.12])
        place.between((-width / 2, -depth / 2, foot), (width / 2, depth / 2, height), body)
        if foot:
            place.between(
                (-width / 2 + 0.03, -depth / 2 + 0.05, 0.0),
                (width / 2 - 0.03, depth / 2, foot),
                presets.dark_plastic(rng),
            )
        columns, rows = max(1, round(width / rng.uniform(0.4, 0.6))), 1 if height > 1.6 else rng.integer(1, 4)
        if rng.chance(0.5) and columns * rows <= 6:
            fronts(place, columns, rows, (-width / 2, -depth / 2, foot), (width / 2, 0.0, height))
        elif rng.chance(0.7):
            front = presets.fronts(rng, width / columns, (height - foot) / rows)
            place.between((-width / 2, -depth / 2 - 0.012, foot), (width / 2, -depth / 2, height), front)
        place.surface(width, depth, height, height=0.6)

    return Piece(width, depth + 0.03, build)


def fronts(place: Place, columns: int, rows: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    """Doors or drawers with gaps and handles before the plane y = low[1]; one may stand open."""
    rng = place.rng
    front, handle = presets.furniture(rng), presets.metal(rng)
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
    """An open shelf: sides, boards, at times a back; what stands on the boards is up to whoever fills surfaces."""
    width, depth = width or rng.uniform(0.6, 1.4), rng.uniform(0.24, 0.5)
    height = height or rng.pick([rng.uniform(0.8, 1.2), rng.uniform(1.6, 2.2)])

    def build(place: Place) -> None:
        rng = place.rng
        material, thickness = presets.furniture(rng), rng.uniform(0.015, 0.035)
        levels = max(2, round(height / rng.uniform(0.3, 0.48)))
        style = rng.integer(0, 2)
        if style == 2:  # posts at the corners
            post = presets.metal(rng)
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
        body, spines = presets.furniture(rng), presets.books(rng)
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
            drawers = presets.fronts(rng, 0.42, 0.18)
            place.box((x, 0.04, 0.3), (0.42, depth - 0.12, 0.58), drawers)
        for _ in range(rng.integer(0, 2)):
            screen(place.at(rng.uniform(-0.3, 0.3) * width, 0.12, height, yaw=rng.uniform(-0.5, 0.5)))
        if rng.chance(0.6):
            place.box(
                (rng.uniform(-0.2, 0.2), -0.14, height + 0.012),
                (0.43, 0.14, 0.024),
                presets.dark_plastic(rng),
                yaw=rng.uniform(-0.2, 0.2),
            )

    return Piece(width, depth, build)


def screen(place: Place) -> None:
    """A computer's screen on a foot."""
    rng = place.rng
    wide = rng.uniform(0.42, 0.7)
    tall, dark = 0.6 * wide, presets.dark_plastic(rng)
    place.box((0.0, 0.02, 0.01), (0.24, 0.2, 0.018), dark)
    place.box((0.0, 0.05, 0.14), (0.05, 0.03, 0.26), dark)
    panel = place.at(0.0, 0.02, 0.12 + tall / 2, roll=rng.uniform(-0.15, 0.02))
    panel.box((0.0, 0.0, 0.0), (wide, 0.035, tall), dark)
    panel.box((0.0, -0.018, 0.008), (wide - 0.025, 0.004, tall - 0.035), presets.screen(rng))


def television(rng: Rng) -> Piece:
    """A television on a low board."""
    width, depth, height = rng.uniform(1.0, 1.9), rng.uniform(0.35, 0.45), rng.uniform(0.35, 0.55)

    def build(place: Place) -> None:
        rng = place.rng
        place.between(
            (-width / 2, -depth / 2, 0.06), (width / 2, depth / 2, height), presets.fronts(rng, width / 3, height)
        )
        place.box((0.0, 0.0, 0.03), (width - 0.1, depth - 0.1, 0.06), presets.dark_plastic(rng))
        wide = rng.uniform(0.8, 1.3)
        set_ = place.at(rng.uniform(-0.1, 0.1), 0.03, height, yaw=rng.uniform(-0.15, 0.15))
        set_.box((0.0, 0.0, 0.02), (0.4 * wide, 0.2, 0.03), presets.dark_plastic(rng))
        set_.box((0.0, 0.0, 0.07 + 0.29 * wide), (wide, 0.05, 0.58 * wide), presets.dark_plastic(rng))
        set_.box((0.0, -0.026, 0.07 + 0.29 * wide), (wide - 0.03, 0.004, 0.58 * wide - 0.04), presets.screen(rng))
        place.surface(width, depth, height, height=0.3)

    return Piece(width, depth, build)


def floor_lamp(rng: Rng) -> Piece:
    """A lamp on a pole, 1.3 to 1.8 m high."""

    def build(place: Place) -> None:
        rng = place.rng
        height, metal = rng.uniform(1.3, 1.8), presets.metal(rng)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.025), 0.14, metal)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height - 0.1), 0.013, metal)
        shade(place.at(0.0, 0.0, height), rng.uniform(0.14, 0.24))

    return Piece(0.35, 0.35, build)


def shade(place: Place, radius: float) -> None:
    """A lampshade around the origin; half of them are lit."""
    rng = place.rng
    lit = rng.chance(0.5)
    material = presets.lit_shade(rng) if lit else presets.cloth(rng)
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
        place.box((0.0, 0.0, 0.005), (width, depth, 0.011), presets.rug(place.rng))

    return Piece(width, depth, build)
