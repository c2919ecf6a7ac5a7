"""Surface materials of the synthetic world: all are one parametric pattern of true metric size.

A material is one row of float32 numbers, so that a whole scene is a table that any array library can read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.world.description.randomness import Rng

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """A pattern of rectangular cells with joints between them, and grain on top; colours are linear RGB in 0..1.

    Lengths are metres along the surface: u is the horizontal direction and v the vertical one (x and y on
    horizontal faces). A cell far larger than the surface makes it plain.
    """

    colour: Rgb
    joint_colour: Rgb = (0.3, 0.3, 0.3)
    cell_u: float = 50.0
    cell_v: float = 50.0
    row_shift: float = 0.0  # each row of cells is shifted by this fraction of a cell: 0.5 makes a brick bond
    joint: float = 0.0  # width of the joints
    variation: float = 0.0  # relative change of lightness from cell to cell
    checker: float = 0.0  # relative darkening of every other cell
    grain: float = 0.0  # relative amplitude of the noise within a cell
    grain_u: float = 0.2  # size of the noise
    grain_v: float = 0.2
    skirting: float = 0.0  # height of a band in the joint colour at the foot of a wall
    gloss: float = 0.0  # strength of the lamps' reflection
    glow: float = 0.0  # light given off, times the colour
    # A second colour laid over all that, in shapes of fractal noise of five octaves: stains, marble, foliage, asphalt.
    second_colour: Rgb = (0.5, 0.5, 0.5)
    fractal: float = 0.0  # the second colour's share where it is strongest; 0 leaves it out
    fractal_size: tuple[float, float, float] = (1.0, 1.0, 1.0)  # size of the largest shapes along local x, y, z
    fractal_gain: float = 0.5  # amplitude of each octave by that of the one before: 0.3 smooth, 0.8 rugged
    fractal_cover: float = 0.5  # about the share of the surface that has the second colour
    fractal_edge: float = 0.5  # width of the passage between the colours: 0.05 sharp patches, 1 a soft cloud
    fractal_ridge: float = 0.0  # 1 makes the shapes veins or cracks
    warp: float = 0.0  # metres by which the noise bends cells and joints: rubble, cloth, creased paper
    exponent: float = 32.0  # of the lamps' reflection: 4 for dull, 32 for satin, 300 for polished surfaces
    sheen: float = 0.0  # reflection of the surroundings' light, as on varnish (0.3), cars and water (1)
    sky: bool = False  # of the enclosure: no depth; colour above, joint_colour at the horizon, clouds in second_colour

    def row(self) -> NDArray[np.float32]:
        """Return the material as (33,) float32, in the order of the column constants of this module."""
        return np.array(
            [
                self.cell_u,
                self.cell_v,
                self.row_shift,
                self.joint,
                *self.colour,
                *self.joint_colour,
                self.variation,
                self.checker,
                self.grain,
                self.grain_u,
                self.grain_v,
                self.skirting,
                self.gloss,
                self.glow,
                *self.second_colour,
                self.fractal,
                *self.fractal_size,
                self.fractal_gain,
                self.fractal_cover,
                self.fractal_edge,
                self.fractal_ridge,
                self.warp,
                self.exponent,
                self.sheen,
                float(self.sky),
            ],
            np.float32,
        )


CELL_U, CELL_V, ROW_SHIFT, JOINT, RED, GREEN, BLUE, JOINT_RED, JOINT_GREEN, JOINT_BLUE = range(10)
VARIATION, CHECKER, GRAIN, GRAIN_U, GRAIN_V, SKIRTING, GLOSS, GLOW = range(10, 18)
SECOND_RED, SECOND_GREEN, SECOND_BLUE, FRACTAL, FRACTAL_X, FRACTAL_Y, FRACTAL_Z = range(18, 25)
FRACTAL_GAIN, FRACTAL_COVER, FRACTAL_EDGE, FRACTAL_RIDGE, WARP, EXPONENT, SHEEN, SKY = range(25, 33)
COLUMNS = 33


def _tint(rng: Rng, colour: Rgb, spread: float = 0.15) -> Rgb:
    """Return `colour` changed a little in lightness and hue, kept within 0.02..0.95."""
    lightness = rng.uniform(1 - spread, 1 + spread)
    red, green, blue = (min(max(c * lightness * rng.uniform(0.93, 1.07), 0.02), 0.95) for c in colour)
    return red, green, blue


def _any_hue(rng: Rng, saturation: float, value: float) -> Rgb:
    """Return a colour of random hue: the channels swing around `value` by `saturation`."""
    hue = rng.uniform(0.0, 2 * np.pi)
    red, green, blue = (value * (1 + saturation * float(np.cos(hue + k * 2 * np.pi / 3))) for k in range(3))
    return red, green, blue


def brick(rng: Rng) -> Material:
    """Bricks 0.24 m long in courses of 0.08 m."""
    return Material(
        colour=_tint(rng, rng.pick([(0.42, 0.16, 0.10), (0.50, 0.28, 0.18), (0.62, 0.55, 0.48)])),
        joint_colour=_tint(rng, (0.55, 0.52, 0.48)),
        cell_u=0.24,
        cell_v=0.08,
        row_shift=0.5,
        joint=0.012,
        variation=0.35,
        grain=0.15,
        grain_u=0.05,
        grain_v=0.03,
    )


def tiles(rng: Rng, size: float) -> Material:
    """Square tiles with an edge of `size` metres."""
    light = rng.pick(
        [(0.72, 0.70, 0.66), (0.60, 0.58, 0.55), (0.45, 0.42, 0.40), (0.66, 0.55, 0.42), (0.62, 0.34, 0.22)]
    )
    return Material(
        colour=_tint(rng, light),
        joint_colour=_tint(rng, rng.pick([(0.30, 0.29, 0.28), (0.18, 0.18, 0.18), (0.75, 0.74, 0.72)])),
        cell_u=size,
        cell_v=size,
        joint=0.008 if size < 0.25 else 0.014,
        variation=rng.uniform(0.05, 0.2),
        checker=rng.pick([0.0, 0.0, 0.55]),
        grain=0.08,
        grain_u=size / 3,
        grain_v=size / 3,
        gloss=rng.pick([0.0, 0.25, 0.5]),
    )


def planks(rng: Rng) -> Material:
    """Floor boards 1.2 m long and 0.14 m wide, along x or along y."""
    along_u = rng.chance(0.5)
    return Material(
        colour=_tint(rng, rng.pick([(0.48, 0.30, 0.16), (0.58, 0.42, 0.26), (0.33, 0.19, 0.10), (0.62, 0.52, 0.38)])),
        joint_colour=(0.12, 0.08, 0.05),
        cell_u=1.2 if along_u else 0.14,
        cell_v=0.14 if along_u else 1.2,
        row_shift=0.37 if along_u else 0.0,
        joint=0.006,
        variation=0.4,
        grain=0.25,
        grain_u=0.5 if along_u else 0.02,
        grain_v=0.02 if along_u else 0.5,
        gloss=rng.pick([0.0, 0.15, 0.35]),
    )


def plaster(rng: Rng, *, skirting: float = 0.1) -> Material:
    """A painted wall with a skirting board 0.1 m high."""
    return Material(
        colour=_tint(
            rng, rng.pick([(0.80, 0.78, 0.72), (0.74, 0.76, 0.78), (0.78, 0.68, 0.52), _any_hue(rng, 0.25, 0.6)])
        ),
        joint_colour=_tint(rng, rng.pick([(0.85, 0.85, 0.83), (0.25, 0.18, 0.12)])),
        grain=0.06,
        grain_u=0.35,
        grain_v=0.35,
        skirting=skirting,
    )


def ceiling(rng: Rng) -> Material:
    """A plain ceiling, or one of panels 0.6 m wide."""
    panels = rng.chance(0.4)
    return Material(
        colour=_tint(rng, (0.82, 0.82, 0.80), 0.08),
        joint_colour=(0.45, 0.45, 0.45),
        cell_u=0.6 if panels else 50.0,
        cell_v=0.6 if panels else 50.0,
        joint=0.02 if panels else 0.0,
        variation=0.04 if panels else 0.0,
        grain=0.04,
    )


def wood(rng: Rng) -> Material:
    """Wooden furniture with the grain along u."""
    return Material(
        colour=_tint(rng, rng.pick([(0.46, 0.28, 0.14), (0.28, 0.15, 0.08), (0.62, 0.46, 0.28)])),
        grain=0.35,
        grain_u=0.4,
        grain_v=0.015,
        gloss=0.15,
    )


def crate(rng: Rng) -> Material:
    """A crate of boards 0.1 m wide."""
    return Material(
        colour=_tint(rng, (0.52, 0.37, 0.20)),
        joint_colour=(0.15, 0.1, 0.06),
        cell_v=0.1,
        joint=0.01,
        variation=0.35,
        grain=0.3,
        grain_u=0.3,
        grain_v=0.012,
    )


def fabric(rng: Rng) -> Material:
    """A soft cloth of any colour."""
    return Material(colour=_any_hue(rng, 0.55, rng.uniform(0.2, 0.45)), grain=0.25, grain_u=0.03, grain_v=0.03)


def rug(rng: Rng) -> Material:
    """A rug with squares of 0.2 m."""
    return Material(
        colour=_any_hue(rng, 0.6, rng.uniform(0.2, 0.4)),
        joint_colour=_any_hue(rng, 0.4, 0.6),
        cell_u=0.2,
        cell_v=0.2,
        joint=0.03,
        checker=rng.pick([0.0, 0.4]),
        variation=0.2,
        grain=0.3,
        grain_u=0.02,
        grain_v=0.02,
    )


def cupboard(rng: Rng, *, drawer_height: float) -> Material:
    """Furniture fronts: doors 0.5 m wide with gaps between drawers of `drawer_height` metres."""
    base = wood(rng) if rng.chance(0.5) else plaster(rng, skirting=0.0)
    return Material(
        colour=base.colour,
        joint_colour=(0.08, 0.07, 0.06),
        cell_u=0.5,
        cell_v=drawer_height,
        joint=0.012,
        grain=base.grain,
        grain_u=base.grain_u,
        grain_v=base.grain_v,
        gloss=0.15,
    )


def books(rng: Rng) -> Material:
    """A shelf of books: 0.04 m wide spines, shelves 0.35 m apart."""
    return Material(
        colour=_tint(rng, (0.42, 0.30, 0.24)),
        joint_colour=(0.10, 0.06, 0.03),
        cell_u=0.045,
        cell_v=0.35,
        joint=0.012,
        variation=0.9,
        grain=0.1,
    )


def door_leaf(rng: Rng) -> Material:
    """A door with panels: the door's own 0.9 m x 2.0 m divided into two by three."""
    colour = _tint(rng, rng.pick([(0.75, 0.73, 0.70), (0.40, 0.24, 0.12), (0.16, 0.24, 0.30), (0.36, 0.12, 0.10)]))
    red, green, blue = (c * 0.62 for c in colour)
    return Material(
        colour=colour,
        joint_colour=(red, green, blue),
        cell_u=0.45,
        cell_v=2.0 / 3,
        joint=0.05,
        grain=0.08,
        grain_u=0.02,
        grain_v=0.4,
        gloss=0.1,
    )


