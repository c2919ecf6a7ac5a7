"""Cars, vans, lorries, buses, trams and bicycles; their length is along x, their front at +x."""

import math

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.people import sitting_person
from metric3d_ros.world.objects.placing import Piece, Place


def _wheels(place: Place, axles: list[float], half_width: float, radius: float, *, hubs: bool) -> None:
    """Wheels: one cylinder per axle, for what is between the wheels is in the dark."""
    tyre, hub = Material(colour=(0.015, 0.015, 0.016)), bm.metal(place.rng)
    for x in axles:
        place.rod((x, -half_width, radius), (x, half_width, radius), radius, tyre)
        if hubs:
            for side in (-1, 1):
                out = side * (half_width + 0.005)
                place.rod((x, out - 0.01, radius), (x, out + 0.01, radius), 0.62 * radius, hub)


def car(rng: Rng, *, detailed: bool) -> Piece:
    """A car 3.6 to 4.8 m long, 1.65 to 1.85 m wide, 1.4 to 1.7 m high: hatchback, saloon or estate."""
    length, width, height = rng.uniform(3.6, 4.8), rng.uniform(1.65, 1.85), rng.triangular(1.4, 1.72, 1.48)
    style = rng.integer(0, 2)  # hatchback, saloon, estate
    length += 0.3 if style == 1 and length < 4.3 else 0.0

    def build(place: Place) -> None:
        rng = place.rng
        paint, glass = om.car_paint(rng), om.car_glass(rng)
        belt, sill = 0.6 * height, 0.2
        nose = 0.27 * length  # the bonnet's length
        boot = [0.06, 0.2, 0.03][style] * length
        front, rear = length / 2 - nose, -length / 2 + boot
        if not detailed:
            place.between((-length / 2, -width / 2, sill), (length / 2, width / 2, belt), paint)
            place.between((rear, -0.44 * width, belt), (front - 0.2, 0.44 * width, height - 0.08), glass)
            place.between((rear + 0.2, -0.42 * width, height - 0.08), (front - 0.6, 0.42 * width, height), paint)
            _wheels(place, [-0.3 * length, 0.31 * length], width / 2 + 0.005, 0.3, hubs=False)
            return
        place.between((-length / 2 + 0.08, -width / 2, sill), (length / 2 - 0.1, width / 2, belt), paint)
        for end in (-1, 1):  # rounded bumpers
            place.rod(
                (end * (length / 2 - 0.14), -0.46 * width, 0.42),
                (end * (length / 2 - 0.14), 0.46 * width, 0.42),
                0.17,
                paint,
            )
        bonnet = place.at(length / 2 - nose / 2, 0.0, belt, pitch=-0.1)
        bonnet.ball((0.0, 0.0, -0.06), (0.6 * nose, 0.46 * width, 0.1), paint)
        slant = rng.uniform(0.9, 1.1)
        rise = height - 0.1 - belt
        run = rise * slant
        place.between((rear + 0.15, -0.45 * width, belt - 0.02), (front - run, 0.45 * width, height - 0.1), glass)
        place.between((rear + 0.12, -0.41 * width, height - 0.1), (front - run, 0.41 * width, height - 0.02), paint)
        place.ball(
            ((rear + front - run) / 2, 0.0, height - 0.04), (0.52 * (front - run - rear), 0.4 * width, 0.05), paint
        )
        screen = place.at(front - run / 2, 0.0, belt + rise / 2, pitch=-math.atan2(rise, run))
        screen.box((0.0, 0.0, -0.03), (math.hypot(run, rise), 0.82 * width, 0.05), glass)
        back = rise * rng.uniform(0.15, 0.5) if style != 1 else rise * 1.1
        window = place.at(rear + 0.15 - back / 2, 0.0, belt + rise / 2, pitch=math.atan2(rise, back))
        window.box((0.0, 0.0, 0.0), (math.hypot(back, rise), 0.82 * width, 0.05), glass)
        if rng.chance(0.5):  # pillars
            for side in (-1, 1):
                place.box((0.0, side * 0.452 * width, belt + rise / 2), (0.09, 0.02, rise), paint)
        _wheels(place, [-0.3 * length, 0.31 * length], width / 2 + 0.005, rng.uniform(0.29, 0.34), hubs=rng.chance(0.6))
        red = Material(colour=(0.3, 0.01, 0.01), gloss=0.5, glow=rng.pick([0.0, 0.0, 1.0]))
        white = Material(colour=(0.7, 0.7, 0.68), gloss=0.8, sheen=0.4, glow=rng.pick([0.0, 0.0, 2.0]))
        for side in (-1, 1):
            place.box((-length / 2 + 0.07, side * 0.4 * width, 0.72), (0.06, 0.22, 0.16), red)
            place.box((length / 2 - 0.11, side * 0.38 * width, 0.66), (0.06, 0.3, 0.13), white)
        place.box((-length / 2 + 0.0, 0.0, 0.52), (0.05, 0.5, 0.11), white)

    return Piece(length, width + 0.2, build)


