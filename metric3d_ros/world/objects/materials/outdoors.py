"""Random materials outdoors: sky, ground, roads, facades, plants, cars; colours are linear RGB."""

from dataclasses import replace

from metric3d_ros.world.description.colours import any_colour, hue, near, scaled, sizes
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import rooms as rm


def sky(rng: Rng, *, overcast: bool | None = None) -> Material:
    """A sky: clear, with clouds, or overcast."""
    overcast = rng.chance(0.45) if overcast is None else overcast
    if overcast:
        grey = rng.uniform(0.45, 0.85)
        high, horizon = (0.95 * grey, 0.97 * grey, grey), (grey, grey, grey)
    else:
        high = near(rng, (0.16, 0.34, 0.7))
        horizon = near(rng, (0.6, 0.72, 0.85))
    return Material(
        colour=high,
        joint_colour=horizon,
        second_colour=scaled((0.85, 0.85, 0.85), rng.uniform(0.7, 1.0)),
        fractal=rng.uniform(0.0, 0.6) if overcast else rng.pick([0.0, rng.uniform(0.2, 1.0)]),
        fractal_size=(rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5), rng.uniform(0.2, 0.8)),
        fractal_gain=rng.uniform(0.4, 0.65),
        fractal_cover=rng.uniform(0.1, 0.8),
        fractal_edge=rng.uniform(0.2, 1.0),
        glow=rng.uniform(0.9, 2.5),
        sky=True,
    )


def grass(rng: Rng) -> Material:
    """Grass, a meadow, a dry lawn."""
    colour = near(rng, rng.pick([(0.09, 0.14, 0.03), (0.14, 0.17, 0.05), (0.24, 0.22, 0.1), (0.06, 0.1, 0.03)]), 0.3)
    return Material(
        colour=colour,
        grain=rng.uniform(0.2, 0.5),
        grain_u=0.03,
        grain_v=0.03,
        second_colour=scaled(colour, rng.pick([0.5, 0.7, 1.5])),
        fractal=rng.uniform(0.4, 0.9),
        fractal_size=(sizes(rng, 0.3, 6.0),) * 3,
        fractal_gain=rng.uniform(0.7, 0.95),
        fractal_edge=rng.uniform(0.3, 1.0),
    )


def soil(rng: Rng) -> Material:
    """Earth, gravel, ballast, sand, dead leaves."""
    colour = near(rng, rng.pick([(0.16, 0.11, 0.07), (0.3, 0.27, 0.23), (0.36, 0.28, 0.18), (0.2, 0.19, 0.18)]), 0.3)
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.4, 1.8])),
        fractal=0.9,
        fractal_size=(sizes(rng, 0.1, 1.5),) * 3,
        fractal_gain=rng.uniform(0.75, 1.0),
        fractal_edge=rng.uniform(0.2, 0.6),
        grain=0.4,
        grain_u=0.04,
        grain_v=0.04,
    )


def asphalt(rng: Rng) -> Material:
    """A road: grey, patched, cracked, at times wet."""
    colour = hue(rng, sizes(rng, 0.06, 0.26), 0.06)
    style = rng.integer(0, 2)
    wet = rng.chance(0.15)
    return Material(
        colour=colour,
        grain=rng.uniform(0.1, 0.35),
        grain_u=0.02,
        grain_v=0.02,
        second_colour=scaled(colour, [0.45, 0.7, 1.35][style]),
        fractal=rng.uniform(0.2, 0.8),
        fractal_size=(rng.uniform(2.0, 12.0), rng.uniform(0.5, 4.0), 1.0),
        fractal_gain=rng.uniform(0.5, 0.8),
        fractal_cover=rng.uniform(0.1, 0.5),
        fractal_edge=rng.uniform(0.05, 1.0),
        fractal_ridge=1.0 if style == 0 else 0.0,
        gloss=0.5 if wet else 0.05,
        exponent=40.0 if wet else 6.0,
        sheen=0.6 if wet else 0.0,
    )


