"""Objects along streets: houses, poles, signs, fences, walls, benches, bins; fronts are at -y."""

import math

from metric3d_ros.world.description import colours
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.materials import rooms as rm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Piece, Place

STOREY_M = (2.6, 3.2)


def house(rng: Rng, *, width: float, storeys: int, detail: int, detached: bool) -> Piece:
    """A house, its front at -y: its windows a pattern, or up to `detail` solids of windows, doors and balconies."""
    depth, storey = rng.uniform(8.0, 12.0), rng.uniform(*STOREY_M)
    height = storeys * storey + rng.uniform(0.2, 0.8)

    def build(place: Place) -> None:
        rng = place.rng
        front = -depth / 2
        plain = detail >= 8
        wall = om.outer_wall(rng) if plain else om.facade(rng)
        # Houses reach into the ground, which may slope.
        origin = (-width / 2, front, 0.0)
        place.between((-width / 2, front, -2.0), (width / 2, depth / 2, height), wall, texture_origin=origin)
        if plain:
            _front(place.at(0.0, front), width, storeys, storey, limit=detail)
        if rng.chance(0.75 if detached or storeys <= 3 else 0.4):
            _roof(place, width, depth, height, gable_front=detached and rng.chance(0.4), wall=wall)
        elif rng.chance(0.5):
            place.between(
                (-width / 2 - 0.2, front - 0.3, height),
                (width / 2 + 0.2, depth / 2, height + 0.3),
                rm.concrete(rng),
            )

    return Piece(width, depth, build)


def _front(place: Place, width: float, storeys: int, storey: float, *, limit: int) -> None:
    """Windows in rows, a door, and at times balconies, a shop front or an awning, on the plane y = 0."""
    rng = place.rng
    wide, tall = rng.uniform(0.8, 1.5), rng.uniform(1.1, 1.7)
    pane = colours.hue(rng, colours.sizes(rng, 0.015, 0.3), 0.12)
    bars = Material(
        colour=pane,
        joint_colour=colours.near(rng, (0.7, 0.7, 0.68)),
        cell_u=wide / rng.integer(1, 2),
        cell_v=tall,
        joint=0.14,
        gloss=0.5,
        exponent=200.0,
        sheen=rng.uniform(0.2, 0.9),
    )
    columns = max(1, int(width / (wide + rng.uniform(0.8, 1.6))))
    shop, balconies = rng.chance(0.25), rng.chance(0.3)
    step, made = width / columns, 0
    door = rng.integer(0, columns - 1)
    for level in range(storeys):
        if level == 0 and shop:
            glass = bm.dark_glass(rng)
            place.box((0.0, -0.02, 1.5), (0.85 * width, 0.06, 2.2), glass)
            place.box((0.0, -0.08, 2.9), (0.9 * width, 0.14, 0.5), om.sign(rng))
            if rng.chance(0.5):
                awning = place.at(0.0, -0.6, 2.6, roll=rng.uniform(0.2, 0.5))
                awning.box((0.0, 0.0, 0.0), (0.8 * width, 1.3, 0.04), bm.fabric(rng))
            made += 3
            continue
        for column in range(columns):
            if made >= limit:
                return
            x, z = -width / 2 + (column + 0.5) * step, level * storey + 0.95
            made += 1
            if level == 0 and column == door:
                place.box((x, -0.02, 1.05), (1.0, 0.1, 2.1), bm.furniture(rng))
                place.box((x, -0.4, 0.08), (1.4, 0.8, 0.16), rm.concrete(rng))
                made += 1
                continue
            place.box((x, -0.01, z + tall / 2), (wide, 0.05, tall), bars)
            if balconies and level > 0 and column % 2 == 0:
                place.box((x, -0.6, z - 0.95), (1.2 * step, 1.2, 0.16), rm.concrete(rng))
                place.box((x, -1.18, z - 0.4), (1.2 * step, 0.04, 0.95), rng.pick([bm.metal, om.stucco])(rng))
                made += 2


def _roof(place: Place, width: float, depth: float, height: float, *, gable_front: bool, wall: Material) -> None:
    """A saddle roof: its ridge along the street, or its gable to the street."""
    rng, tiles = place.rng, om.roof(place.rng)
    slope, over = math.radians(rng.uniform(25.0, 48.0)), rng.uniform(0.2, 0.6)
    half = (width if gable_front else depth) / 2
    long = (depth if gable_front else width) + over
    length = half / math.cos(slope) + over
    rise = half * math.tan(slope)
    for side in (-1, 1):
        middle = side * (half + over * math.cos(slope)) / 2
        z = height + rise / 2 - over * math.sin(slope) / 2
        if gable_front:
            place.box((middle, 0.0, z), (length, long, 0.18), tiles, pitch=-side * slope)
        else:
            place.box((0.0, middle, z), (long, length, 0.18), tiles, roll=-side * slope)
    if gable_front:  # the gable's triangle, in two steps
        place.between((-0.6 * half, -depth / 2, height), (0.6 * half, depth / 2, height + 0.36 * rise), wall)
        place.between((-0.28 * half, -depth / 2, height), (0.28 * half, depth / 2, height + 0.68 * rise), wall)
        return
    end = 0.42 * half  # the gables, under the roof's ends
    place.between((-width / 2, -end, height), (width / 2, end, height + 0.55 * rise), wall)
    if rng.chance(0.4):
        at = (rng.uniform(-0.3, 0.3) * width, -0.1 * depth, height + 0.8 * rise)
        place.box(at, (0.6, 0.5, 1.8), rm.masonry(rng))


