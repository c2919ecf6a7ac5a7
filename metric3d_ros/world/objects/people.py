"""People 1.5 to 1.9 m high, standing, walking or sitting, made of ellipsoids and tapered cylinders."""

import math

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place


def person(rng: Rng, *, height: float | None = None) -> Piece:
    """Somebody who stands or walks, looking along -y."""
    height = height or rng.triangular(1.5, 1.92, 1.72)

    def build(place: Place) -> None:
        rng = place.rng
        _legs(place, height, bm.clothes(rng), stride=rng.pick([0.0, rng.uniform(0.1, 0.38)]))
        _upper_body(place.at(0.0, 0.0, 0.48 * height, yaw=rng.uniform(-0.2, 0.2)), height)

    return Piece(0.55, 0.45, build)


def sitting_person(rng: Rng, *, seat: float = 0.45) -> Piece:
    """Somebody who sits on something `seat` metres high, looking along -y."""
    height = rng.triangular(1.5, 1.9, 1.72)

    def build(place: Place) -> None:
        rng = place.rng
        trousers, shoe = bm.clothes(rng), bm.dark_plastic(rng)
        for side in (-1, 1):
            x = side * 0.1
            knee = (x * rng.uniform(0.8, 1.8), -0.42, seat + 0.06)
            place.rod((x, 0.0, seat + 0.08), knee, 0.08, trousers, taper=0.75)
            foot = (knee[0], -0.38, 0.06)
            place.rod(knee, foot, 0.06, trousers, taper=0.7)
            place.ball((foot[0], -0.44, 0.045), (0.05, 0.13, 0.05), shoe)
        _upper_body(place.at(0.0, 0.0, seat, roll=rng.uniform(-0.15, 0.3)), height)

    return Piece(0.5, 0.6, build)


def _legs(place: Place, height: float, trousers: Material, *, stride: float) -> None:
    hip, shoe = 0.5 * height, bm.dark_plastic(place.rng)
    for side in (-1, 1):
        foot_y = side * stride
        place.rod((side * 0.095, 0.0, hip), (side * 0.1, foot_y, 0.05), 0.09, trousers, taper=0.6)
        place.ball((side * 0.1, foot_y - 0.05, 0.045), (0.05, 0.13, 0.05), shoe)


def _upper_body(place: Place, height: float) -> None:
    """Trunk, arms, neck and head over a hip at the origin."""
    rng = place.rng
    coat, skin, hair = bm.clothes(rng), tm.skin(rng), tm.hair(rng)
    wide, shoulder = rng.uniform(0.19, 0.25), 0.33 * height
    place.ball((0.0, 0.0, 0.17 * height), (0.82 * wide, rng.uniform(0.1, 0.16), 0.2 * height), coat)
    place.ball((0.0, 0.0, shoulder - 0.05), (wide, 0.11, 0.1), coat)
    for side in (-1, 1):
        swing, spread = rng.uniform(-0.9, 0.7), rng.uniform(0.02, 0.35)
        elbow = (side * (wide + 0.3 * spread), -0.28 * math.sin(swing), shoulder - 0.28 * math.cos(swing))
        bend = swing + rng.uniform(0.0, 1.4)
        hand = (elbow[0], elbow[1] - 0.26 * math.sin(bend), elbow[2] - 0.26 * math.cos(bend))
        place.rod((side * 0.9 * wide, 0.0, shoulder - 0.02), elbow, 0.05, coat, taper=0.8)
        place.rod(elbow, hand, 0.042, rng.pick([coat, skin]), taper=0.8)
    head = shoulder + 0.09 * height
    place.rod((0.0, 0.0, shoulder), (0.0, -0.01, head), 0.055, skin)
    place.ball((0.0, -0.02, head + 0.02), (0.078, 0.098, 0.12), skin)
    place.ball((0.0, 0.015, head + 0.05), (0.085, 0.095, 0.105), hair)
