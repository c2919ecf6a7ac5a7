"""Scenes with everything that the renderer knows: turned solids, cones, a sky, fractal noise, several lights."""

import numpy as np

from metric3d_ros.world.description.materials import Material, plain
from metric3d_ros.world.description.solids import Scene, SceneDraft, turn

SKY = Material(
    colour=(0.25, 0.45, 0.85),
    joint_colour=(0.75, 0.82, 0.9),
    second_colour=(0.95, 0.95, 0.95),
    fractal=0.9,
    fractal_size=(1.5, 1.0, 1.0),
    fractal_cover=0.4,
    glow=1.2,
    sky=True,
)
ASPHALT = Material(
    colour=(0.18, 0.18, 0.18),
    second_colour=(0.32, 0.30, 0.27),
    fractal=0.8,
    fractal_size=(3.0, 3.0, 3.0),
    fractal_gain=0.75,
    sheen=0.3,
)
MARBLE = Material(
    colour=(0.8, 0.8, 0.78),
    second_colour=(0.25, 0.25, 0.3),
    fractal=0.9,
    fractal_size=(0.6, 0.6, 0.9),
    fractal_ridge=1.0,
    fractal_cover=0.25,
    fractal_edge=0.2,
    gloss=0.5,
    exponent=200.0,
    sheen=0.5,
)
RUBBLE = Material(
    colour=(0.5, 0.42, 0.35),
    joint_colour=(0.25, 0.23, 0.2),
    cell_u=0.4,
    cell_v=0.25,
    row_shift=0.5,
    joint=0.02,
    variation=0.5,
    warp=0.08,
    fractal_size=(0.5, 0.5, 0.5),
)


def general_scene(seed: int, *, clutter: int = 30) -> Scene:
    """Return a yard under a sky, full of turned solids, with a sun and two lamps."""
    random = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    paint = plain((0.6, 0.05, 0.05), gloss=0.8)
    draft = SceneDraft((-60.0, -60.0, 0.0), (60.0, 60.0, 40.0), [SKY] * 4 + [ASPHALT, SKY])
    draft.add_box((4.0, 1.0, 0.7), (1.2, 0.8, 1.4), RUBBLE, turn(0.5))
    draft.add_box((3.0, -1.2, 0.5), (0.8, 0.8, 0.8), MARBLE, turn(0.3, 0.4, 0.2))
    draft.add_box_between((9.0, -8.0, 0.0), (9.3, 8.0, 2.2), RUBBLE, texture_origin=(9.0, 0.0, 0.0))
    draft.add_ellipsoid((5.0, -2.5, 1.0), (1.4, 0.8, 0.6), paint, turn(0.8, 0.2))
    draft.add_cylinder((7.0, 2.5, 0.0), (7.1, 2.4, 3.0), 0.25, MARBLE, 0.5)
    draft.add_cylinder((2.4, 0.4, 0.0), (2.4, 0.4, 0.5), 0.25, MARBLE, 0.2)
    draft.add_cylinder((2.6, -0.1, 0.15), (3.0, 0.7, 0.15), (0.15, 0.1), paint, turned=0.4)
    draft.add_cylinder((3.0, 2.0, 0.0), (3.3, 2.2, 1.2), 0.1, RUBBLE, 2.5)
    for _ in range(clutter):
        place = (between(2.0, 8.0), between(-4.0, 4.0), between(0.0, 2.0))
        size = (between(0.05, 0.3), between(0.05, 0.3), between(0.05, 0.3))
        turned = turn(between(-3.0, 3.0), between(-1.5, 1.5), between(-3.0, 3.0))
        kind = int(random.integers(3))
        if kind == 0:
            draft.add_box(place, size, MARBLE, turned)
        elif kind == 1:
            draft.add_ellipsoid(place, size, paint, turned)
        else:
            top = tuple(a + b for a, b in zip(place, turned[2] * 0.4, strict=True))
            draft.add_cylinder(place, (top[0], top[1], top[2]), size[:2], RUBBLE, between(0.0, 1.5))
    draft.add_sun((0.3, -0.6, 0.5), (2.2, 2.0, 1.7))
    draft.add_lamp((3.0, -3.0, 2.0), (1.5, 1.0, 0.5))
    draft.add_lamp((6.0, 3.0, 2.5), (0.5, 1.0, 1.5), softness=0.2)
    draft.above, draft.below, draft.exposure = (0.5, 0.6, 0.8), (0.2, 0.18, 0.15), 1.1
    draft.inside = ((8.0, 0.0, 0.0), (12.0, 8.0, 3.0), 0.4)
    return draft.finish(seed, "yard")
