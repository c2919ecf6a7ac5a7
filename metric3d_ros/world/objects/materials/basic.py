"""Random materials of furniture and of objects in rooms; colours are linear RGB."""

from dataclasses import replace

from metric3d_ros.world.description import materials
from metric3d_ros.world.description.colours import any_colour, hue, near, scaled, sizes, wood_colour
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng


def wood(rng: Rng) -> Material:
    """Wood with fibres along one of its axes, raw or varnished."""
    colour = wood_colour(rng)
    size, across = rng.uniform(0.4, 1.5), rng.uniform(0.01, 0.06)
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.uniform(0.5, 0.85)),
        fractal=rng.uniform(0.2, 0.9),
        fractal_size=rng.pick([(size, across, across), (across, across, size), (across, size, across)]),
        fractal_gain=rng.uniform(0.4, 0.7),
        gloss=rng.pick([0.05, 0.15, 0.35]),
        exponent=rng.pick([12.0, 40.0]),
        sheen=rng.pick([0.0, 0.1, 0.3]),
    )


def furniture(rng: Rng) -> Material:
    """Wood, painted or coated board, metal: what furniture is made of."""
    style = rng.integer(0, 9)
    if style <= 4:
        return wood(rng)
    if style == 9:
        return metal(rng)
    colour = any_colour(rng) if style <= 5 else near(rng, (0.74, 0.74, 0.72), 0.15)
    return Material(colour=colour, gloss=rng.pick([0.05, 0.2, 0.4]), exponent=40.0, sheen=rng.pick([0.0, 0.15]))


def table_top(rng: Rng) -> Material:
    """A table's top: mostly wood, at times glass, stone or a cloth."""
    if rng.chance(0.7):
        return furniture(rng)
    return rng.pick([stone(rng), cloth(rng), dark_glass(rng)])


def stone(rng: Rng) -> Material:
    """A polished slab with veins or speckles."""
    colour = near(rng, rng.pick([(0.7, 0.69, 0.66), (0.12, 0.12, 0.13), (0.4, 0.36, 0.32)]))
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.4, 1.6])),
        fractal=rng.uniform(0.3, 0.9),
        fractal_size=(sizes(rng, 0.02, 0.6),) * 3,
        fractal_gain=rng.uniform(0.5, 0.9),
        fractal_ridge=rng.pick([0.0, 1.0]),
        gloss=0.5,
        exponent=200.0,
        sheen=rng.uniform(0.2, 0.6),
    )


def fabric(rng: Rng) -> Material:
    """Woven cloth: plain, striped, chequered or with large figures."""
    colour = any_colour(rng)
    style = rng.integer(0, 5)
    material = Material(
        colour=colour,
        grain=rng.uniform(0.05, 0.35),
        grain_u=sizes(rng, 0.003, 0.04),
        grain_v=sizes(rng, 0.003, 0.04),
        second_colour=any_colour(rng) if style == 3 else scaled(colour, rng.uniform(0.5, 1.5)),
        fractal=rng.uniform(0.3, 1.0) if style >= 3 else rng.uniform(0.0, 0.4),
        fractal_size=(sizes(rng, 0.03, 0.5),) * 3,
        fractal_gain=rng.uniform(0.3, 0.7),
        fractal_edge=rng.pick([0.05, 0.3, 1.0]),
        exponent=4.0,
    )
    if style > 1:
        return material
    cell = sizes(rng, 0.02, 0.25)
    return replace(
        material,
        joint_colour=any_colour(rng),
        cell_u=cell,
        cell_v=50.0 if style == 0 else cell,
        joint=cell * rng.uniform(0.15, 0.5),
        checker=rng.pick([0.0, 0.4]),
        warp=rng.uniform(0.0, 0.02),
    )


cloth = fabric


