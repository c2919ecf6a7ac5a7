"""Trees, hedges and bushes."""

import math

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place


def tree(rng: Rng, *, height: float, crowns: int) -> Piece:
    """A broad-leaved tree, a conifer or a bare one: a trunk and `crowns` ellipsoids, or cones, of leaves."""
    style = rng.uniform(0.0, 1.0)
    trunk_radius = rng.uniform(0.015, 0.03) * height

    def build(place: Place) -> None:
        rng = place.rng
        bark, lean = tm.bark(rng), (rng.uniform(-0.05, 0.05) * height, rng.uniform(-0.05, 0.05) * height)
        green = om.foliage(rng)
        if style < 0.18:
            place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.4 * height), trunk_radius, bark)
            wide = rng.uniform(0.14, 0.28) * height
            for k in range(min(crowns, 3)):
                low = (0.1 + 0.26 * k) * height
                place.rod(
                    (0.0, 0.0, low),
                    (0.0, 0.0, min(low + 0.5 * height, height)),
                    wide * (1 - 0.25 * k),
                    green,
                    taper=0.05,
                )
            return
        fork = rng.uniform(0.25, 0.5) * height
        place.rod((0.0, 0.0, 0.0), (lean[0], lean[1], fork), trunk_radius, bark, taper=0.75)
        middle, spread = (fork + height) / 2, rng.uniform(0.16, 0.3) * height
        turn = rng.uniform(0.0, 6.0)
        for k in range(crowns):
            radius = spread * rng.uniform(0.5, 0.95)
            out = 0.0 if k == 0 else spread * rng.uniform(0.4, 0.95)
            at = (
                lean[0] + out * math.cos(turn + 2.4 * k),
                lean[1] + out * math.sin(turn + 2.4 * k),
                middle + (0.0 if k == 0 else rng.uniform(-0.5, 0.5)) * (height - fork) * 0.7,
            )
            place.ball(at, (radius, radius, radius * rng.uniform(0.6, 1.1)), green, yaw=rng.uniform(-3, 3))
            if k in (1, 2) and rng.chance(0.5):
                place.rod((lean[0], lean[1], 0.9 * fork), at, 0.4 * trunk_radius, bark, taper=0.4)

    return Piece(0.5, 0.5, build)


def wood(rng: Rng, *, width: float, height: float, green: Material) -> Piece:
    """The edge of a wood seen from afar: crowns side by side, down to the ground."""
    count = max(2, min(3, round(width / 12.0)))

    def build(place: Place) -> None:
        rng = place.rng
        step = width / count
        for k in range(count):
            tall = height * rng.uniform(0.6, 1.1)
            at = (-width / 2 + (k + rng.uniform(0.2, 0.8)) * step, rng.uniform(-2.0, 2.0), 0.42 * tall)
            place.ball(
                at, (step * rng.uniform(0.55, 0.9), rng.uniform(2.5, 5.0), 0.6 * tall), green, yaw=rng.uniform(-3, 3)
            )

    return Piece(width, 8.0, build)


def hedge(rng: Rng, *, length: float) -> Piece:
    """A clipped hedge: a box with rounded lumps, 0.8 to 2.4 m high."""
    height, depth = rng.uniform(0.8, 2.4), rng.uniform(0.5, 1.2)

    def build(place: Place) -> None:
        rng, green = place.rng, om.foliage(place.rng)
        place.box((0.0, 0.0, height / 2), (length, depth, height), green)
        for _ in range(rng.integer(0, 3)):
            reach = (rng.uniform(0.3, 1.2), rng.uniform(0.5, 0.65) * depth, rng.uniform(0.2, 0.5) * height)
            at = (rng.uniform(-0.45, 0.45) * length, rng.uniform(-0.1, 0.1), rng.uniform(0.7, 0.95) * height)
            place.ball(at, reach, green)

    return Piece(length, depth, build)


def bush(rng: Rng) -> Piece:
    """A bush of a few ellipsoids, 0.4 to 1.8 m high."""
    size = rng.uniform(0.4, 1.8)

    def build(place: Place) -> None:
        rng, green = place.rng, om.foliage(place.rng)
        for _ in range(rng.integer(1, 3)):
            radius = size * rng.uniform(0.35, 0.6)
            at = (rng.uniform(-0.3, 0.3) * size, rng.uniform(-0.3, 0.3) * size, 0.7 * radius)
            place.ball(at, (radius, radius * rng.uniform(0.7, 1.2), radius * rng.uniform(0.7, 1.1)), green)

    return Piece(size, size, build)
