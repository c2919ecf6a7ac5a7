"""Furnished rooms: living rooms, kitchens, offices, cellars, attics, corridors, halls, full of things."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metric3d_ros.world import clutter, fittings, furniture, presets
from metric3d_ros.world.people import person, sitting_person
from metric3d_ros.world.placing import Footprint, Piece, Place, Stage, Wall, room_walls, stand_at_wall, stand_free
from metric3d_ros.world.randomness import Rng
from metric3d_ros.world.shell import Shell, draw_shell, furnish_neighbours
from metric3d_ros.world.staging import StagedScene, finish_room

MAX_SOLIDS = 120
MIN_SOLIDS = 40

Make = Callable[[Rng], Piece]


@dataclass(frozen=True)
class Theme:
    """What a kind of room contains.

    Attributes:
        width, depth, height: ranges of its size, metres.
        at_wall, free: pieces with their back to a wall, and pieces in the middle; the first few are always tried.
        wanted: how many of each are tried, lowest and highest.
        clutter: the list of things on its surfaces, see `clutter.ON_TOP`.
        litter: things on the floor, lowest and highest.
        surfaces: which floor and walls, see `presets.floor` and `presets.wall`.
    """

    width: tuple[float, float]
    depth: tuple[float, float]
    height: tuple[float, float]
    at_wall: Sequence[Make]
    free: Sequence[Make]
    wanted: tuple[int, int]
    clutter: str = "any"
    litter: tuple[int, int] = (1, 5)
    surfaces: str = "living"
    kind: str = "room"


def _armchair(rng: Rng) -> Piece:
    return furniture.sofa(rng, seats=1)


def _kitchen_run(rng: Rng) -> Piece:
    return fittings.kitchen_run(rng, rng.uniform(1.2, 3.4))


def _stairs(rng: Rng) -> Piece:
    return fittings.stairs(rng, rise=rng.uniform(1.0, 2.6))


def _low_cupboard(rng: Rng) -> Piece:
    return furniture.cupboard(rng, height=rng.uniform(0.7, 1.1))


def _high_cupboard(rng: Rng) -> Piece:
    return furniture.cupboard(rng, height=rng.uniform(1.8, 2.2))


def _long_table(rng: Rng) -> Piece:
    return furniture.table(rng, width=rng.uniform(1.4, 2.4), depth=rng.uniform(0.6, 1.0))


def _workbench(rng: Rng) -> Piece:
    return furniture.table(rng, width=rng.uniform(1.2, 2.2), depth=0.6, height=rng.uniform(0.8, 0.92))


f, b = furniture, fittings

THEMES: dict[str, Theme] = {
    "living": Theme(
        (3.2, 6.0), (3.5, 7.0), (2.35, 2.9),
        (f.sofa, f.television, f.books_shelf, f.cupboard, f.shelf, _armchair, f.desk, f.floor_lamp, _low_cupboard),
        (f.low_table, _armchair, f.table, f.floor_lamp, f.sofa), (4, 9),
    ),
    "bedroom": Theme(
        (2.6, 4.5), (3.0, 5.5), (2.3, 2.8),
        (f.bed, _high_cupboard, _low_cupboard, f.desk, f.shelf, f.books_shelf, f.floor_lamp, f.chair),
        (f.chair, f.stool, f.bed), (3, 7), litter=(2, 7),
    ),
    "kitchen": Theme(
        (2.2, 4.5), (2.8, 6.0), (2.35, 2.8),
        (_kitchen_run, b.fridge, _kitchen_run, b.fridge, f.shelf, f.cupboard, f.chair),
        (f.table, f.stool, f.chair), (4, 8), "kitchen", (0, 4), "kitchen",
    ),
    "bathroom": Theme(
        (1.6, 3.0), (2.0, 3.8), (2.3, 2.7),
        (b.basin, b.toilet, b.tub, b.shower, b.fridge, f.shelf, f.cupboard), (f.stool,), (4, 7), "bath", (0, 3), "bath",
    ),
    "office": Theme(
        (3.0, 7.0), (3.5, 9.0), (2.5, 3.2),
        (f.desk, f.desk, f.shelf, f.books_shelf, f.cupboard, f.desk, f.chair), (f.desk, f.office_chair, _long_table),
        (4, 9), "office", (0, 4), "office",
    ),
    "classroom": Theme(
        (5.5, 9.0), (6.0, 11.0), (2.7, 3.6),
        (f.cupboard, f.books_shelf, f.desk, f.shelf), (_long_table, f.table, f.table, _long_table), (6, 10), "office", (0, 3),
        "office", "hall",
    ),
    "shop": Theme(
        (4.0, 9.0), (5.0, 12.0), (2.6, 3.8),
        (f.shelf, f.shelf, f.books_shelf, f.shelf, f.cupboard), (f.shelf, f.books_shelf, f.table, f.shelf), (6, 10), "store",
        (0, 5), "office", "hall",
    ),
    "cellar": Theme(
        (2.5, 6.0), (3.0, 8.0), (2.0, 2.6),
        (f.shelf, _workbench, b.fridge, f.cupboard, f.shelf, b.fridge), (_workbench, f.chair, f.table, f.stool), (3, 7),
        "store", (4, 12), "store",
    ),
    "workshop": Theme(
        (3.5, 8.0), (5.0, 10.0), (2.4, 4.0),
        (f.shelf, _workbench, _workbench, f.shelf, f.cupboard, b.fridge), (_workbench, f.stool, f.table), (4, 9), "store",
        (4, 12), "store", "hall",
    ),
    "dining": Theme(
        (3.5, 8.0), (4.0, 9.0), (2.4, 3.4),
        (f.cupboard, f.books_shelf, f.sofa, f.floor_lamp), (f.table, f.table, f.table, _long_table), (4, 8), "kitchen",
    ),
    "corridor": Theme(
        (1.2, 2.6), (5.0, 14.0), (2.3, 3.0),
        (f.shelf, f.chair, _low_cupboard, f.cupboard, _stairs, f.books_shelf), (f.stool,), (1, 5), litter=(0, 4),
        surfaces="office", kind="corridor",
    ),
    "stairwell": Theme(
        (2.4, 5.0), (4.0, 7.0), (2.6, 3.4),
        (_stairs, _stairs, f.cupboard, f.chair), (_stairs, f.stool), (2, 4), litter=(0, 4),
    ),
}  # fmt: skip

_FREQUENCY = (
    ["living"] * 5 + ["bedroom"] * 5 + ["kitchen"] * 5 + ["bathroom"] * 3 + ["office"] * 4 + ["classroom"] * 2
    + ["shop"] * 2 + ["cellar"] * 3 + ["workshop"] * 2 + ["dining"] * 3 + ["corridor"] * 3 + ["stairwell"] * 1
)  # fmt: skip


def draw_room(seed: int) -> StagedScene:
    """Return the furnished room of a seed."""
    attempt = 0
    while True:
        rng = Rng(seed, attempt, 12)
        theme = THEMES[rng.pick(_FREQUENCY)]
        stage = Stage(rng, MAX_SOLIDS)
        shell = _furnish(Place(stage), theme)
        if len(stage.solids) >= MIN_SOLIDS:
            return finish_room(stage, shell, seed=seed, kind=theme.kind)
        attempt += 1


def _furnish(place: Place, theme: Theme) -> Shell:
    rng, stage = place.rng, place.stage
    size = (rng.uniform(*theme.width), rng.uniform(*theme.depth), rng.uniform(*theme.height))
    if rng.chance(0.5):
        size = (size[1], size[0], size[2])
    shell = draw_shell(place, size, theme.surfaces)
    stage.floor = (0.0, 0.0, size[0], size[1])
    low, high = (0.05, 0.05), (size[0] - 0.05, size[1] - 0.05)
    walls = room_walls(size[0], size[1])
    if theme.kind != "corridor" and rng.chance(0.3):
        stand_free(place, fittings.pillar(rng, size[2]), low=low, high=high)
    for index in range(rng.integer(*theme.wanted)):
        at_wall = rng.chance(0.65) if index > 1 else index == 0
        makes = theme.at_wall if at_wall else theme.free
        piece = (makes[0] if index < 2 else rng.pick(makes))(rng)
        if at_wall:
            stand_at_wall(place, piece, walls, skew=rng.pick([0.0, 0.0, 0.06, 0.3]))
        elif stand_free(place, piece, low=low, high=high):
            _surround_with_chairs(place, stage.taken[-1])
    if rng.chance(0.3):
        _carpet(place, low, high)
    if theme.surfaces == "store" or rng.chance(0.12):
        for _ in range(rng.integer(1, 3)):
            fittings.pipes(place, rng.pick(walls), size[2])
    if rng.chance(0.35 if theme.surfaces == "store" else 0.08):
        fittings.beams(place, size[0], size[1], size[2])
    lamps = rng.integer(1, 2 if size[0] * size[1] < 20 else 4)
    for _ in range(lamps):
        at = (rng.uniform(0.25, 0.75) * size[0], rng.uniform(0.25, 0.75) * size[1])
        fittings.ceiling_lamp(place.at(*at, yaw=rng.pick([0.0, math.pi / 2])), size[2])
    if rng.chance(0.15):
        _somebody(place, low, high)
    furnish_neighbours(place, shell)
    _clutter(place, theme, shell, walls)
    return shell


def _surround_with_chairs(place: Place, spot: Footprint) -> None:
    """Put chairs around a table that was just placed, at any distance from it, turned at random."""
    rng = place.rng
    if min(spot.half_width, spot.half_depth) < 0.28 or rng.chance(0.3):
        return
    make = furniture.office_chair if rng.chance(0.15) else furniture.chair
    drawn = rng.integer(0, 1_000_000)  # one kind of chair around one table
    frame = place.at(spot.x, spot.y, yaw=spot.yaw)
    for _ in range(rng.integer(1, 4)):
        side = rng.integer(0, 3)
        along = rng.uniform(-0.6, 0.6)
        out = rng.uniform(0.0, 0.35)
        piece = make(Rng(drawn))
        half = piece.depth / 2
        x, y, yaw = [
            (along * spot.half_width, -spot.half_depth - half - out + 0.15, math.pi),
            (along * spot.half_width, spot.half_depth + half + out - 0.15, 0.0),
            (-spot.half_width - half - out + 0.15, along * spot.half_depth, math.pi / 2),
            (spot.half_width + half + out - 0.15, along * spot.half_depth, -math.pi / 2),
        ][side]
        yaw += rng.triangular(-0.6, 0.6, 0.0)
        at = frame.point(x, y, 0.0)
        claim = Footprint(at[0], at[1], piece.width / 2, half, spot.yaw + yaw)
        others = place.stage.taken
        place.stage.taken = [other for other in others if other is not spot]
        free = place.stage.claim(claim, gap=0.02)
        place.stage.taken = [*others, claim] if free else others
        if free:
            place.stage.build(piece, frame.at(x, y, yaw=yaw))
            if rng.chance(0.06):
                place.stage.build(sitting_person(rng), frame.at(x, y, yaw=yaw))


def _carpet(place: Place, low: tuple[float, float], high: tuple[float, float]) -> None:
    rng, piece = place.rng, furniture.rug(place.rng)
    half_x, half_y = piece.width / 2, piece.depth / 2
    if high[0] - low[0] > piece.width + 0.2 and high[1] - low[1] > piece.depth + 0.2:
        at = (rng.uniform(low[0] + half_x, high[0] - half_x), rng.uniform(low[1] + half_y, high[1] - half_y))
        place.stage.build(piece, place.at(*at, yaw=rng.pick([0.0, 0.0, rng.uniform(-0.4, 0.4)])))


def _somebody(place: Place, low: tuple[float, float], high: tuple[float, float]) -> None:
    stand_free(place, person(place.rng), low=low, high=high)


def _clutter(place: Place, theme: Theme, shell: Shell, walls: Sequence[Wall]) -> None:
    """Hang things on the walls, then put things on every surface and on the floor until there are enough solids."""
    rng, stage = place.rng, place.stage
    wanted = rng.integer(MIN_SOLIDS + 15, MAX_SOLIDS)
    for _ in range(rng.integer(1, 6)):
        index = rng.integer(0, 3)
        clutter.hang_on_wall(place, walls[index], shell.height, blocked=shell.blocked[index])
    if rng.chance(0.5 if theme.surfaces == "store" else 0.1):
        clutter.lean_boards(place, rng.pick(walls))
    for _ in range(rng.integer(*theme.litter)):
        if len(stage.solids) < wanted:
            clutter.litter_floor(place, (0.0, 0.0), (shell.width, shell.depth))
    surfaces = list(stage.surfaces)
    for _ in range(40):
        if len(stage.solids) >= wanted or not surfaces:
            break
        surface = rng.pick(surfaces)
        things = max(1, round(surface.width * surface.depth * rng.uniform(2.0, 9.0)))
        clutter.fill_surface(surface, theme.clutter, things=min(things, 6))
        surfaces.remove(surface)
    del stage.solids[stage.max_solids :]
