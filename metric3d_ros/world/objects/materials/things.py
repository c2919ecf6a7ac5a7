"""Random materials of single objects: books, packets, screens, leaves, lamps, windows, skin; colours are linear RGB."""

from dataclasses import replace

from metric3d_ros.world.description import materials
from metric3d_ros.world.description.colours import any_colour, near, scaled, sizes
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials.basic import (
    ceramic,
    dark_glass,
    dark_plastic,
    fabric,
    furniture,
    metal,
    plastic,
    stone,
    wood,
)


def fronts(rng: Rng, wide: float, tall: float) -> Material:
    """Fronts of doors and drawers drawn by their gaps."""
    base = furniture(rng)
    return replace(base, joint_colour=scaled(base.colour, 0.15), cell_u=wide, cell_v=tall, joint=0.01)


def rug(rng: Rng) -> Material:
    """A rug: a pattern of squares, a plain weave with figures, or a long-haired one."""
    return materials.rug(rng) if rng.chance(0.35) else fabric(rng)


def packet(rng: Rng) -> Material:
    """Printed paper or board: blocks of colour, lettering as fine rows, or plain."""
    style = rng.integer(0, 3)
    colour = any_colour(rng)
    if style == 0:
        return Material(colour=colour, gloss=rng.pick([0.0, 0.3]))
    return Material(
        colour=colour,
        joint_colour=any_colour(rng),
        cell_u=sizes(rng, 0.02, 0.3),
        cell_v=sizes(rng, 0.01, 0.2),
        row_shift=rng.uniform(0.0, 1.0),
        joint=sizes(rng, 0.002, 0.03),
        variation=rng.uniform(0.0, 0.9),
        second_colour=any_colour(rng),
        fractal=rng.pick([0.0, 0.8]),
        fractal_size=(sizes(rng, 0.03, 0.2),) * 3,
        fractal_edge=0.1,
        gloss=rng.pick([0.0, 0.2, 0.5]),
    )


def packets(rng: Rng, tall: float) -> Material:
    """A row of tins, files or packets `tall` metres high: cells of one height, each of its own lightness."""
    wide = rng.uniform(0.04, 0.14)
    return Material(
        colour=any_colour(rng),
        joint_colour=(0.03, 0.03, 0.03),
        cell_u=wide,
        cell_v=tall,
        joint=rng.uniform(0.004, 0.01),
        variation=rng.uniform(0.2, 1.0),
        second_colour=any_colour(rng),
        fractal=rng.uniform(0.3, 1.0),
        fractal_size=(rng.uniform(0.05, 0.2), 3.0, rng.uniform(0.04, 0.3)),
        fractal_gain=0.6,
        fractal_edge=rng.uniform(0.03, 0.3),
        gloss=rng.pick([0.0, 0.3]),
    )


def bottle(rng: Rng) -> Material:
    """Dark or coloured glass, or plastic, with a label."""
    return Material(
        colour=rng.pick([(0.02, 0.05, 0.02), (0.08, 0.04, 0.015), (0.5, 0.5, 0.5), any_colour(rng)]),
        joint_colour=any_colour(rng),
        cell_v=rng.uniform(0.08, 0.2),
        joint=rng.pick([0.0, 0.08]),
        gloss=0.8,
        exponent=200.0,
        sheen=0.5,
    )


def mirror() -> Material:
    """A mirror, approximated: bright, glossy, cloudy."""
    return Material(
        colour=(0.25, 0.27, 0.28),
        second_colour=(0.55, 0.55, 0.53),
        fractal=0.8,
        fractal_size=(1.2, 1.2, 1.2),
        fractal_gain=0.3,
        gloss=1.0,
        exponent=400.0,
        sheen=1.0,
    )


def screen(rng: Rng) -> Material:
    """A screen, dark or showing something."""
    if rng.chance(0.65):
        return dark_glass(rng)
    base = packet(rng) if rng.chance(0.5) else picture(rng)
    return replace(base, glow=rng.uniform(0.2, 0.9), gloss=0.3)


def picture(rng: Rng) -> Material:
    """A painting or a photograph: patches with or without regular scale."""
    if rng.chance(0.25):
        return materials.picture(rng)
    return Material(
        colour=any_colour(rng),
        joint_colour=any_colour(rng),
        cell_u=sizes(rng, 0.05, 0.8),
        cell_v=sizes(rng, 0.05, 0.8),
        row_shift=rng.uniform(0.0, 1.0),
        joint=sizes(rng, 0.01, 0.2),
        variation=rng.uniform(0.0, 0.9),
        second_colour=any_colour(rng),
        fractal=rng.uniform(0.5, 1.0),
        fractal_size=(sizes(rng, 0.05, 0.8), sizes(rng, 0.05, 0.8), sizes(rng, 0.05, 0.8)),
        fractal_gain=rng.uniform(0.3, 0.8),
        fractal_edge=rng.pick([0.05, 0.4, 1.0]),
        warp=rng.uniform(0.0, 0.15),
        gloss=rng.pick([0.0, 0.3]),
    )