def van(rng: Rng, *, detailed: bool) -> Piece:
    """A van, a lorry or a bus: 4.6 to 14 m long, 1.9 to 3.4 m high."""
    style = rng.pick(["van", "van", "lorry", "bus"])
    length = {"van": rng.uniform(4.6, 6.0), "lorry": rng.uniform(6.5, 12.0), "bus": rng.uniform(9.0, 13.0)}[style]
    width = 1.95 if style == "van" else 2.5
    height = {"van": rng.uniform(1.9, 2.6), "lorry": rng.uniform(3.0, 3.8), "bus": rng.uniform(2.9, 3.2)}[style]

    def build(place: Place) -> None:
        rng = place.rng
        paint, glass, half = om.car_paint(rng), om.car_glass(rng), width / 2
        radius = 0.34 if style == "van" else 0.5
        front, rear = length / 2, -length / 2
        if style == "van":
            place.between((rear, -half, 0.3), (front - 0.9, half, height), paint)
            place.between((front - 0.9, -half, 0.3), (front, half, 1.1), paint)
            nose = place.at(front - 0.55, 0.0, 1.1 + (height - 1.15) / 2, pitch=-math.atan2(height - 1.15, 0.7))
            nose.box((0.0, 0.0, 0.0), (math.hypot(height - 1.15, 0.7), 0.9 * width, 0.08), glass)
            if rng.chance(0.5):
                place.between((rear + 0.3, -half - 0.01, 1.2), (front - 1.0, half + 0.01, height - 0.3), glass)
        elif style == "lorry":
            cab = rng.uniform(1.7, 2.3)
            load = rng.pick([paint, om.sign(rng), bm.fabric(rng), bm.metal(rng)])
            place.between((rear, -half, 1.0), (front - cab - 0.2, half, height), load)
            place.between((rear, -0.4 * width, 0.6), (front, 0.4 * width, 1.0), bm.dark_plastic(rng))
            place.between((front - cab, -half, 0.5), (front, half, rng.uniform(2.4, 3.0)), paint)
            place.between((front - 0.5, -half - 0.01, 1.5), (front + 0.01, half + 0.01, 2.3), glass)
        else:
            place.between((rear, -half, 0.35), (front, half, height), paint)
            place.between((rear + 0.2, -half - 0.01, 1.1), (front + 0.01, half + 0.01, 2.2), glass)
            place.between((rear - 0.01, -0.45 * width, 1.3), (rear + 0.1, 0.45 * width, 2.2), glass)
        axles = [rear + 0.22 * length, front - (0.9 if style == "van" else 1.3)]
        _wheels(place, axles, half + 0.005, radius, hubs=detailed)
        if detailed:
            red = Material(colour=(0.3, 0.01, 0.01), gloss=0.5)
            for side in (-1, 1):
                place.box((rear, side * 0.42 * width, 0.9), (0.05, 0.15, 0.25), red)
                place.box((front, side * 0.38 * width, 0.75), (0.05, 0.28, 0.16), bm.white_goods(rng))

    return Piece(length, width + 0.2, build)


def tram(rng: Rng) -> Piece:
    """A tram or a train: 15 to 30 m long, 3.4 m high."""
    length = rng.uniform(15.0, 30.0)

    def build(place: Place) -> None:
        rng = place.rng
        paint, glass = om.car_paint(rng), om.car_glass(rng)
        place.between((-length / 2, -1.2, 0.35), (length / 2, 1.2, 3.4), paint)
        place.between((-length / 2 + 0.4, -1.21, 1.3), (length / 2 + 0.01, 1.21, 2.6), glass)
        place.between((-length / 2 - 0.01, -0.9, 1.3), (-length / 2 + 0.3, 0.9, 2.8), glass)
        place.between((-length / 2 + 1, -1.0, 0.0), (length / 2 - 1, 1.0, 0.4), bm.dark_plastic(rng))

    return Piece(length, 2.6, build)


def bicycle(rng: Rng, *, ridden: bool) -> Piece:
    """A bicycle, at times with somebody on it."""

    def build(place: Place) -> None:
        rng = place.rng
        frame, tyre = om.car_paint(rng), Material(colour=(0.02, 0.02, 0.02))
        for x in (-0.52, 0.52):
            place.rod((x, -0.02, 0.34), (x, 0.02, 0.34), 0.34, tyre)
        for start, end in (
            ((-0.52, 0.0, 0.34), (-0.15, 0.0, 0.9)),
            ((-0.2, 0.0, 0.8), (0.4, 0.0, 0.85)),
            ((0.52, 0.0, 0.34), (0.4, 0.0, 1.0)),
            ((-0.05, 0.0, 0.3), (0.4, 0.0, 0.75)),
        ):
            place.rod(start, end, 0.022, frame)
        place.rod((0.38, -0.28, 1.02), (0.38, 0.28, 1.02), 0.015, tyre)
        place.box((-0.17, 0.0, 0.95), (0.26, 0.14, 0.06), tyre)
        if ridden:
            sitting_person(rng, seat=0.98).build(place.at(-0.15, 0.0, yaw=math.pi / 2))

    return Piece(1.75, 0.6, build)
