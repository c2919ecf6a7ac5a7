"""A road as a line with bends and grades, the strips along it, and the frames of objects beside it."""

import math
from dataclasses import dataclass, replace

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.placing import Place

KERB_M = 0.12


@dataclass(frozen=True)
class Segment:
    """A straight piece: from s to s + length along the road, starting at x, y, z; `grade` is the rise per metre."""

    s: float
    length: float
    x: float
    y: float
    z: float
    yaw: float
    grade: float


@dataclass(frozen=True)
class Road:
    """The middle of a road; s runs along it from behind the cameras, t across it to the left, both in metres."""

    segments: tuple[Segment, ...]

    @property
    def start(self) -> float:
        """Where the road begins."""
        return self.segments[0].s

    @property
    def end(self) -> float:
        """Where the road ends."""
        return self.segments[-1].s + self.segments[-1].length

    @property
    def is_level(self) -> bool:
        """Return whether the road lies in one plane."""
        return all(segment.grade == 0.0 for segment in self.segments)

    def segment_at(self, s: float) -> Segment:
        """Return the segment that holds s."""
        for segment in reversed(self.segments):
            if s >= segment.s:
                return segment
        return self.segments[0]

    def at(self, s: float, t: float) -> tuple[float, float, float, float]:
        """Return x, y, z and the yaw of the road's direction."""
        segment = self.segment_at(s)
        along, c, si = s - segment.s, math.cos(segment.yaw), math.sin(segment.yaw)
        return (
            segment.x + along * c - t * si,
            segment.y + along * si + t * c,
            segment.z + along * segment.grade,
            segment.yaw,
        )

    def place(self, root: Place, s: float, t: float, *, turn: float = 0.0, lift: float = 0.0) -> Place:
        """Return an upright frame beside the road, its x along the road turned by `turn`."""
        x, y, z, yaw = self.at(s, t)
        return root.at(x, y, z + lift, yaw=yaw + turn)

    def facing(self, root: Place, s: float, t: float, *, lift: float = 0.0) -> Place:
        """Return an upright frame whose front, -y, faces the road."""
        return self.place(root, s, t, turn=0.0 if t > 0 else math.pi, lift=lift)

    def strip(
        self, root: Place, low_t: float, high_t: float, *, top: float, thickness: float, material: Material
    ) -> None:
        """Lay a strip between two distances from the middle along the whole road, `top` above the road."""
        for index, segment in enumerate(self.segments):
            # The outer sides of bends are closed by letting the pieces overlap.
            reach = max(abs(low_t), abs(high_t))
            before = reach * abs(math.tan((segment.yaw - self.segments[index - 1].yaw) / 2)) if index else 0.0
            following = self.segments[index + 1] if index + 1 < len(self.segments) else None
            after = reach * abs(math.tan((following.yaw - segment.yaw) / 2)) if following else 0.0
            length = before + segment.length + after
            middle = segment.s + (segment.length + after - before) / 2
            x, y, z, yaw = self.at(segment.s, 0.0)
            along = middle - segment.s
            x, y, z = x + along * math.cos(yaw), y + along * math.sin(yaw), z + along * segment.grade
            slant = math.sqrt(1 + segment.grade * segment.grade)
            frame = root.at(x, y, z, yaw=yaw, pitch=math.atan(segment.grade))
            size = (length * slant, high_t - low_t, thickness)
            frame.box((0.0, (low_t + high_t) / 2, top - thickness / 2), size, material)


def draw_road(rng: Rng) -> Road:
    """Draw a road from 55 m behind to 160 m before the cameras: straight, bent, or over hills."""
    style = rng.uniform(0.0, 1.0)
    yaw = rng.uniform(-0.2, 0.2)
    lengths = [rng.uniform(70.0, 130.0)]
    lengths.append(215.0 - sum(lengths))
    bends, grades = [0.0, 0.0], [0.0, 0.0]
    if style < 0.45:
        lengths, bends, grades = [215.0], [0.0], [0.0]
    elif style < 0.75:
        turn = rng.pick([-1, 1]) * rng.uniform(0.1, 0.6)
        bends = [0.0, turn]
    else:
        grades = [rng.triangular(-0.08, 0.08, 0.0), rng.triangular(-0.1, 0.1, 0.0)]
    s, x, y, z = -55.0, 0.0, 0.0, 0.0
    # The camera's zone, around s = 0, is at the origin.
    x, y, z = s * math.cos(yaw), s * math.sin(yaw), s * grades[0]
    segments = []
    for length, bend, grade in zip(lengths, bends, grades, strict=True):
        yaw += bend
        segments.append(Segment(s, length, x, y, z, yaw, grade))
        s, z = s + length, z + length * grade
        x, y = x + length * math.cos(yaw), y + length * math.sin(yaw)
    return Road(tuple(segments))


