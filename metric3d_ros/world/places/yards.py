"""Yards, squares, car parks, gardens and playgrounds: open places with houses, walls and hedges around them."""

import math
from dataclasses import dataclass

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import SceneDraft
from metric3d_ros.world.objects.indoors import clutter, fittings, furniture, seats_and_beds
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.outdoors.street_things import (
    bench,
    bin_or_box,
    fence,
    house,
    lamp_post,
    shed,
    shelter,
    sign_post,
)
from metric3d_ros.world.objects.outdoors.vehicles import bicycle, car, van
from metric3d_ros.world.objects.people import person
from metric3d_ros.world.objects.placing import Footprint, Lineup, Piece, Place, Point, Stage, room_walls
from metric3d_ros.world.objects.plants import bush, hedge, tree
from metric3d_ros.world.places.staging import StagedScene, fill, light_outdoors

MAX_SOLIDS = 120
MIN_SOLIDS = 40
AROUND_M = 90.0  # from the yard to the end of the enclosure


@dataclass(frozen=True)
class YardStandpoints:
    """Anywhere in the yard, looking past its middle more often than not."""

    width: float
    depth: float

    def draw(self, rng: Rng) -> tuple[Point, float]:
        """Return a position, as of hands and small robots, and a yaw."""
        x, y = rng.uniform(0.3, self.width - 0.3), rng.uniform(0.3, self.depth - 0.3)
        z = rng.triangular(1.0, 2.0, 1.55) if rng.chance(0.7) else rng.uniform(0.2, 2.5)
        towards = math.atan2(self.depth / 2 - y, self.width / 2 - x)
        return (x, y, z), towards + rng.triangular(-2.2, 2.2, 0.0)


def draw_yard(seed: int) -> StagedScene:
    """Return the yard of a seed."""
    attempt = 0
    while True:
        rng = Rng(seed, attempt, 14)
        stage = Stage(rng, rng.integer(MAX_SOLIDS - 35, MAX_SOLIDS))
        width, depth = rng.uniform(9.0, 40.0), rng.uniform(9.0, 35.0)
        place, lineup = Place(stage), Lineup()
        stage.floor = (0.0, 0.0, width, depth)
        _edges(place, lineup, width, depth)
        _grounds(place, width, depth)
        _things(place, lineup, width, depth)
        lineup.build(stage)
        if len(stage.solids) >= MIN_SOLIDS:
            overcast = rng.chance(0.4)
            sky = om.sky(rng, overcast=overcast)
            draft = SceneDraft(
                (-AROUND_M, -AROUND_M, -0.03),
                (width + AROUND_M, depth + AROUND_M, 60.0),
                [sky, sky, sky, sky, om.ground(rng), sky],
            )
            fill(draft, stage.solids)
            light_outdoors(draft, rng, overcast=overcast)
            return StagedScene(draft.finish(seed, "yard"), YardStandpoints(width, depth))
        attempt += 1


def _edges(place: Place, lineup: Lineup, width: float, depth: float) -> None:
    """Close most sides: with houses, walls, fences, hedges or trees; woods and houses stand behind."""
    rng = place.rng
    for wall in room_walls(width, depth):
        style = rng.pick(["house", "house", "houses", "fence", "hedge", "trees", "open"])
        made: list[tuple[float, float, float, Piece]] = []  # rank, along, behind, piece
        if style == "house":
            made.append((0.0, wall.length / 2, 0.0, _house(rng, wall.length + 2.0, detail=rng.integer(8, 18))))
        elif style == "houses":
            at = 0.0
            while at < wall.length:
                wide = rng.uniform(7.0, 14.0)
                made.append((1.0, at + wide / 2, rng.uniform(0.0, 3.0), _house(rng, wide, detail=rng.pick([0, 0, 9]))))
                at += wide + rng.uniform(0.2, 4.0)
        elif style == "fence":
            made.append((0.5, wall.length / 2, 0.0, fence(rng, length=wall.length)))
        elif style == "hedge":
            made.append((0.5, wall.length / 2, 0.0, hedge(rng, length=wall.length)))
        elif style == "trees":
            for _ in range(rng.integer(2, 5)):
                piece = tree(rng, height=rng.uniform(5.0, 12.0), crowns=rng.integer(3, 6))
                made.append((2.0, rng.uniform(0.0, wall.length), rng.uniform(0.0, 4.0), piece))
        if style != "house":
            for _ in range(rng.integer(1, 3)):
                piece = _house(rng, rng.uniform(10.0, 25.0), detail=0)
                if rng.chance(0.5):
                    piece = tree(rng, height=rng.uniform(7.0, 15.0), crowns=4)
                made.append((1.5, rng.uniform(-0.3, 1.3) * wall.length, rng.uniform(8.0, 45.0), piece))
        for rank, along, behind, piece in made:
            x, y, yaw = wall.facing(along, -behind - piece.depth / 2 - 0.05)
            lineup.add(rank, piece, place.at(x, y, yaw=yaw))


def _house(rng: Rng, width: float, *, detail: int) -> Piece:
    return house(rng, width=width, storeys=rng.integer(1, 5), detail=detail, detached=rng.chance(0.5))


def _grounds(place: Place, width: float, depth: float) -> None:
    """Lay beds, paths and paved pieces; each a little above the one before."""
    rng = place.rng
    for k in range(rng.integer(0, 3)):
        long, wide = rng.uniform(0.3, 1.0) * width, rng.uniform(1.0, 0.6 * depth)
        x, y = rng.uniform(0.0, width - long), rng.uniform(0.0, depth - wide)
        top = rng.pick([0.0, 0.0, 0.12]) + 0.012 * (k + 1)
        place.between((x, y, -0.03), (x + long, y + wide, top), om.ground(rng))


def _garden_table(rng: Rng) -> Piece:
    return furniture.table(rng)


def _carton(rng: Rng) -> Piece:
    return Piece(0.6, 0.6, lambda place: clutter.carton(place, 2.0))


def _steps(rng: Rng) -> Piece:
    return fittings.stairs(rng, rise=rng.uniform(0.5, 1.5))


def _things(place: Place, lineup: Lineup, width: float, depth: float) -> None:
    """Cars, people, trees, benches and everything else that stands in yards, on free ground."""
    rng, stage = place.rng, place.stage
    makes = [
        bush, bush, bin_or_box, bin_or_box, bench, lamp_post, sign_post, shed, shelter, person, person, _garden_table,
        seats_and_beds.chair, _carton, _steps,
    ]  # fmt: skip
    for _ in range(rng.integer(8, 26)):
        style = rng.uniform(0.0, 1.0)
        if style < 0.22:
            piece = car(rng, detailed=rng.chance(0.4))
        elif style < 0.25:
            piece = van(rng, detailed=False)
        elif style < 0.32:
            piece = bicycle(rng, ridden=rng.chance(0.2))
        elif style < 0.45:
            piece = tree(rng, height=rng.uniform(3.0, 9.0), crowns=rng.integer(4, 8))
        else:
            piece = rng.pick(makes)(rng)
        yaw = rng.pick([0.0, 0.5, 1.0, 1.5]) * math.pi + rng.triangular(-0.2, 0.2, 0.0)
        if rng.chance(0.25):
            yaw = rng.uniform(-math.pi, math.pi)
        x, y = rng.uniform(0.0, width), rng.uniform(0.0, depth)
        if stage.claim(Footprint(x, y, piece.width / 2, piece.depth / 2, yaw), gap=0.15):
            lineup.add(rng.uniform(0.5, 3.0), piece, place.at(x, y, yaw=yaw))
