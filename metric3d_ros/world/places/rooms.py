"""Furnished rooms: living rooms, kitchens, offices, cellars, attics, corridors and halls, full of objects."""

import math
from collections.abc import Sequence

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.indoors import clutter, fittings, floor_and_wall_clutter, furniture, seats_and_beds
from metric3d_ros.world.objects.people import person, sitting_person
from metric3d_ros.world.objects.placing import (
    Footprint,
    Place,
    Point,
    Stage,
    Wall,
    room_walls,
    stand_at_wall,
    stand_free,
)
from metric3d_ros.world.places.neighbour_rooms import furnish_neighbours
from metric3d_ros.world.places.room_themes import FREQUENCY, THEMES, Theme
from metric3d_ros.world.places.shell import Shell, draw_shell
from metric3d_ros.world.places.staging import StagedScene, finish_room

MAX_SOLIDS = 120
MIN_SOLIDS = 40
ROOM_FOR_CLUTTER = 55


def draw_room(seed: int) -> StagedScene:
    """Return the furnished room of a seed."""
    attempt = 0
    while True:
        rng = Rng(seed, attempt, 12)
        theme = THEMES[rng.pick(FREQUENCY)]
        stage = Stage(rng, MAX_SOLIDS)
        shell = _furnish(Place(stage), theme)
        staged = finish_room(stage, shell, seed=seed, kind=theme.kind)
        if staged.scene.solid_count >= MIN_SOLIDS:
            return staged
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
    _stand_furniture(place, theme, size)
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


def _stand_furniture(place: Place, theme: Theme, size: Point) -> None:
    """Line the walls and fill the middle, more in larger rooms; what the room is for comes first."""
    rng, stage = place.rng, place.stage
    low, high, walls = (0.05, 0.05), (size[0] - 0.05, size[1] - 0.05), room_walls(size[0], size[1])
    crowding = rng.uniform(0.45, 1.0) * (0.5 if theme.kind == "corridor" else 1.0)
    at_wall = 1 + round(crowding * (size[0] + size[1]) / 0.9)
    free = round(crowding * size[0] * size[1] / (5.0 if len(theme.free) > 1 else 9.0))
    for index in range(at_wall + free):
        if len(stage.solids) > MAX_SOLIDS - ROOM_FOR_CLUTTER:
            return
        first = index < 2
        if index == 0 or (index != 1 and rng.chance(at_wall / (at_wall + free))):
            piece = (theme.at_wall[0] if first else rng.pick(theme.at_wall))(rng)
            stand_at_wall(place, piece, walls, skew=rng.pick([0.0, 0.0, 0.06, 0.3]))
        elif stand_free(place, (theme.free[0] if first else rng.pick(theme.free))(rng), low=low, high=high):
            _surround_with_chairs(place, stage.taken[-1])


def _surround_with_chairs(place: Place, spot: Footprint) -> None:
    """Put chairs around a table that was just placed, at any distance from it, turned at random."""
    rng = place.rng
    if min(spot.half_width, spot.half_depth) < 0.28 or rng.chance(0.3):
        return
    make = seats_and_beds.office_chair if rng.chance(0.15) else seats_and_beds.chair
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
    wanted = rng.integer(MAX_SOLIDS - 35, MAX_SOLIDS)
    for _ in range(rng.integer(3, 12)):
        index = rng.integer(0, 3)
        floor_and_wall_clutter.hang_on_wall(place, walls[index], shell.height, blocked=shell.blocked[index])
    if rng.chance(0.5 if theme.surfaces == "store" else 0.1):
        floor_and_wall_clutter.lean_boards(place, rng.pick(walls))
    for _ in range(rng.integer(*theme.litter)):
        if len(stage.solids) < wanted:
            floor_and_wall_clutter.litter_floor(place, (0.0, 0.0), (shell.width, shell.depth))
    surfaces = list(stage.surfaces)
    for _ in range(40):
        if len(stage.solids) >= wanted or not surfaces:
            break
        surface = rng.pick(surfaces)
        things = max(1, round(surface.width * rng.uniform(1.5, 5.0)))
        clutter.fill_surface(surface, theme.clutter, things=min(things, 7))
        surfaces.remove(surface)
    del stage.solids[stage.max_solids :]
