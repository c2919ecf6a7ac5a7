"""Places solids: local frames that rotate and nest, occupied floor, surfaces on which objects may stand.

A piece of furniture is defined once in its own frame (x to its right, y to its back, z up, the origin on the floor
under its middle) and then placed anywhere, turned by any angle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng

Point = tuple[float, float, float]
Rotation = tuple[Point, Point, Point]  # rows of a 3 x 3 matrix, world from local

UPRIGHT: Rotation = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def turned(*, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Rotation:
    """Return the rotation that rolls about x, then pitches about y, then turns about z; radians.

    As in `solids.turn`: a positive yaw turns x towards y, pitch lifts x towards z, roll turns y towards z.
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), -math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )


def _apply(rotation: Rotation, point: Point) -> Point:
    (a, b, c), (d, e, f), (g, h, i) = rotation
    x, y, z = point
    return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z


def _compose(first: Rotation, second: Rotation) -> Rotation:
    columns = [_apply(first, (second[0][k], second[1][k], second[2][k])) for k in range(3)]
    return (
        (columns[0][0], columns[1][0], columns[2][0]),
        (columns[0][1], columns[1][1], columns[2][1]),
        (columns[0][2], columns[1][2], columns[2][2]),
    )


@dataclass(frozen=True)
class Solid:
    """A box (its size), an ellipsoid (its radii) or a cylinder (its radius and taper, from centre to top)."""

    kind: str
    centre: Point  # of a cylinder: the middle of its base
    size: Point
    material: Material
    rotation: Rotation = UPRIGHT
    top: Point = (0.0, 0.0, 0.0)  # of a cylinder only
    texture_origin: Point | None = None  # of a box: where its pattern starts, in the world; None: at its low corner


@dataclass(frozen=True)
class Footprint:
    """A rectangle on the floor: centre, half width and half depth, turned by `yaw`."""

    x: float
    y: float
    half_width: float
    half_depth: float
    yaw: float

    def overlaps(self, other: "Footprint", gap: float) -> bool:
        """Return whether two rectangles come closer than `gap` (along the normals of their sides)."""
        dx, dy = other.x - self.x, other.y - self.y
        reach = math.hypot(self.half_width, self.half_depth) + math.hypot(other.half_width, other.half_depth) + gap
        if dx * dx + dy * dy > reach * reach:
            return False
        turn = other.yaw - self.yaw
        along, across = abs(math.cos(turn)), abs(math.sin(turn))
        for yaw, own, foreign in ((self.yaw, self, other), (other.yaw, other, self)):
            c, s = math.cos(yaw), math.sin(yaw)
            if abs(dx * c + dy * s) > own.half_width + foreign.half_width * along + foreign.half_depth * across + gap:
                return False
            if abs(dy * c - dx * s) > own.half_depth + foreign.half_width * across + foreign.half_depth * along + gap:
                return False
        return True

    def bounds(self) -> tuple[float, float, float, float]:
        """Return x0, y0, x1, y1 of the axis-aligned rectangle around this one."""
        c, s = abs(math.cos(self.yaw)), abs(math.sin(self.yaw))
        reach_x, reach_y = self.half_width * c + self.half_depth * s, self.half_width * s + self.half_depth * c
        return self.x - reach_x, self.y - reach_y, self.x + reach_x, self.y + reach_y


@dataclass
class Stage:
    """Everything placed so far."""

    rng: Rng
    max_solids: int
    solids: list[Solid] = field(default_factory=list)
    surfaces: list["Surface"] = field(default_factory=list)
    taken: list[Footprint] = field(default_factory=list)
    lamps: list[Point] = field(default_factory=list)  # where lamps that were placed give their light from
    floor: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1 of what can be claimed; None: all of it

    def claim(self, footprint: Footprint, *, gap: float = 0.05) -> bool:
        """Reserve a piece of floor; return False if it is taken or not within the floor."""
        if self.floor is not None:
            x0, y0, x1, y1 = footprint.bounds()
            if x0 < self.floor[0] or y0 < self.floor[1] or x1 > self.floor[2] or y1 > self.floor[3]:
                return False
        if any(footprint.overlaps(other, gap) for other in self.taken):
            return False
        self.taken.append(footprint)
        return True

    def build(self, piece: "Piece", place: "Place") -> bool:
        """Build a piece; return False, and leave everything as it was, if it has more solids than there is room for."""
        solids, surfaces, lamps = len(self.solids), len(self.surfaces), len(self.lamps)
        piece.build(place)
        if len(self.solids) <= self.max_solids:
            return True
        del self.solids[solids:], self.surfaces[surfaces:], self.lamps[lamps:]
        return False