def soft(rng: Rng) -> Material:
    """Bags, shoes, cushions: cloth, leather or foil."""
    if rng.chance(0.6):
        return fabric(rng)
    return Material(
        colour=any_colour(rng),
        second_colour=(0.02, 0.02, 0.02),
        fractal=rng.uniform(0.1, 0.5),
        fractal_size=(sizes(rng, 0.05, 0.3),) * 3,
        fractal_gain=0.6,
        gloss=rng.uniform(0.1, 0.5),
        exponent=rng.pick([8.0, 30.0]),
        sheen=rng.uniform(0.0, 0.3),
    )


def upholstery(rng: Rng) -> Material:
    """Covers of sofas: mostly plain cloth, or leather."""
    if rng.chance(0.3):
        return soft(rng)
    colour = any_colour(rng)
    return Material(
        colour=colour,
        grain=rng.uniform(0.05, 0.25),
        grain_u=sizes(rng, 0.004, 0.05),
        grain_v=sizes(rng, 0.004, 0.05),
        second_colour=scaled(colour, rng.uniform(0.6, 1.3)),
        fractal=rng.uniform(0.0, 0.5),
        fractal_size=(sizes(rng, 0.1, 0.6),) * 3,
        exponent=4.0,
    )


clothes = upholstery


def cardboard(rng: Rng) -> Material:
    """A brown or white carton with a label or tape."""
    colour = near(rng, rng.pick([(0.42, 0.28, 0.16), (0.5, 0.36, 0.22), (0.7, 0.69, 0.66)]))
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.3, 0.75])),
        fractal=rng.uniform(0.0, 0.7),
        fractal_size=(sizes(rng, 0.05, 0.6),) * 3,
        fractal_cover=0.2,
        fractal_edge=rng.pick([0.05, 0.6]),
        grain=0.05,
        grain_u=0.3,
        grain_v=0.005,
    )


crate = materials.crate


def plastic(rng: Rng) -> Material:
    """Coloured plastic."""
    return Material(
        colour=any_colour(rng) if rng.chance(0.6) else hue(rng, sizes(rng, 0.1, 0.4), 0.9),
        gloss=rng.uniform(0.1, 0.6),
        exponent=rng.pick([16.0, 60.0, 200.0]),
        sheen=rng.uniform(0.0, 0.3),
    )


def dark_plastic(rng: Rng) -> Material:
    """Black or dark grey: electric things, feet, shoes."""
    return Material(
        colour=hue(rng, sizes(rng, 0.012, 0.08), 0.1), gloss=rng.uniform(0.0, 0.5), exponent=30.0, sheen=0.1
    )


def white_goods(rng: Rng) -> Material:
    """White enamel."""
    return Material(colour=near(rng, (0.76, 0.76, 0.75), 0.12), gloss=0.4, exponent=100.0, sheen=rng.uniform(0.0, 0.4))


def metal(rng: Rng) -> Material:
    """Steel, chrome, brass, or painted metal."""
    colour = near(rng, rng.pick([(0.45, 0.45, 0.46), (0.3, 0.3, 0.31), (0.05, 0.05, 0.05), (0.5, 0.36, 0.15)]))
    return Material(
        colour=colour,
        grain=0.1,
        grain_u=0.005,
        grain_v=0.2,
        gloss=rng.uniform(0.3, 1.0),
        exponent=rng.pick([20.0, 80.0, 300.0]),
        sheen=rng.uniform(0.1, 0.9),
    )


def ceramic(rng: Rng) -> Material:
    """Glazed pots and cups, sanitary ware."""
    colour = near(rng, (0.76, 0.76, 0.74)) if rng.chance(0.5) else any_colour(rng)
    return Material(colour=colour, gloss=0.5, exponent=rng.pick([60.0, 300.0]), sheen=rng.uniform(0.0, 0.5))


def dark_glass(rng: Rng) -> Material:
    """Glass before something dark: oven doors, panes at night."""
    return Material(colour=hue(rng, 0.02, 0.2), gloss=0.8, exponent=300.0, sheen=rng.uniform(0.4, 1.0))
