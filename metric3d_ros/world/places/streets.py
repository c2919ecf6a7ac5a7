"""Streets and country roads, as a car, a robot or a walker sees them."""

import math
from dataclasses import dataclass, field

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import SceneDraft
from metric3d_ros.world.objects import outdoor_presets as op
from metric3d_ros.world.objects import presets
from metric3d_ros.world.objects.people import person
from metric3d_ros.world.objects.placing import Footprint, Lineup, Piece, Place, Point, Stage
from metric3d_ros.world.objects.plants import bush, hedge, tree, wood
from metric3d_ros.world.objects.street_things import (
    bench,
    bin_or_box,
    bridge,
    fence,
    house,
    lamp_post,
    shed,
    shelter,
    sign_post,
)
from metric3d_ros.world.objects.vehicles import bicycle, car, tram, van
from metric3d_ros.world.places.roads import Profile, Road, draw_road, lay_road
from metric3d_ros.world.places.staging import StagedScene, fill, light_outdoors

MAX_SOLIDS = 120
MIN_SOLIDS = 40
REACH_M = 190.0  # from the cameras to the end of the enclosure, at least
NEAR_M = 28.0  # within which things have their details


@dataclass(frozen=True)
class RoadStandpoints:
    """On the lanes, mostly, looking along the road; on the pavements, and anywhere beside the road."""

    road: Road
    profile: Profile

    def draw(self, rng: Rng) -> tuple[Point, float]:
        """Return a position, its height as of cars, hands and small robots, and a yaw."""
        where, profile = rng.uniform(0.0, 1.0), self.profile
        s, level = rng.uniform(-6.0, 22.0), 0.0
        if where < 0.62:
            t = rng.pick(profile.lanes) + rng.uniform(-0.4, 0.4)
        elif where < 0.85 and profile.pavements:
            low, high, level = rng.pick(profile.pavements)
            t = rng.uniform(low, high)
        else:
            t = rng.uniform(-profile.right - 1.0, profile.left + 1.0)
        height = rng.triangular(1.35, 1.95, 1.6) if rng.chance(0.75) else rng.uniform(0.25, 2.5)
        x, y, z, yaw = self.road.at(s, t)
        turn = rng.uniform(0.0, 1.0)
        if turn < 0.55:
            yaw += rng.triangular(-0.3, 0.3, 0.0)
        elif turn < 0.7:
            yaw += math.pi + rng.triangular(-0.4, 0.4, 0.0)
        else:
            yaw += rng.uniform(-math.pi, math.pi)
        return (x, y, z + level + height), yaw


def draw_street(seed: int) -> StagedScene:
    """Return the street scene of a seed."""
    attempt = 0
    while True:
        rng = Rng(seed, attempt, 13)
        stage = Stage(rng, rng.integer(MAX_SOLIDS - 30, MAX_SOLIDS))
        road = draw_road(rng)
        street = Street(Place(stage), road)
        soil = op.ground(rng)
        if not road.is_level:
            road.strip(street.root, -150.0, 150.0, top=-0.03, thickness=2.0, material=soil)
        street.profile = lay_road(street.root, road)
        if road.is_level and rng.chance(0.3):
            _side_street(street)
        _frontages(street)
        _backdrop(street)
        _traffic(street)
        _street_furniture(street)
        street.lineup.build(stage)
        staged = _finish(street, soil, seed)
        if MIN_SOLIDS <= staged.scene.solid_count <= MAX_SOLIDS:
            return staged
        attempt += 1


@dataclass
class Street:
    """A street while it is being lined with things."""

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
        """Return where the frontage of a side begins, from the middle of the road, and its level."""
        p = self.profile
        return (p.left, p.left_level) if side > 0 else (p.right, p.right_level)

    def put(self, rank: float, piece: Piece, s: float, t: float, *, lift: float = 0.0, turn: float = 0.0) -> None:
        """Line up a piece whose front faces the road; `rank` times its distance says how late it is built."""
        if self.junction is not None:
            middle, half, side = self.junction
            beside = abs(t) > self.profile.half_width + 0.3 and t * side >= 0
            if beside and abs(s - middle) < half + max(piece.width, 0.5) / 2:
                return
        place = self.road.facing(self.root, s, t, lift=lift)
        self.lineup.add(rank * (5.0 + abs(s - 10.0)), piece, place if turn == 0.0 else place.at(0.0, 0.0, yaw=turn))


def _frontages(street: Street) -> None:
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
            street.put(1.5, rng.pick([bush, bush, _small_tree])(rng), s, t, lift=level)


