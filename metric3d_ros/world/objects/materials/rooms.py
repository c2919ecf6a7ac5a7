"""Random materials of walls, floors and ceilings; colours are linear RGB."""

from dataclasses import replace

from metric3d_ros.world.description import materials
from metric3d_ros.world.description.colours import hue, near, scaled, sizes, wood_colour
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng


def worn(rng: Rng, material: Material, *, chance: float = 0.5) -> Material:
    """Return the material, at times with stains, dirt, cracks or faded patches that have no regular scale."""
    if not rng.chance(chance):
        return material
    size = sizes(rng, 0.15, 3.0)
    stretched = (size, size, size * rng.pick([0.3, 1.0, 1.0, 3.0]))
    cracks, blotch = rng.chance(0.2), rng.pick([0.45, 0.7, 0.8, 0.85, 0.9, 1.15])
    return replace(
        material,
        second_colour=scaled(material.colour, rng.uniform(0.3, 0.6) if cracks else blotch),
        fractal=rng.uniform(0.15, 0.8),
        fractal_size=stretched,
        fractal_gain=rng.uniform(0.35, 0.8),
        fractal_cover=rng.uniform(0.1, 0.6),
        fractal_edge=rng.uniform(0.3, 1.0),
        fractal_ridge=1.0 if cracks else 0.0,
    )


_PAINTS = [(0.75, 0.74, 0.70), (0.72, 0.68, 0.56), (0.62, 0.63, 0.64), (0.78, 0.78, 0.77), (0.55, 0.45, 0.33)]


def paint(rng: Rng) -> Material:
    """A painted wall, with or without a skirting board, clean or stained."""
    colour = (
        near(rng, rng.pick(_PAINTS)) if rng.chance(0.75) else hue(rng, sizes(rng, 0.1, 0.65), rng.uniform(0.05, 0.4))
    )
    material = Material(
        colour=colour,
        joint_colour=near(rng, rng.pick([(0.75, 0.75, 0.72), (0.2, 0.12, 0.07), scaled(colour, 0.5)])),
        grain=rng.uniform(0.0, 0.1),
        grain_u=sizes(rng, 0.01, 0.6),
        grain_v=sizes(rng, 0.01, 0.6),
        skirting=rng.pick([0.0, 0.06, 0.1, 0.15]),
        gloss=rng.pick([0.0, 0.0, 0.05]),
    )
    return worn(rng, material, chance=0.45)


def wallpaper(rng: Rng) -> Material:
    """Stripes or repeated figures."""
    colour = hue(rng, rng.uniform(0.2, 0.65), rng.uniform(0.03, 0.25))
    stripes = rng.chance(0.5)
    return Material(
        colour=colour,
        joint_colour=scaled(colour, rng.pick([0.5, 0.75, 1.25, 1.5])),
        cell_u=rng.uniform(0.06, 0.4),
        cell_v=50.0 if stripes else rng.uniform(0.08, 0.5),
        joint=rng.uniform(0.01, 0.09),
        checker=rng.pick([0.0, 0.15, 0.3]),
        row_shift=rng.pick([0.0, 0.5]),
        warp=rng.pick([0.0, 0.0, 0.02, 0.06]),
        fractal_size=(0.2, 0.2, 0.2),
        skirting=rng.pick([0.0, 0.1]),
    )


def boards(rng: Rng) -> Material:
    """A wall or a ceiling of boards, upright or level."""
    wide, upright = rng.uniform(0.08, 0.25), rng.chance(0.6)
    colour = wood_colour(rng)
    material = Material(
        colour=colour,
        joint_colour=scaled(colour, 0.25),
        cell_u=wide if upright else rng.uniform(1.5, 4.0),
        cell_v=50.0 if upright else wide,
        joint=rng.uniform(0.004, 0.012),
        row_shift=0.0 if upright else 0.37,
        variation=rng.uniform(0.1, 0.5),
    )
    return _fibres(rng, material, along_u=not upright)