def paving(rng: Rng) -> Material:
    """Slabs, setts, clinker, concrete."""
    size = rng.pick([0.1, 0.16, 0.3, 0.5, 50.0])
    colour = near(rng, rng.pick([(0.36, 0.35, 0.33), (0.24, 0.23, 0.22), (0.34, 0.2, 0.14), (0.45, 0.42, 0.36)]))
    return Material(
        colour=colour,
        joint_colour=scaled(colour, rng.uniform(0.35, 0.8)),
        cell_u=size * rng.pick([1.0, 2.0]),
        cell_v=size,
        row_shift=rng.pick([0.0, 0.5]),
        joint=min(0.012, 0.08 * size),
        variation=rng.uniform(0.1, 0.4),
        second_colour=scaled(colour, rng.uniform(0.5, 1.3)),
        fractal=rng.uniform(0.2, 0.7),
        fractal_size=(sizes(rng, 0.5, 5.0),) * 3,
        fractal_gain=0.7,
        warp=rng.pick([0.0, 0.02]),
    )


def ground(rng: Rng) -> Material:
    """Whatever the ground beside a road or a house is."""
    return rng.pick([grass, grass, soil, paving, asphalt])(rng)


def kerb(rng: Rng) -> Material:
    """Kerbstones 1 m long."""
    colour = near(rng, (0.42, 0.41, 0.39))
    return Material(colour=colour, joint_colour=scaled(colour, 0.4), cell_u=1.0, joint=0.015, variation=0.25)


def lane_mark(rng: Rng, *, dash: float, under: Material) -> Material:
    """A painted line: solid if `dash` is 0, otherwise dashes of that length with gaps as long, worn."""
    white = near(rng, rng.pick([(0.62, 0.62, 0.6)] * 8 + [(0.6, 0.45, 0.1)]))
    return Material(
        colour=white,
        cell_u=dash or 500.0,
        checker=1.0 - min(0.9, under.colour[1] / white[1]) if dash else 0.0,
        second_colour=under.colour,
        fractal=rng.uniform(0.2, 0.9),
        fractal_size=(sizes(rng, 0.1, 1.0),) * 3,
        fractal_gain=0.8,
        fractal_cover=rng.uniform(0.05, 0.4),
        fractal_edge=0.3,
    )


def stucco(rng: Rng) -> Material:
    """A rendered outer wall, streaked by rain."""
    colour = near(rng, rng.pick([(0.7, 0.68, 0.62), (0.62, 0.54, 0.38), (0.55, 0.56, 0.56), hue(rng, 0.45, 0.2)]))
    return Material(
        colour=colour,
        grain=rng.uniform(0.02, 0.15),
        grain_u=0.03,
        grain_v=0.03,
        second_colour=scaled(colour, rng.uniform(0.5, 0.85)),
        fractal=rng.uniform(0.1, 0.8),
        fractal_size=(sizes(rng, 0.3, 2.0), sizes(rng, 0.3, 2.0), sizes(rng, 1.0, 8.0)),
        fractal_gain=0.6,
        fractal_cover=rng.uniform(0.1, 0.5),
        fractal_edge=rng.uniform(0.3, 1.0),
    )


def outer_wall(rng: Rng) -> Material:
    """Stucco, bricks, boards or concrete."""
    return rng.pick([stucco, stucco, stucco, rm.masonry, rm.boards, rm.concrete])(rng)


def facade(rng: Rng) -> Material:
    """A whole house front as a pattern: panes between strips of wall, storeys 2.6 to 3.2 m high."""
    base = outer_wall(rng)
    storey = rng.uniform(2.6, 3.2)
    return replace(
        base,
        colour=hue(rng, sizes(rng, 0.015, 0.12), 0.15),
        joint_colour=base.colour,
        cell_u=rng.uniform(1.6, 3.2),
        cell_v=storey,
        row_shift=0.0,
        joint=rng.uniform(0.9, 1.5),
        variation=rng.uniform(0.3, 1.0),
        checker=0.0,
        fractal=0.5 * base.fractal,
        warp=0.0,
        gloss=0.2,
        sheen=rng.uniform(0.0, 0.3),
    )