def _side_street(street: Street) -> None:
    """A street that crosses, or ends at, the road: nothing stands where it lies."""
    rng, half = street.rng, street.rng.uniform(2.4, 4.5)
    s, only = rng.uniform(8.0, 45.0), rng.pick([0, 0, 1, -1])
    street.junction = (s, half, only)
    asphalt = op.asphalt(rng)
    for side in (1, -1):
        if only in (0, side):
            edge, level = street.edge(side)
            start, end = street.profile.half_width, rng.uniform(60.0, 110.0)
            place = street.road.place(street.root, s, side * (start + end) / 2)
            place.box((0.0, 0.0, level - 0.244), (2 * half, end - start, 0.5), asphalt)
            for _ in range(rng.integer(0, 2)):
                turn = rng.pick([-1, 1])
                spot = street.road.place(
                    street.root, s - 0.45 * half * turn, side * rng.uniform(edge + 3.0, 45.0), lift=level
                )
                street.lineup.add(8.0, car(rng, detailed=False), spot.at(0.0, 0.0, yaw=turn * math.pi / 2))


def _backdrop(street: Street) -> None:
    """Woods, hills and houses far off, on both sides and where the road ends, so that few horizons are bare."""
    rng = street.rng
    bare = rng.chance(0.06)
    green, dense = op.foliage(rng), rng.uniform(0.55, 1.0)
    for side in (1, -1):
        edge, _ = street.edge(side)
        if bare or rng.chance(0.05):
            continue
        out, s = rng.uniform(14.0, 70.0), rng.uniform(-50.0, -20.0)
        while s < 165.0:
            width = rng.uniform(18.0, 55.0)
            if rng.chance(dense):
                t = side * (edge + out + rng.uniform(-4.0, 10.0))
                street.put(0.06, _far_thing(rng, width, green), s + width / 2, t)
            s += width * rng.uniform(0.7, 1.3)
    for _ in range(0 if bare else rng.integer(3, 7)):
        width = rng.uniform(18.0, 50.0)
        thing = _far_thing(rng, width, green)
        street.put(0.03, thing, street.road.end + rng.uniform(0.0, 8.0), rng.uniform(-70.0, 70.0), turn=math.pi / 2)


def _far_thing(rng: Rng, width: float, green: Material) -> Piece:
    if rng.chance(0.4):
        return house(rng, width=min(width, 24.0), storeys=rng.integer(1, 5), detail=0, detached=rng.chance(0.5))
    return wood(rng, width=width, height=rng.uniform(5.0, 16.0), green=green if rng.chance(0.6) else op.foliage(rng))


def _small_tree(rng: Rng) -> Piece:
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
        height, green = rng.uniform(7.0, 16.0), op.foliage(rng)
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
        green = op.foliage(rng) if rng.chance(0.6) else op.grass(rng)
        for _ in range(rng.integer(1, 3)):
            hill = _hill((rng.uniform(15.0, 30.0), rng.uniform(8.0, 14.0), rng.uniform(8.0, 26.0)), green)
            street.put(0.2, hill, rng.uniform(30.0, 130.0), side * rng.uniform(70.0, 110.0))


def _bank(street: Street, side: int, edge: float) -> None:
    """A slope of grass or earth that rises beside the road."""
    rng = street.rng
    material = op.grass(rng) if rng.chance(0.7) else op.soil(rng)
    slope, width = rng.uniform(0.15, 0.65), rng.uniform(4.0, 12.0)
    for segment in street.road.segments:
        spot = street.road.facing(street.root, segment.s + segment.length / 2, side * edge)
        # Facing the road, +y is away from it.
        frame = spot.at(0.0, 0.0, roll=slope)
        thick = 2.0 + 1.2 * width * slope  # nothing shows below it
        frame.box((0.0, width / 2, -thick / 2), (segment.length, width + 0.5, thick), material)