def lamp_post(rng: Rng) -> Piece:
    """A street lamp 4 to 9 m high, its head over -y."""
    height = rng.uniform(4.0, 9.0)

    def build(place: Place) -> None:
        rng = place.rng
        steel = bm.metal(rng) if rng.chance(0.7) else rm.concrete(rng)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height), rng.uniform(0.05, 0.1), steel, taper=0.5)
        reach = rng.pick([0.0, rng.uniform(0.6, 2.0)])
        head = bm.white_goods(rng)
        if reach:
            place.rod((0.0, 0.0, height - 0.1), (0.0, -reach, height + 0.15), 0.035, steel)
            place.box((0.0, -reach - 0.25, height + 0.15), (0.25, 0.6, 0.12), head)
        else:
            place.ball((0.0, 0.0, height + 0.1), (0.24, 0.24, 0.2), head)

    return Piece(0.3, 0.3, build)


def sign_post(rng: Rng) -> Piece:
    """A road sign or a traffic light on a pole, 2.2 to 3.5 m high."""
    height = rng.uniform(2.2, 3.5)

    def build(place: Place) -> None:
        rng, steel = place.rng, bm.metal(place.rng)
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, height), 0.04, steel)
        style = rng.integer(0, 3)
        if style == 0:
            place.rod((0.0, -0.05, height - 0.35), (0.0, -0.08, height - 0.35), rng.uniform(0.2, 0.32), om.sign(rng))
        elif style == 1:
            place.box((0.0, -0.06, height - 0.4), (rng.uniform(0.4, 1.2), 0.03, rng.uniform(0.3, 0.9)), om.sign(rng))
        elif style == 2:
            place.box((0.0, -0.1, height - 0.5), (0.3, 0.22, 0.9), bm.dark_plastic(rng))
            lit = rng.integer(0, 2)
            for k, colour in enumerate([(0.8, 0.05, 0.03), (0.8, 0.45, 0.03), (0.05, 0.6, 0.3)]):
                glow = Material(
                    colour=colour if k == lit else colours.scaled(colour, 0.15), glow=2.5 if k == lit else 0.0
                )
                place.ball((0.0, -0.2, height - 0.2 - 0.28 * k), (0.1, 0.05, 0.1), glow)
        else:
            place.box((0.0, -0.05, height - 0.3), (0.45, 0.03, 0.45), om.sign(rng), pitch=math.pi / 4)

    return Piece(0.4, 0.3, build)


def bin_or_box(rng: Rng) -> Piece:
    """A dustbin, a bollard, a letter box, a cabinet of the telephone company, a planter."""
    style = rng.integer(0, 4)
    size = [0.6, 0.25, 0.45, 1.2, 0.8][style]

    def build(place: Place) -> None:
        rng = place.rng
        paint = bm.plastic(rng)
        if style == 0:
            body = place.at(0.0, 0.0, 0.0)
            body.box((0.0, 0.0, 0.52), (0.55, 0.6, 0.95), bm.dark_plastic(rng) if rng.chance(0.5) else paint)
            body.box((0.0, -0.02, 1.03), (0.58, 0.66, 0.07), paint, roll=0.08)
        elif style == 1:
            tall = rng.uniform(0.7, 1.1)
            place.rod((0.0, 0.0, 0.0), (0.0, 0.0, tall), rng.uniform(0.05, 0.12), bm.metal(rng))
        elif style == 2:
            place.box((0.0, 0.0, 0.65), (0.4, 0.35, 1.3), paint)
        elif style == 3:
            place.box(
                (0.0, 0.0, 0.6),
                (1.1, 0.35, 1.2),
                rm.concrete(rng) if rng.chance(0.3) else bm.metal(rng),
            )
        else:
            place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.5), 0.35, rm.concrete(rng), taper=1.2)
            for k in range(3):
                place.ball((0.15 * (k - 1), 0.1 * (k % 2), 0.65), (0.25, 0.25, 0.25), om.foliage(rng))

    return Piece(size, size, build)