def masonry(rng: Rng) -> Material:
    """Bricks, painted bricks, blocks or rubble."""
    style = rng.integer(0, 3)
    if style == 0:
        return worn(rng, materials.brick(rng))
    colour = near(rng, rng.pick([(0.7, 0.68, 0.62), (0.5, 0.48, 0.44), (0.35, 0.2, 0.14), (0.3, 0.29, 0.28)]), 0.3)
    blocks = style == 2
    return Material(
        colour=colour,
        joint_colour=scaled(colour, rng.uniform(0.5, 1.2)),
        cell_u=rng.uniform(0.35, 0.5) if blocks else rng.uniform(0.2, 0.26),
        cell_v=rng.uniform(0.18, 0.25) if blocks else rng.uniform(0.06, 0.08),
        row_shift=0.5,
        joint=rng.uniform(0.008, 0.02),
        variation=rng.uniform(0.1, 0.6),
        grain=rng.uniform(0.1, 0.4),
        grain_u=0.04,
        grain_v=0.03,
        second_colour=scaled(colour, rng.uniform(0.4, 1.3)),
        fractal=rng.uniform(0.2, 0.7),
        fractal_size=(sizes(rng, 0.1, 1.5),) * 3,
        fractal_gain=rng.uniform(0.5, 0.8),
        warp=0.06 if style == 3 else rng.pick([0.0, 0.01]),
    )


def concrete(rng: Rng) -> Material:
    """Bare concrete or screed, blotched and cracked."""
    colour = near(rng, rng.pick([(0.42, 0.42, 0.40), (0.3, 0.3, 0.29), (0.5, 0.48, 0.44)]))
    return Material(
        colour=colour,
        joint_colour=scaled(colour, 0.7),
        cell_u=rng.pick([50.0, 50.0, rng.uniform(1.0, 3.0)]),
        cell_v=rng.pick([50.0, 50.0, rng.uniform(0.5, 3.0)]),
        joint=0.008,
        grain=rng.uniform(0.05, 0.2),
        grain_u=sizes(rng, 0.01, 0.3),
        grain_v=sizes(rng, 0.01, 0.3),
        second_colour=scaled(colour, rng.pick([0.5, 0.7, 1.35])),
        fractal=rng.uniform(0.4, 0.9),
        fractal_size=(sizes(rng, 0.3, 3.0),) * 3,
        fractal_gain=rng.uniform(0.5, 0.8),
        fractal_cover=rng.uniform(0.2, 0.6),
        fractal_edge=rng.uniform(0.2, 1.0),
        fractal_ridge=rng.pick([0.0, 0.0, 0.6]),
        gloss=rng.pick([0.0, 0.1]),
        exponent=8.0,
        sheen=rng.pick([0.0, 0.0, 0.1]),
    )


def tiles(rng: Rng) -> Material:
    """Tiles on a wall or a floor, 0.05 to 0.6 m wide."""
    size = rng.pick([0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6])
    colour = near(
        rng, rng.pick([(0.75, 0.75, 0.73), (0.7, 0.68, 0.64), (0.6, 0.56, 0.5), (0.2, 0.2, 0.2), hue(rng, 0.4, 0.3)])
    )
    return Material(
        colour=colour,
        joint_colour=near(rng, rng.pick([(0.5, 0.5, 0.48), (0.15, 0.15, 0.15), (0.75, 0.74, 0.7)])),
        cell_u=size * rng.pick([1.0, 1.0, 1.5, 2.0]),
        cell_v=size,
        row_shift=rng.pick([0.0, 0.0, 0.5]),
        joint=min(rng.uniform(0.003, 0.009), 0.05 * size),
        variation=rng.uniform(0.0, 0.25),
        checker=rng.pick([0.0, 0.0, 0.0, 0.6]),
        second_colour=scaled(colour, rng.uniform(0.6, 1.2)),
        fractal=rng.pick([0.0, rng.uniform(0.1, 0.6)]),
        fractal_size=(sizes(rng, 0.05, 0.8),) * 3,
        fractal_ridge=rng.pick([0.0, 1.0]),
        gloss=rng.uniform(0.1, 0.6),
        exponent=rng.pick([32.0, 100.0, 300.0]),
        sheen=rng.uniform(0.0, 0.4),
    )


