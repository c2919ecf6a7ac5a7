"""The two sides of a street: rows of houses, gardens, halls, woods, fields, banks."""

from dataclasses import dataclass, field

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.outdoors.street_things import (
    fence,
    house,
    shed,
)
from metric3d_ros.world.objects.placing import Lineup, Piece, Place, Point
from metric3d_ros.world.objects.plants import bush, hedge, tree, wood
from metric3d_ros.world.places.roads import Profile, Road

NEAR_M = 28.0  # within which things have their details


@dataclass
class Street:
    """A street under construction."""

    root: Place
    road: Road
    lineup: Lineup = field(default_factory=Lineup)
    profile: Profile = field(default_factory=Profile)
    junction: tuple[float, float, int] | None = None  # s of a side street's middle, half its width, its side or 0: both

    @property
    def rng(self) -> Rng:
        """The scene's source of random numbers."""
        return self.root.rng

    def edge(self, side: int) -> tuple[float, float]:
        """Return the distance of a side's frontage from the middle of the road, and its level."""
        p = self.profile
        return (p.left, p.left_level) if side > 0 else (p.right, p.right_level)

    def put(self, rank: float, piece: Piece, s: float, t: float, *, lift: float = 0.0, turn: float = 0.0) -> None:
        """Line up a piece whose front faces the road; pieces are built in the order of `rank` times distance."""
        if self.junction is not None:
            middle, half, side = self.junction
            beside = abs(t) > self.profile.half_width + 0.3 and t * side >= 0
            if beside and abs(s - middle) < half + max(piece.width, 0.5) / 2:
                return
        place = self.road.facing(self.root, s, t, lift=lift)
        self.lineup.add(rank * (5.0 + abs(s - 10.0)), piece, place if turn == 0.0 else place.at(0.0, 0.0, yaw=turn))


def frontages(street: Street) -> None:
    """Line both sides with houses, gardens, walls, woods or fields."""
    rng = street.rng
    town = rng.pick(
        ["row", "row", "row", "detached", "detached", "detached", "mixed", "mixed", "country", "industry", "park"]
    )
    for side in (1, -1):
        style = town
        if town == "mixed" or rng.chance(0.25):
            style = rng.pick(["row", "detached", "wall", "woods", "country", "industry", "hedge", "park"])
        edge, level = street.edge(side)
        if style == "row":
            _row_of_houses(street, side)
        elif style == "detached":
            _detached_houses(street, side)
        elif style == "industry":
            _industry(street, side)
        else:
            _open_country(street, side, style)
        if style == "row":
            continue
        if rng.chance(0.3):
            _bank(street, side, edge + rng.uniform(3.0, 9.0))
        for _ in range(rng.integer(0, 6)):
            s, t = rng.uniform(-5.0, 60.0), side * (edge + rng.uniform(0.5, 5.0))
            street.put(1.5, rng.pick([bush, bush, small_tree])(rng), s, t, lift=level)


def small_tree(rng: Rng) -> Piece:
    return tree(rng, height=rng.uniform(2.5, 6.0), crowns=rng.integer(2, 4))


def _row_of_houses(street: Street, side: int) -> None:
    """Houses wall to wall, with a gap now and then."""
    rng, s = street.rng, -45.0
    edge, level = street.edge(side)
    storeys = rng.integer(2, 5)
    back = rng.pick([0.0, 0.0, rng.uniform(1.0, 5.0)])
    details = 1
    while s < 150.0:
        width = rng.uniform(8.0, 20.0) if s < 60 else rng.uniform(20.0, 45.0)
        near = -8.0 < s < NEAR_M and details > 0 and rng.chance(0.6)
        details -= near
        high = max(1, storeys + rng.integer(-1, 1))
        piece = house(rng, width=width, storeys=high, detail=rng.integer(9, 16) if near else 0, detached=False)
        t = side * (edge + back + piece.depth / 2 + rng.uniform(0.0, 0.4))
        street.put(0.25, piece, s + width / 2, t, lift=level)
        s += width + (rng.uniform(2.0, 12.0) if rng.chance(0.15) else 0.05)


def _detached_houses(street: Street, side: int) -> None:
    """Houses in gardens behind fences, walls and hedges, with trees between."""
    rng, s = street.rng, -30.0
    edge, level = street.edge(side)
    border = rng.pick(["fence", "hedge", "none", "mixed"])
    details = 1
    while s < 130.0:
        width = rng.uniform(8.0, 15.0)
        near = -8.0 < s < NEAR_M and details > 0
        details -= near
        detail = rng.integer(8, 13) if near else 0
        piece = house(rng, width=width, storeys=rng.integer(1, 3), detail=detail, detached=True)
        t = side * (edge + rng.uniform(3.0, 9.0) + piece.depth / 2)
        street.put(0.4, piece, s + width / 2, t, lift=level, turn=rng.triangular(-0.2, 0.2, 0.0))
        if s < 75.0 and border != "none":
            kind = rng.pick(["fence", "hedge"]) if border == "mixed" else border
            long = width + 4.0
            made = fence(rng, length=long) if kind == "fence" else hedge(rng, length=long)
            street.put(0.8, made, s + width / 2, side * (edge + 0.5), lift=level)
        if rng.chance(0.6) and s < 90:
            piece = tree(rng, height=rng.uniform(4.0, 11.0), crowns=6 if s < 30 else 3)
            street.put(0.9, piece, s - 2.0, side * (edge + rng.uniform(1.5, 8.0)), lift=level)
        s += width + rng.uniform(4.0, 14.0) * (1.0 if s < 60 else 2.5)