poster = picture


def books(rng: Rng) -> Material:
    """The spines of books in a row."""
    return replace(
        materials.books(rng),
        cell_u=rng.uniform(0.02, 0.05),
        cell_v=50.0,
        joint=rng.uniform(0.003, 0.008),
        colour=any_colour(rng),
        second_colour=any_colour(rng),
        fractal=rng.uniform(0.3, 1.0),
        fractal_size=(rng.uniform(0.04, 0.15), 3.0, 3.0),
        fractal_gain=0.8,
        fractal_edge=0.05,
    )


def anything(rng: Rng) -> Material:
    """The material of a random object."""
    return rng.pick([plastic, wood, ceramic, metal, fabric, packet, dark_plastic, stone])(rng)


def leaves(rng: Rng) -> Material:
    """Leaves of plants in pots."""
    colour = near(rng, rng.pick([(0.06, 0.16, 0.03), (0.12, 0.22, 0.05), (0.04, 0.09, 0.03), (0.2, 0.24, 0.08)]), 0.3)
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.25, 0.4, 1.7])),
        fractal=0.9,
        fractal_size=(sizes(rng, 0.03, 0.2),) * 3,
        fractal_gain=0.8,
        fractal_edge=rng.uniform(0.1, 0.4),
        gloss=0.15,
        exponent=20.0,
    )


def bark(rng: Rng) -> Material:
    """Bark, stems, rough old wood."""
    colour = near(rng, rng.pick([(0.14, 0.1, 0.07), (0.22, 0.19, 0.16), (0.08, 0.06, 0.05)]))
    return Material(
        colour=colour,
        second_colour=scaled(colour, 0.35),
        fractal=0.9,
        fractal_size=(0.08, 0.08, 0.4),
        fractal_gain=0.7,
        fractal_edge=0.3,
        fractal_ridge=rng.pick([0.0, 0.7]),
    )


def lit_shade(rng: Rng) -> Material:
    """A lampshade with light in it."""
    return Material(colour=near(rng, (0.85, 0.74, 0.55), 0.15), glow=rng.uniform(1.0, 2.5))


def window_pane(rng: Rng) -> Material:
    """A window that only shows light: bright by day with a hint of what is outside, dark at night."""
    if rng.chance(0.2):
        return dark_glass(rng)
    sky, ground = (
        near(rng, (0.75, 0.82, 0.9)),
        near(rng, rng.pick([(0.2, 0.3, 0.12), (0.4, 0.36, 0.32), (0.6, 0.65, 0.7)])),
    )
    return Material(
        colour=sky,
        second_colour=ground,
        fractal=rng.uniform(0.2, 1.0),
        fractal_size=(sizes(rng, 0.2, 1.5),) * 3,
        fractal_gain=0.6,
        fractal_cover=rng.uniform(0.2, 0.6),
        glow=rng.uniform(0.7, 3.0),
        gloss=0.3,
    )


def lamp_glow(rng: Rng) -> Material:
    """A bare lamp, a tube, a lit panel."""
    return Material(colour=near(rng, (0.88, 0.87, 0.82), 0.08), glow=rng.uniform(2.0, 5.0))


def cable(rng: Rng) -> Material:
    """Cables and hoses: black, white, green, red."""
    return Material(
        colour=rng.pick([(0.02, 0.02, 0.02), (0.7, 0.7, 0.68), (0.03, 0.2, 0.08), (0.5, 0.06, 0.04)]), gloss=0.2
    )


def radiator(rng: Rng) -> Material:
    """A ribbed radiator."""
    colour = near(rng, (0.74, 0.73, 0.7), 0.12)
    return Material(
        colour=colour, joint_colour=scaled(colour, 0.5), cell_u=rng.uniform(0.04, 0.1), joint=0.012, gloss=0.2
    )


def curtain(rng: Rng) -> Material:
    """Curtains and blinds: upright folds, or slats."""
    base = fabric(rng)
    if rng.chance(0.3):
        return replace(base, cell_u=50.0, cell_v=0.05, joint=0.012, joint_colour=scaled(base.colour, 0.4))
    return replace(
        base,
        cell_u=rng.uniform(0.05, 0.16),
        cell_v=50.0,
        joint=0.03,
        joint_colour=scaled(base.colour, 0.55),
        warp=0.03,
        fractal_size=(0.12, 0.12, 1.5),
    )


def skin(rng: Rng) -> Material:
    """Skin from dark to pale."""
    return Material(
        colour=near(rng, rng.pick([(0.55, 0.34, 0.25), (0.42, 0.24, 0.16), (0.18, 0.09, 0.06)])), exponent=8.0
    )


def hair(rng: Rng) -> Material:
    """Hair, hats and helmets."""
    colour = rng.pick(
        [(0.015, 0.012, 0.01), (0.08, 0.045, 0.025), (0.3, 0.2, 0.09), (0.35, 0.34, 0.33), any_colour(rng)]
    )
    return Material(colour=colour, grain=0.3, grain_u=0.008, grain_v=0.1, gloss=0.1)