def plain(colour: Rgb, *, gloss: float = 0.0, glow: float = 0.0) -> Material:
    """One colour."""
    return Material(colour=colour, gloss=gloss, glow=glow)


def window(rng: Rng) -> Material:
    """A bright window, its panes 0.6 m wide."""
    return Material(
        colour=_tint(rng, (0.80, 0.90, 1.0), 0.1),
        joint_colour=(0.5, 0.5, 0.5),
        cell_u=0.6,
        cell_v=0.6,
        joint=0.06,
        grain=0.15,
        grain_u=0.9,
        grain_v=0.5,
        glow=rng.uniform(0.9, 1.6),
    )


def picture(rng: Rng) -> Material:
    """A painting of bold patches."""
    return Material(
        colour=_any_hue(rng, 0.7, rng.uniform(0.25, 0.6)),
        joint_colour=_any_hue(rng, 0.7, rng.uniform(0.1, 0.6)),
        cell_u=rng.uniform(0.1, 0.3),
        cell_v=rng.uniform(0.1, 0.3),
        row_shift=rng.uniform(0.0, 0.5),
        joint=rng.uniform(0.0, 0.06),
        variation=0.8,
        checker=rng.uniform(0.0, 0.5),
    )


def rubber_ball(rng: Rng) -> Material:
    """A glossy ball with bands 0.1 m wide."""
    return Material(
        colour=_any_hue(rng, 0.7, rng.uniform(0.25, 0.5)),
        joint_colour=(0.8, 0.8, 0.8),
        cell_v=0.1,
        joint=rng.pick([0.0, 0.02]),
        gloss=0.5,
    )


def concrete(rng: Rng) -> Material:
    """Bare concrete cast in boards 0.5 m high."""
    return Material(
        colour=_tint(rng, (0.45, 0.45, 0.44)),
        joint_colour=(0.3, 0.3, 0.3),
        cell_u=1.0,
        cell_v=0.5,
        joint=0.008,
        variation=0.12,
        grain=0.18,
        grain_u=0.15,
        grain_v=0.15,
    )