def _traffic(street: Street) -> None:
    """Parked cars, cars that drive, vans, a tram, people and bicycles."""
    rng, stage, profile = street.rng, street.root.stage, street.profile

    def put(s: float, t: float, *, turn: float, rank: float) -> None:
        near = abs(s - 10.0) < 16.0
        piece = van(rng, detailed=near) if rng.chance(0.15) else car(rng, detailed=near)
        if stage.claim(Footprint(s, t, piece.width / 2, piece.depth / 2, turn), gap=0.35):
            pitch = math.atan(street.road.segment_at(s).grade) * math.cos(turn)
            place = street.road.place(street.root, s, t, turn=turn).at(0.0, 0.0, pitch=pitch)
            street.lineup.add(rank * (5.0 + abs(s - 10.0)), piece, place)

    for t in profile.parking:
        s, density = rng.uniform(-30.0, -6.0), rng.uniform(0.25, 0.9)
        while s < 80.0:
            if rng.chance(density):
                put(s, t, turn=rng.pick([0.0, math.pi]) + rng.triangular(-0.06, 0.06, 0.0), rank=0.8)
            s += rng.uniform(5.2, 8.0)
    for _ in range(rng.integer(0, 5)):
        t = rng.pick(profile.lanes)
        s = rng.uniform(9.0, 90.0) if rng.chance(0.8) else rng.uniform(-40.0, -12.0)
        put(s, t + rng.uniform(-0.3, 0.3), turn=0.0 if t < 0 else math.pi, rank=0.5)
    if not profile.parking and rng.chance(0.3):
        put(rng.uniform(5.0, 30.0), -profile.half_width + 0.8, turn=0.0, rank=0.5)
    if rng.chance(0.05):
        street.put(0.2, tram(rng), rng.uniform(35.0, 70.0), profile.left - 3.0)
    for _ in range(rng.integer(0, 4)):
        piece = person(rng) if rng.chance(0.75) else bicycle(rng, ridden=rng.chance(0.7))
        s, lift = rng.uniform(2.0, 40.0), 0.0
        t = rng.uniform(-1.1, 1.1) * profile.half_width
        if profile.pavements and rng.chance(0.8):
            low, high, lift = rng.pick(profile.pavements)
            t = rng.uniform(low + 0.3, high - 0.3)
        yaw = rng.pick([0.0, math.pi / 2, math.pi, -math.pi / 2]) + rng.uniform(-0.4, 0.4)
        if stage.claim(Footprint(s, t, piece.width / 2, piece.depth / 2, yaw), gap=0.2):
            street.put(0.6, piece, s, t, lift=lift, turn=yaw)
    if rng.chance(0.06):
        span = bridge(rng, span=2 * profile.half_width + 6)
        street.lineup.add(0.0, span, street.road.place(street.root, rng.uniform(45, 90), 0.0, turn=math.pi / 2))


def _street_furniture(street: Street) -> None:
    """Lamp posts, signs, bins, benches, shelters, and trees in rows, along the carriageway's edges."""
    rng, stage, profile = street.rng, street.root.stage, street.profile

    def put(rank: float, piece: Piece, s: float, t: float, lift: float, turn: float = 0.0) -> None:
        if stage.claim(Footprint(s, t, piece.width / 2, piece.depth / 2, turn), gap=0.1):
            street.put(rank, piece, s, t, lift=lift, turn=turn)

    for side in (1, -1):
        edge, level = street.edge(side)
        kerb = max((abs(p) + 1.1 for p in profile.parking if p * side > 0), default=profile.half_width) + 0.5
        row, drawn = rng.uniform(0.0, 1.0), rng.integer(0, 10**6)
        s, step = rng.uniform(-12.0, 8.0), rng.uniform(14.0, 35.0)
        while row < 0.6 and s < 110.0:
            if row < 0.3:
                put(0.5, lamp_post(Rng(drawn)), s, side * kerb, level)
            else:
                piece = tree(Rng(drawn), height=rng.uniform(5.0, 11.0), crowns=7 if s < 30 else 3)
                put(0.6, piece, s, side * (kerb + 0.3), level)
            s += step * (1.0 if s < 50 else 1.8)
        for _ in range(rng.integer(0, 5)):
            piece = rng.pick([sign_post, sign_post, bin_or_box, bin_or_box, bench, shelter])(rng)
            along, t = rng.uniform(-2.0, 45.0), side * rng.uniform(kerb, max(kerb + 0.2, edge - 0.3))
            turn = rng.triangular(-0.3, 0.3, 0.0)
            if piece.depth > 1.5:
                t = side * (edge - 0.2)
            if rng.chance(0.3):
                turn = -side * math.pi / 2  # signs face those who drive
            put(0.9, piece, along, t, level, turn)
    if rng.chance(0.12):  # wires across
        wire = presets.cable(rng)
        for k in range(rng.integer(1, 3)):
            s, height = 15.0 + 20.0 * k, rng.uniform(5.5, 7.0)
            a, b = street.road.at(s, profile.left), street.road.at(s + rng.uniform(-5, 5), -profile.right)
            street.root.rod((a[0], a[1], a[2] + height), (b[0], b[1], b[2] + height), 0.015, wire)


def _finish(street: Street, soil: Material, seed: int) -> StagedScene:
    """Light the scene by sun and sky, or by an overcast sky, and close it."""
    rng, road = street.rng, street.road
    # A level road lies a little above the enclosure's floor; a hilly one brings its own ground.
    lowest = min(min(part.z, part.z + part.length * part.grade) for part in road.segments)
    base = -0.03 if road.is_level else lowest - 6.0
    overcast = rng.chance(0.4)
    sky = op.sky(rng, overcast=overcast)
    low, high = (-REACH_M - 10, -REACH_M, base), (REACH_M + 10, REACH_M, 90.0)
    draft = SceneDraft(low, high, [sky, sky, sky, sky, soil, sky])
    buried = 100.0  # the lower parts of hills and houses may be
    fill(draft, street.root.stage.solids, within=((low[0], low[1], low[2] - buried), high))
    light_outdoors(draft, rng, overcast=overcast)
    return StagedScene(draft.finish(seed, "street"), RoadStandpoints(road, street.profile))