def roof(rng: Rng) -> Material:
    """Roof tiles, slate, sheet metal."""
    colour = near(rng, rng.pick([(0.32, 0.11, 0.06), (0.2, 0.08, 0.05), (0.08, 0.08, 0.09), (0.25, 0.25, 0.25)]))
    return Material(
        colour=colour,
        joint_colour=scaled(colour, 0.4),
        cell_u=rng.uniform(0.2, 0.35),
        cell_v=rng.uniform(0.25, 0.4),
        joint=0.03,
        row_shift=rng.pick([0.0, 0.5]),
        variation=0.4,
        second_colour=scaled(colour, 0.6),
        fractal=rng.uniform(0.2, 0.7),
        fractal_size=(sizes(rng, 0.5, 4.0),) * 3,
    )


def foliage(rng: Rng) -> Material:
    """Crowns of trees, hedges and bushes: leaves and the dark between them."""
    green = [(0.07, 0.13, 0.03), (0.05, 0.09, 0.025), (0.12, 0.17, 0.05), (0.03, 0.06, 0.03), (0.1, 0.13, 0.04)]
    autumn = [(0.25, 0.16, 0.04), (0.2, 0.07, 0.03), (0.18, 0.19, 0.06)]
    colour = near(rng, rng.pick(green if rng.chance(0.82) else autumn), 0.3)
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.12, 0.2, 0.35, 2.0])),
        fractal=rng.uniform(0.8, 1.0),
        fractal_size=(sizes(rng, 0.25, 1.2),) * 3,
        fractal_gain=rng.uniform(0.8, 1.05),
        fractal_cover=rng.uniform(0.3, 0.6),
        fractal_edge=rng.uniform(0.1, 0.5),
        grain=0.4,
        grain_u=0.06,
        grain_v=0.06,
        exponent=8.0,
        gloss=0.05,
    )


_CAR_COLOURS = (
    [(0.015, 0.015, 0.016)] * 4 + [(0.06, 0.06, 0.065)] * 3 + [(0.3, 0.3, 0.31)] * 4 + [(0.7, 0.7, 0.69)] * 3
    + [(0.02, 0.04, 0.12), (0.03, 0.09, 0.25), (0.25, 0.02, 0.02), (0.12, 0.02, 0.02), (0.04, 0.09, 0.05)]
    + [(0.3, 0.26, 0.2), (0.5, 0.35, 0.02), (0.12, 0.09, 0.06)]
)  # fmt: skip


def car_paint(rng: Rng) -> Material:
    """Car bodies: mostly black, grey, silver and white."""
    colour = near(rng, rng.pick(_CAR_COLOURS), 0.3)
    return Material(colour=colour, gloss=0.8, exponent=150.0, sheen=rng.uniform(0.3, 0.8))


def car_glass(rng: Rng) -> Material:
    """The windows of a car."""
    return Material(colour=hue(rng, 0.02, 0.2), gloss=0.8, exponent=300.0, sheen=rng.uniform(0.5, 1.0))


def sign(rng: Rng) -> Material:
    """A road sign or an advertisement."""
    colour = rng.pick([(0.5, 0.03, 0.03), (0.03, 0.12, 0.5), (0.65, 0.65, 0.65), (0.6, 0.4, 0.03), any_colour(rng)])
    return Material(
        colour=colour,
        joint_colour=(0.7, 0.7, 0.7),
        cell_u=sizes(rng, 0.1, 0.7),
        cell_v=sizes(rng, 0.1, 0.7),
        joint=sizes(rng, 0.01, 0.08),
        gloss=0.2,
    )