def _industry(street: Street, side: int) -> None:
    """Halls, sheds and containers behind a fence, far apart."""
    rng, s = street.rng, -30.0
    edge, level = street.edge(side)
    street.put(0.5, fence(rng, length=60.0), 15.0, side * (edge + 0.6), lift=level)
    while s < 140.0:
        if rng.chance(0.4) and s < 60:
            piece = shed(rng)
        else:
            piece = house(rng, width=rng.uniform(15.0, 45.0), storeys=rng.integer(1, 4), detail=0, detached=False)
        t = side * (edge + rng.uniform(2.0, 16.0) + piece.depth / 2)
        street.put(0.4, piece, s + piece.width / 2, t, lift=level)
        s += piece.width + rng.uniform(3.0, 20.0)


def _hill(radii: Point, material: Material) -> Piece:
    """A hill: half an ellipsoid."""
    return Piece(2 * radii[0], 2 * radii[1], lambda place: place.ball((0.0, 0.0, -0.15 * radii[2]), radii, material))


def _open_country(street: Street, side: int, style: str) -> None:
    """A wall, a wood's edge, a long hedge, a park, or fields with trees, hills and far houses."""
    rng = street.rng
    edge, level = street.edge(side)
    if style == "wall":
        for s in (-30.0, 25.0, 80.0):
            street.put(0.3, fence(rng, length=55.0), s + 27.0, side * (edge + 0.5), lift=level)
    if style == "hedge" or (style == "country" and rng.chance(0.3)):
        for s in (-30.0, 20.0, 70.0):
            street.put(0.3, hedge(rng, length=50.0), s + 25.0, side * (edge + 0.8), lift=level)
    if style in ("woods", "wall", "hedge", "park"):
        depth = rng.uniform(2.0, 6.0) if style != "park" else rng.uniform(8.0, 20.0)
        height, green = rng.uniform(7.0, 16.0), om.foliage(rng)
        for s in (40.0, 75.0, 115.0):
            behind = wood(rng, width=36.0, height=height * rng.uniform(0.8, 1.1), green=green)
            street.put(0.3, behind, s, side * (edge + depth + 5.0), lift=level)
        s = -25.0
        while s < 50.0:
            piece = tree(rng, height=height * rng.uniform(0.5, 1.1), crowns=4 if style == "woods" or s > 30 else 7)
            street.put(0.7, piece, s, side * (edge + rng.uniform(1.0, depth + 4.0)), lift=level)
            s += rng.uniform(4.0, 14.0)
        return
    for _ in range(rng.integer(1, 5)):
        s, t = rng.uniform(20.0, 140.0), side * (edge + rng.uniform(10.0, 90.0))
        if rng.chance(0.35):
            piece = house(rng, width=rng.uniform(9.0, 16.0), storeys=rng.integer(1, 2), detail=0, detached=True)
        else:
            piece = tree(rng, height=rng.uniform(5.0, 14.0), crowns=3)
        street.put(0.4, piece, s, t, lift=level)
    if rng.chance(0.6):  # a wood or hills on the horizon
        green = om.foliage(rng) if rng.chance(0.6) else om.grass(rng)
        for _ in range(rng.integer(1, 3)):
            hill = _hill((rng.uniform(15.0, 30.0), rng.uniform(8.0, 14.0), rng.uniform(8.0, 26.0)), green)
            street.put(0.2, hill, rng.uniform(30.0, 130.0), side * rng.uniform(70.0, 110.0))


def _bank(street: Street, side: int, edge: float) -> None:
    """A slope of grass or earth that rises beside the road."""
    rng = street.rng
    material = om.grass(rng) if rng.chance(0.7) else om.soil(rng)
    slope, width = rng.uniform(0.15, 0.65), rng.uniform(4.0, 12.0)
    for segment in street.road.segments:
        spot = street.road.facing(street.root, segment.s + segment.length / 2, side * edge)
        # Facing the road, +y is away from it.
        frame = spot.at(0.0, 0.0, roll=slope)
        thick = 2.0 + 1.2 * width * slope  # nothing shows below it
        frame.box((0.0, width / 2, -thick / 2), (segment.length, width + 0.5, thick), material)