def bench(rng: Rng) -> Piece:
    """A bench, its seat 0.45 m high."""

    def build(place: Place) -> None:
        rng = place.rng
        wood, foot = bm.wood(rng), rm.concrete(rng)
        for side in (-1, 1):
            place.box((side * 0.65, 0.0, 0.21), (0.1, 0.4, 0.42), foot)
        for k in range(3):
            place.box((0.0, -0.15 + 0.15 * k, 0.44), (1.7, 0.12, 0.04), wood)
        for k in range(2):
            place.at(0.0, 0.24, 0.5, roll=-0.25).box((0.0, 0.0, 0.12 + 0.2 * k), (1.7, 0.04, 0.13), wood)

    return Piece(1.7, 0.6, build)


def shelter(rng: Rng) -> Piece:
    """A shelter at a bus stop: posts, a roof, back and side walls, a bench."""
    width = rng.uniform(2.6, 4.2)

    def build(place: Place) -> None:
        rng, steel = place.rng, bm.metal(place.rng)
        for sx in (-1, 1):
            for sy in (-1, 1):
                place.rod((sx * width / 2, sy * 0.7, 0.0), (sx * width / 2, sy * 0.7, 2.4), 0.04, steel)
        place.box((0.0, 0.0, 2.45), (width + 0.3, 1.8, 0.12), bm.metal(rng))
        place.box(
            (0.0, 0.72, 1.2),
            (width, 0.03, 1.9),
            rng.pick([bm.dark_glass(rng), om.sign(rng), tm.poster(rng)]),
        )
        place.box((-width / 2, 0.0, 1.2), (0.05, 1.2, 1.8), om.sign(rng))
        place.box((0.2, 0.45, 0.45), (0.6 * width, 0.35, 0.05), bm.wood(rng))

    return Piece(width + 0.3, 1.9, build)


def fence(rng: Rng, *, length: float) -> Piece:
    """A wall, or a fence of posts with rails or boards."""
    height, style = rng.uniform(0.8, 2.2), rng.integer(0, 2)

    def build(place: Place) -> None:
        rng = place.rng
        if style == 0:
            place.between(
                (-length / 2, -0.12, -1.0),
                (length / 2, 0.12, height),
                rng.pick([rm.masonry, om.stucco, rm.concrete])(rng),
            )
            place.box((0.0, 0.0, height + 0.04), (length, 0.34, 0.08), rm.concrete(rng))
            return
        material = bm.wood(rng) if rng.chance(0.5) else bm.metal(rng)
        posts = min(7, max(2, round(length / 2.5)))
        for k in range(posts):
            x = -length / 2 + (k + 0.5) * length / posts
            place.rod((x, 0.0, 0.0), (x, 0.0, height), 0.05, material)
        if style == 1:
            for share in (0.4, 0.9) if height < 1.3 else (0.25, 0.6, 0.95):
                place.box((0.0, -0.05, share * height), (length, 0.03, rng.uniform(0.04, 0.14)), material)
        else:
            place.box((0.0, -0.06, 0.52 * height), (length, 0.03, 0.9 * height), rm.boards(rng))

    return Piece(length, 0.4, build)


def bridge(rng: Rng, *, span: float) -> Piece:
    """A bridge across the road, its deck 4.5 to 6 m up, on two piers; x is across the road."""

    def build(place: Place) -> None:
        rng, concrete = place.rng, rm.concrete(place.rng)
        clear, deep = rng.uniform(4.5, 6.0), rng.uniform(4.0, 10.0)
        place.between((-40.0, -deep / 2, clear), (40.0, deep / 2, clear + 1.0), concrete)
        for side in (-1, 1):
            place.box((0.0, side * deep / 2, clear + 1.5), (80.0, 0.15, 1.0), bm.metal(rng))
            place.box(
                (side * (span / 2 + 1.5), 0.0, clear / 2),
                (1.2, deep, clear),
                rng.pick([concrete, rm.masonry(rng)]),
            )

    return Piece(span, 10.0, build)


def shed(rng: Rng) -> Piece:
    """A garage, a shed or a container."""
    width, depth, height = rng.uniform(2.4, 6.0), rng.uniform(2.5, 6.0), rng.uniform(2.2, 3.2)

    def build(place: Place) -> None:
        rng = place.rng
        place.between(
            (-width / 2, -depth / 2, -0.5),
            (width / 2, depth / 2, height),
            rng.pick([om.outer_wall, rm.boards, bm.metal])(rng),
        )
        door = tm.fronts(rng, rng.uniform(0.2, 2.4), rng.uniform(0.2, 0.6))
        place.box((0.0, -depth / 2 - 0.02, 1.05), (min(2.4, 0.8 * width), 0.06, 2.1), door)
        place.box(
            (0.0, -0.1, height + 0.12), (width + 0.5, depth + 0.5, 0.12), om.roof(rng), roll=rng.uniform(-0.15, 0.15)
        )

    return Piece(width, depth, build)