@dataclass(frozen=True)
class Place:
    """A local frame; the solids that are added in it go to the stage in world coordinates. Angles are radians."""

    stage: Stage
    origin: Point = (0.0, 0.0, 0.0)
    rotation: Rotation = UPRIGHT

    @property
    def rng(self) -> Rng:
        """The stage's source of random numbers."""
        return self.stage.rng

    def at(
        self, x: float, y: float, z: float = 0.0, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
    ) -> "Place":
        """Return a frame at a point of this one, turned against it."""
        return Place(self.stage, self.point(x, y, z), self._turn(yaw, pitch, roll))

    def point(self, x: float, y: float, z: float) -> Point:
        """Return the world coordinates of a point of this frame."""
        dx, dy, dz = _apply(self.rotation, (x, y, z))
        return self.origin[0] + dx, self.origin[1] + dy, self.origin[2] + dz

    def _turn(self, yaw: float, pitch: float, roll: float) -> Rotation:
        if yaw == 0.0 and pitch == 0.0 and roll == 0.0:
            return self.rotation
        own = turned(yaw=yaw, pitch=pitch, roll=roll)
        return own if self.rotation is UPRIGHT else _compose(self.rotation, own)

    def box(
        self,
        centre: Point,
        size: Point,
        material: Material,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """Add a box by its middle and its size."""
        self.stage.solids.append(Solid("box", self.point(*centre), size, material, self._turn(yaw, pitch, roll)))

    def between(self, low: Point, high: Point, material: Material, *, texture_origin: Point | None = None) -> None:
        """Add a box by two opposite corners, the lower one first; its pattern starts there or at `texture_origin`."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        centre, size = ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), (x1 - x0, y1 - y0, z1 - z0)
        start = None if texture_origin is None else self.point(*texture_origin)
        self.stage.solids.append(Solid("box", self.point(*centre), size, material, self.rotation, texture_origin=start))

    def ball(
        self,
        centre: Point,
        radii: Point,
        material: Material,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """Add an ellipsoid by its middle and its three radii."""
        self.stage.solids.append(Solid("ellipsoid", self.point(*centre), radii, material, self._turn(yaw, pitch, roll)))

    def rod(self, base: Point, top: Point, radius: float, material: Material, *, taper: float = 1.0) -> None:
        """Add a cylinder from the middle of its base to the middle of its top; `taper`: top radius / base radius."""
        size = (radius, taper, 0.0)
        self.stage.solids.append(Solid("cylinder", self.point(*base), size, material, UPRIGHT, self.point(*top)))

    def surface(self, width: float, depth: float, z: float, *, height: float = 0.45) -> None:
        """Add the rectangle around the origin, at height z, as a surface for other objects."""
        self.stage.surfaces.append(Surface(self.at(0.0, 0.0, z), width, depth, height))


@dataclass(frozen=True)
class Surface:
    """A level rectangle on which objects may stand; `height` is the free space above it."""

    place: Place
    width: float
    depth: float
    height: float


@dataclass(frozen=True)
class Piece:
    """An object to place: its footprint, and what builds it in a frame under its middle, its back at +y."""

    width: float
    depth: float
    build: Callable[[Place], None]


@dataclass
class Lineup:
    """A queue of pieces with their places, to be built in order of importance."""

    waiting: list[tuple[float, Piece, Place]] = field(default_factory=list)

    def add(self, rank: float, piece: Piece, place: Place) -> None:
        """Add a piece; those of low rank are built first."""
        self.waiting.append((rank, piece, place))

    def build(self, stage: Stage) -> None:
        """Build as many pieces as fit into the limit of solids."""
        for _, piece, place in sorted(self.waiting, key=lambda one: one[0]):
            if len(stage.solids) >= stage.max_solids:
                return
            stage.build(piece, place)


def stand_free(
    place: Place, piece: Piece, *, low: tuple[float, float], high: tuple[float, float], tries: int = 6, gap: float = 0.1
) -> bool:
    """Build a piece at a free spot of the rectangle low..high of `place`, at any angle; return whether it was built."""
    rng = place.rng
    for _ in range(tries):
        yaw = rng.pick([0.0, 0.5, 1.0, 1.5]) * math.pi + rng.triangular(-0.35, 0.35, 0.0)
        if rng.chance(0.3):
            yaw = rng.uniform(-math.pi, math.pi)
        spot = Footprint(0.0, 0.0, piece.width / 2, piece.depth / 2, yaw).bounds()
        if high[0] - low[0] < 2 * spot[2] or high[1] - low[1] < 2 * spot[3]:
            continue
        x, y = rng.uniform(low[0] + spot[2], high[0] - spot[2]), rng.uniform(low[1] + spot[3], high[1] - spot[3])
        if place.stage.claim(Footprint(x, y, piece.width / 2, piece.depth / 2, yaw), gap=gap):
            return place.stage.build(piece, place.at(x, y, yaw=yaw))
    return False


@dataclass(frozen=True)
class Wall:
    """The inner side of a wall: `start` on the floor, `yaw` along it with the room to the left, and its length."""

    x: float
    y: float
    yaw: float
    length: float

    def facing(self, along: float, out: float) -> tuple[float, float, float]:
        """Return x, y and yaw of something with its back to the wall: `along` it, its middle `out` in the room."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        # Its back, +y of its own frame, points at the wall; the room is to the left of the wall's direction.
        return self.x + along * c - out * s, self.y + along * s + out * c, self.yaw + math.pi


def room_walls(width: float, depth: float) -> tuple[Wall, Wall, Wall, Wall]:
    """Return the walls of a rectangle from the origin: at low y, high x, high y and low x."""
    return (
        Wall(0.0, 0.0, 0.0, width),
        Wall(width, 0.0, math.pi / 2, depth),
        Wall(width, depth, math.pi, width),
        Wall(0.0, depth, -math.pi / 2, depth),
    )


def stand_at_wall(
    place: Place, piece: Piece, walls: tuple[Wall, ...] | list[Wall], *, tries: int = 6, skew: float = 0.0
) -> bool:
    """Build a piece with its back to one of the walls, turned by up to `skew`; return whether it was built."""
    rng = place.rng
    for _ in range(tries):
        wall = rng.pick(walls)
        if piece.width > wall.length - 0.1:
            continue
        turn = rng.uniform(-skew, skew)
        out = piece.depth / 2 * math.cos(turn) + piece.width / 2 * abs(math.sin(turn)) + rng.uniform(0.01, 0.04)
        half = piece.width / 2 + 0.03
        x, y, yaw = wall.facing(rng.uniform(half, wall.length - half), out)
        if place.stage.claim(Footprint(x, y, piece.width / 2, piece.depth / 2, yaw + turn), gap=0.03):
            return place.stage.build(piece, place.at(x, y, yaw=yaw + turn))
    return False
