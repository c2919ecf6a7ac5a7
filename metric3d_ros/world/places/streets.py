"""Streets and country roads, with standpoints of cars, robots and pedestrians."""

import math
from dataclasses import dataclass

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import SceneDraft
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.outdoors.street_things import (
    bench,
    bin_or_box,
    bridge,
    house,
    lamp_post,
    shelter,
    sign_post,
)
from metric3d_ros.world.objects.outdoors.vehicles import bicycle, car, tram, van
from metric3d_ros.world.objects.people import person
from metric3d_ros.world.objects.placing import Footprint, Piece, Place, Point, Stage
from metric3d_ros.world.objects.plants import tree, wood
from metric3d_ros.world.places.roads import Profile, Road, draw_road, lay_road
from metric3d_ros.world.places.staging import StagedScene, fill, light_outdoors
from metric3d_ros.world.places.street_sides import Street, frontages

MAX_SOLIDS = 120
MIN_SOLIDS = 40
REACH_M = 190.0  # from the cameras to the end of the enclosure, at least


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
        soil = om.ground(rng)
        if not road.is_level:
            road.strip(street.root, -150.0, 150.0, top=-0.03, thickness=2.0, material=soil)
        street.profile = lay_road(street.root, road)
        if road.is_level and rng.chance(0.3):
            _side_street(street)
        frontages(street)
        _backdrop(street)
        _traffic(street)
        _street_furniture(street)
        street.lineup.build(stage)
        staged = _finish(street, soil, seed)
        if MIN_SOLIDS <= staged.scene.solid_count <= MAX_SOLIDS:
            return staged
        attempt += 1


def _side_street(street: Street) -> None:
    """A street that crosses, or ends at, the road: nothing stands where it lies."""
    rng, half = street.rng, street.rng.uniform(2.4, 4.5)
    s, only = rng.uniform(8.0, 45.0), rng.pick([0, 0, 1, -1])
    street.junction = (s, half, only)
    asphalt = om.asphalt(rng)
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
    green, dense = om.foliage(rng), rng.uniform(0.55, 1.0)
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
    return wood(rng, width=width, height=rng.uniform(5.0, 16.0), green=green if rng.chance(0.6) else om.foliage(rng))


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
        wire = tm.cable(rng)
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
    sky = om.sky(rng, overcast=overcast)
    low, high = (-REACH_M - 10, -REACH_M, base), (REACH_M + 10, REACH_M, 90.0)
    draft = SceneDraft(low, high, [sky, sky, sky, sky, soil, sky])
    buried = 100.0  # the lower parts of hills and houses may be
    fill(draft, street.root.stage.solids, within=((low[0], low[1], low[2] - buried), high))
    light_outdoors(draft, rng, overcast=overcast)
    return StagedScene(draft.finish(seed, "street"), RoadStandpoints(road, street.profile))