@dataclass
class Profile:
    """The road's cross-section under construction: the used width of each side, and the level of its edge."""

    half_width: float = 3.0
    left: float = 3.0  # from the middle to where the left side's frontage begins
    right: float = 3.0
    left_level: float = 0.0
    right_level: float = 0.0
    lanes: tuple[float, ...] = (0.0,)  # the middles of the lanes that a camera car may use
    parking: tuple[float, ...] = ()  # t of parked cars, negative on the right
    pavements: tuple[tuple[float, float, float], ...] = ()  # low t, high t, level


def lay_road(root: Place, road: Road) -> Profile:
    """Lay carriageway, lines, kerbs, pavements, verges, cycle paths, tracks and banks; return the cross-section."""
    rng = root.rng
    lane, count = rng.uniform(2.75, 3.5), rng.pick([1, 2, 2, 2, 2, 3, 4])
    half = lane * count / 2
    surface = om.asphalt(rng) if rng.chance(0.88) else om.paving(rng)
    parking: list[float] = []
    pavements: list[tuple[float, float, float]] = []
    edges = {1: half, -1: half}
    for side in (1, -1):
        if rng.chance(0.55):
            parking.append(side * (half + 1.0))
            edges[side] += 2.1
    if count > 1 and rng.chance(0.4):  # lines between lanes as part of the surface
        white = om.lane_mark(rng, dash=0.0, under=surface).colour
        surface = replace(surface, joint_colour=white, cell_u=1000.0, cell_v=lane, joint=rng.uniform(0.1, 0.16))
        road.strip(root, -half, half, top=0.0, thickness=0.3, material=surface)
        for side in (1, -1):
            if edges[side] > half:
                low, high = sorted((side * half, side * edges[side]))
                road.strip(root, low, high, top=0.0, thickness=0.3, material=om.asphalt(rng))
    else:
        road.strip(root, -edges[-1], edges[1], top=0.0, thickness=0.3, material=surface)
        _lines(root, road, half, lane, count, surface)
    levels: dict[int, float] = {}
    for side in (1, -1):
        edges[side], levels[side] = _roadside(root, road, side, edges[side], pavements)
    middles = tuple(-half + (k + 0.5) * lane for k in range(count))
    return Profile(half, edges[1], edges[-1], levels[1], levels[-1], middles, tuple(parking), tuple(pavements))


def _lines(root: Place, road: Road, half: float, lane: float, count: int, surface: Material) -> None:
    rng = root.rng
    if rng.chance(0.15):
        return
    wide = rng.uniform(0.1, 0.18)
    for k in range(1, count):
        t = -half + k * lane
        line = om.lane_mark(rng, dash=rng.pick([0.0, 3.0, 4.0, 6.0]), under=surface)
        road.strip(root, t - wide / 2, t + wide / 2, top=0.004, thickness=0.02, material=line)
    if rng.chance(0.55):
        line = om.lane_mark(rng, dash=rng.pick([0.0, 0.0, 1.5]), under=surface)
        for side in (-1, 1):
            t = side * (half - 0.15)
            road.strip(root, t - wide / 2, t + wide / 2, top=0.004, thickness=0.02, material=line)
    if rng.chance(0.25):
        crossing = om.lane_mark(rng, dash=0.5, under=surface)
        s = rng.uniform(6.0, 35.0)
        road.place(root, s, 0.0, turn=math.pi / 2).box((0.0, 0.0, -0.004), (2 * half, 3.0, 0.02), crossing)


def _roadside(
    root: Place, road: Road, side: int, edge: float, pavements: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """Lay one side outwards from the carriageway's edge; return where its frontage begins, and on what level."""
    rng, level = root.rng, 0.0

    def strip(width: float, top: float, material: Material) -> None:
        nonlocal edge
        low, high = (edge, edge + width) if side > 0 else (-edge - width, -edge)
        road.strip(root, low, high, top=top, thickness=0.5, material=material)
        edge += width

    if rng.chance(0.08):  # tracks on ballast
        rails, width = bm.metal(rng), rng.pick([4.0, 7.0])
        middle = side * (edge + width / 2)
        strip(width, 0.05, om.soil(rng))
        for shift in (-0.72, 0.72) if width < 5 else (-2.5, -1.06, 1.06, 2.5):
            t = middle + shift
            road.strip(root, t - 0.04, t + 0.04, top=0.16, thickness=0.2, material=rails)
    if rng.chance(0.75):
        level = KERB_M
        strip(0.14, level, om.kerb(rng))
        if rng.chance(0.25):
            strip(rng.uniform(1.0, 4.0), level + 0.02, om.grass(rng))
        width = rng.uniform(1.4, 4.5)
        low, high = (edge, edge + width) if side > 0 else (-edge - width, -edge)
        pavements.append((low, high, level))
        strip(width, level, om.paving(rng) if rng.chance(0.7) else om.asphalt(rng))
    else:
        strip(rng.uniform(0.6, 3.0), 0.01, om.grass(rng) if rng.chance(0.6) else om.soil(rng))
    if rng.chance(0.15):
        strip(rng.uniform(1.0, 5.0), level + 0.02, om.grass(rng))
    return edge, level