def carpet(rng: Rng) -> Material:
    """A fitted carpet: fine noise, worn patches."""
    colour = hue(rng, sizes(rng, 0.04, 0.4), rng.uniform(0.05, 0.4))
    return Material(
        colour=colour,
        grain=rng.uniform(0.1, 0.5),
        grain_u=sizes(rng, 0.004, 0.05),
        grain_v=sizes(rng, 0.004, 0.05),
        second_colour=scaled(colour, rng.uniform(0.6, 1.4)),
        fractal=rng.uniform(0.0, 0.7),
        fractal_size=(sizes(rng, 0.02, 2.0),) * 3,
        fractal_gain=rng.uniform(0.4, 0.9),
        fractal_edge=rng.uniform(0.1, 1.0),
    )


def planks(rng: Rng) -> Material:
    """Floorboards or parquet."""
    colour, along_u = wood_colour(rng), rng.chance(0.5)
    wide, long = rng.uniform(0.06, 0.2), rng.uniform(0.4, 2.0)
    material = Material(
        colour=colour,
        joint_colour=scaled(colour, 0.3),
        cell_u=long if along_u else wide,
        cell_v=wide if along_u else long,
        row_shift=0.37 if along_u else 0.0,
        joint=rng.uniform(0.001, 0.006),
        variation=rng.uniform(0.1, 0.5),
        gloss=rng.pick([0.05, 0.2, 0.4]),
        exponent=rng.pick([16.0, 60.0]),
        sheen=rng.pick([0.0, 0.15, 0.4]),
    )
    return _fibres(rng, material, along_u=along_u)


def floor(rng: Rng, theme: str) -> Material:
    """A floor as rooms of a theme have it."""
    wooden, soft, hard, raw = planks, carpet, tiles, concrete
    choice = {
        "kitchen": [hard, hard, wooden, lino],
        "bath": [hard, hard, hard, lino],
        "store": [raw, raw, raw, hard, wooden],
        "office": [soft, soft, lino, wooden, hard],
    }.get(theme, [wooden, wooden, wooden, soft, soft, hard, lino])
    return rng.pick(choice)(rng)


def lino(rng: Rng) -> Material:
    """Linoleum: smooth, marbled, a little glossy."""
    colour = hue(rng, sizes(rng, 0.08, 0.5), 0.25)
    return Material(
        colour=colour,
        second_colour=scaled(colour, rng.pick([0.6, 1.4])),
        fractal=rng.uniform(0.1, 0.6),
        fractal_size=(sizes(rng, 0.03, 0.4), sizes(rng, 0.03, 0.4), 0.1),
        fractal_gain=0.7,
        gloss=0.2,
        exponent=60.0,
        sheen=rng.uniform(0.05, 0.3),
    )


def wall(rng: Rng, theme: str) -> Material:
    """A wall as rooms of a theme have it."""
    if theme == "bath":
        return rng.pick([tiles, tiles, paint])(rng)
    if theme == "store":
        return rng.pick([masonry, masonry, concrete, paint, boards])(rng)
    if theme == "kitchen" and rng.chance(0.25):
        return tiles(rng)
    return rng.pick([paint] * 9 + [wallpaper, masonry, boards])(rng)


def ceiling(rng: Rng, theme: str) -> Material:
    """A ceiling: paint, panels, boards, concrete."""
    if theme == "store":
        return rng.pick([concrete, boards, paint])(rng)
    if theme == "office" and rng.chance(0.7):
        return replace(materials.ceiling(rng), cell_u=0.6, cell_v=0.6, joint=0.015, variation=0.05)
    if rng.chance(0.15):
        return boards(rng)
    return Material(colour=near(rng, (0.76, 0.75, 0.72), 0.15), grain=0.03, grain_u=0.05, grain_v=0.05)


def _fibres(rng: Rng, material: Material, *, along_u: bool) -> Material:
    """Return the material with wooden fibres along u or v."""
    long, fine = rng.uniform(0.4, 1.5), rng.uniform(0.008, 0.04)
    grain_u, grain_v = (long, fine) if along_u else (fine, long)
    return replace(material, grain=rng.uniform(0.05, 0.3), grain_u=grain_u, grain_v=grain_v)
