"""Chairs, stools, sofas and beds, with random but realistic sizes and materials."""

import math

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.indoors.furniture import legs
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.placing import Piece, Place


def chair(rng: Rng) -> Piece:
    """A chair, its seat 0.43 to 0.48 m high: wooden, moulded, folding or upholstered."""
    width, depth, seat = rng.uniform(0.38, 0.5), rng.uniform(0.4, 0.5), rng.uniform(0.43, 0.48)
    back_top = seat + rng.uniform(0.32, 0.55)

    def build(place: Place) -> None:
        rng = place.rng
        frame, cover = bm.furniture(rng), bm.furniture(rng)
        if rng.chance(0.4):
            cover = bm.fabric(rng)
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
                (0.0, depth / 2 + 0.03, seat + 0.6 * tall),
                (width + 0.05, 0.09, 0.5),
                bm.cloth(rng),
                roll=-lean,
            )
        place.surface(width, depth, seat, height=0.3)

    return Piece(width, depth + 0.05, build)


def office_chair(rng: Rng) -> Piece:
    """A swivel chair on a star of five feet."""

    def build(place: Place) -> None:
        rng = place.rng
        dark, cover = bm.dark_plastic(rng), bm.fabric(rng)
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
        frame = bm.furniture(rng)
        place.rod((0.0, 0.0, height - 0.04), (0.0, 0.0, height), radius, bm.furniture(rng))
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
        cover = bm.upholstery(rng)
        seat, back_top, foot = rng.uniform(0.38, 0.46), rng.uniform(0.72, 0.95), rng.pick([0.0, 0.06, 0.14])
        back = rng.uniform(0.18, 0.28)
        place.between((-width / 2, -depth / 2, foot), (width / 2, depth / 2, seat - 0.14), cover)
        if foot:
            legs(place, width - 0.1, depth - 0.1, foot, bm.furniture(rng), thickness=0.05)
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
                (rng.uniform(-0.5, 0.5) * inner, -0.05, seat + 0.03),
                (0.7, depth - 0.1, 0.03),
                bm.cloth(rng),
            )

    return Piece(width, depth, build)


def cushion(place: Place, x: float, y: float, z: float) -> None:
    """A cushion that leans or lies."""
    rng = place.rng
    radii = (rng.uniform(0.2, 0.27), rng.uniform(0.07, 0.11), rng.uniform(0.17, 0.25))
    cover = bm.fabric(rng)
    if rng.chance(0.6):
        place.ball((x, y, z + 0.2), radii, cover, yaw=rng.uniform(-0.5, 0.5), roll=-rng.uniform(0.2, 0.7))
    else:
        place.ball((x, y - 0.1, z + 0.12), (radii[0], radii[2], radii[1]), cover, yaw=rng.uniform(-1.5, 1.5))


def bed(rng: Rng) -> Piece:
    """A bed 1.9 to 2.1 m long with pillows and a blanket; its head is at the back."""
    width, length = rng.pick([0.9, 1.0, 1.4, 1.6, 1.8]) + rng.uniform(0.0, 0.1), rng.uniform(1.95, 2.15)

    def build(place: Place) -> None:
        rng = place.rng
        frame, sheet, blanket = bm.furniture(rng), bm.cloth(rng), bm.cloth(rng)
        base, top = rng.uniform(0.22, 0.34), rng.uniform(0.45, 0.62)
        place.between((-width / 2, -length / 2, 0.12), (width / 2, length / 2, base), frame)
        place.box((0.0, 0.0, (base + top) / 2), (width - 0.04, length - 0.06, top - base), sheet)
        head = rng.pick([0.0, rng.uniform(0.8, 1.3)])
        if head:
            place.box(
                (0.0, length / 2 - 0.02, head / 2),
                (width + 0.02, 0.05, head),
                rng.pick([frame, bm.upholstery(rng)]),
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
                bm.cloth(rng),
                yaw=rng.uniform(-0.3, 0.3),
                roll=rng.uniform(-0.4, 0.1),
            )
        if rng.chance(0.4):
            cushion(place, rng.uniform(-0.3, 0.3) * width, 0.2, top)
        place.at(0.0, -0.3 * length).surface(0.8 * width, 0.3 * length, top + 0.07)

    return Piece(width + 0.06, length, build)
