"""The shell of a furnished room: walls with doors and windows, the view behind them, level or sloped ceilings."""

import math
from dataclasses import dataclass, field, replace

from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.objects.indoors import fittings
from metric3d_ros.world.objects.materials import outdoors as om
from metric3d_ros.world.objects.materials import rooms as rm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Footprint, Place, Point, Wall, room_walls, turned
from metric3d_ros.world.objects.plants import hedge, tree

ATTIC_DEPTH_M = 2.2  # behind the slopes of an attic


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: from `start` along it, `width` x `height`, its lower edge at `bottom`."""

    start: float
    width: float
    bottom: float
    height: float
    is_door: bool


@dataclass
class Shell:
    """A room of width x depth x height with a corner at the origin, in an enclosure from `low` to `high`.

    Walls are numbered as by `room_walls`; `behind` is the space behind each, in metres, 0 if it is part of the
    enclosure. `blocked` are the stretches of each wall on which nothing can hang.
    """

    width: float
    depth: float
    height: float
    faces: list[Material]
    low: Point
    high: Point
    behind: list[float]
    thickness: float
    outdoors: bool = False
    blocked: list[list[tuple[float, float]]] = field(default_factory=lambda: [[], [], [], []])
    slope_low: float = 0.0  # floor that no camera can use beside low y and high y, because of a sloped ceiling
    slope_high: float = 0.0


def draw_shell(place: Place, size: Point, surfaces: str) -> Shell:
    """Draw the walls of a room: closed, with doors to neighbouring rooms, with real windows, or under a roof."""
    rng = place.rng
    style = rng.uniform(0.0, 1.0)
    wall = rm.wall(rng, surfaces)
    materials = [wall] * 4
    if rng.chance(0.4):
        materials[rng.integer(0, 3)] = rm.wall(rng, surfaces)
    floor, ceiling = rm.floor(rng, surfaces), rm.ceiling(rng, surfaces)
    shell = Shell(
        width=size[0],
        depth=size[1],
        height=size[2],
        # The enclosure's order: x low, x high, y low, y high.
        faces=[materials[3], materials[1], materials[0], materials[2], floor, ceiling],
        low=(0.0, 0.0, 0.0),
        high=size,
        behind=[0.0] * 4,
        thickness=rng.uniform(0.08, 0.3),
    )
    if style < 0.35:
        _closed(place, shell)
    elif style < 0.65:
        _beside_rooms(place, shell, materials)
    elif style < 0.90:
        _with_windows(place, shell, materials)
    else:
        _attic(place, shell)
    return shell


def _wall_frame(place: Place, wall: Wall) -> Place:
    """Return a frame at the wall's start: x along it, y into the wall (out of the room)."""
    # Along the wall the room is to the left, so what is to the right is behind it: mirrored by turning x.
    x, y, yaw = wall.facing(wall.length, 0.0)
    return place.at(x, y, yaw=yaw)


def _closed(place: Place, shell: Shell) -> None:
    """Doors that are shut and bright windows, both flat on the wall."""
    rng = place.rng
    walls = room_walls(shell.width, shell.depth)
    for _ in range(rng.integer(1, 2)):
        opening = _claim_opening(place, shell, walls, is_door=True)
        if opening is not None:
            index, hole = opening
            x, y, yaw = walls[index].facing(hole.start + hole.width / 2, 0.0)
            spot = place.at(x, y, yaw=yaw)
            fittings.door_frame(spot, hole.width, hole.height, 0.03)
            fittings.door_leaf(spot.at(-hole.width / 2, -0.015), hole.width, hole.height, open_by=0.0)
    for _ in range(rng.integer(0, 2)):
        opening = _claim_opening(place, shell, walls, is_door=False)
        if opening is not None:
            index, hole = opening
            x, y, yaw = walls[index].facing(hole.start + hole.width / 2, 0.0)
            spot = place.at(x, y, hole.bottom, yaw=yaw)
            pane = tm.window_pane(rng)
            spot.box((0.0, -0.01, hole.height / 2), (hole.width, 0.02, hole.height), pane)
            fittings.window_frame(spot.at(0.0, -0.03), hole.width, hole.height, 0.02)
            if rng.chance(0.5):
                fittings.curtains(place.at(x, y, yaw=yaw), hole.width, hole.bottom + hole.height + 0.12)
            if pane.glow > 0.5:
                place.stage.lamps.append(spot.point(0.0, -0.5, 0.6 * hole.height))


def _claim_opening(
    place: Place, shell: Shell, walls: tuple[Wall, ...], *, is_door: bool, only: list[int] | None = None
) -> tuple[int, Opening] | None:
    """Find a free stretch of a wall; the floor before a door is kept free."""
    rng = place.rng
    for _ in range(8):
        index = rng.pick(only or [0, 1, 2, 3])
        wall = walls[index]
        if is_door:
            width, height, bottom = rng.uniform(0.75, 1.0), rng.uniform(*fittings.DOOR_HEIGHT_M), 0.0
            if rng.chance(0.1):
                width = rng.uniform(1.2, 1.8)
        else:
            bottom = rng.pick([rng.uniform(0.75, 1.1), rng.uniform(0.75, 1.0), rng.uniform(0.1, 0.5), 1.4])
            width = rng.uniform(0.6, min(2.6, max(0.7, 0.8 * wall.length)))
            height = rng.uniform(0.5, max(0.6, shell.height - bottom - 0.15))
        height = min(height, shell.height - bottom - 0.08)
        if width + 0.5 > wall.length or height < 0.35:
            continue
        start = rng.uniform(0.2, wall.length - width - 0.2)
        if any(start - 0.15 < end and begin < start + width + 0.15 for begin, end in shell.blocked[index]):
            continue
        if is_door:
            x, y, yaw = wall.facing(start + width / 2, 0.5)
            if not place.stage.claim(Footprint(x, y, width / 2 + 0.05, 0.48, yaw), gap=0.0):
                continue
        shell.blocked[index].append((start - 0.1, start + width + 0.1))
        return index, Opening(start, width, bottom, height, is_door)
    return None


def _enlarge(shell: Shell) -> None:
    """Make the enclosure reach `behind` the walls."""
    low_y, high_x, high_y, low_x = shell.behind
    shell.low = (-low_x, -low_y, shell.low[2])
    shell.high = (shell.width + high_x, shell.depth + high_y, shell.high[2])


def _beside_rooms(place: Place, shell: Shell, materials: list[Material]) -> None:
    """Open doors, passages and hatches to rooms or corridors on one or two sides."""
    rng = place.rng
    walls = room_walls(shell.width, shell.depth)
    sides = [rng.integer(0, 3)]
    if rng.chance(0.35):
        sides.append((sides[0] + rng.integer(1, 3)) % 4)
    for side in sides:
        shell.behind[side] = shell.thickness + rng.uniform(1.1, 4.5)
        shell.faces[[2, 1, 3, 0][side]] = rm.wall(rng, "living")
    _enlarge(shell)
    holes: dict[int, list[Opening]] = {side: [] for side in sides}
    for side in sides:
        for is_door in [True, *([rng.chance(0.5)] if rng.chance(0.4) else [])]:
            found = _claim_opening(place, shell, walls, is_door=is_door, only=[side])
            if found is not None:
                holes[side].append(found[1])
        _pierced_wall(place, shell, side, holes[side], materials[side])
        for hole in holes[side]:
            _fit_opening(place, shell, walls[side], hole, glazed=False)


def _pierced_wall(place: Place, shell: Shell, side: int, holes: list[Opening], material: Material) -> None:
    """Build the wall of a side from boxes around its openings, across the whole enclosure."""
    wall = room_walls(shell.width, shell.depth)[side]
    before, after = shell.behind[(side + 3) % 4], shell.behind[(side + 1) % 4]
    if shell.outdoors:
        before, after = min(before, shell.thickness), min(after, shell.thickness)
    frame, length = _wall_frame(place, wall), wall.length
    # The frame's x runs against the wall's direction.
    start, end = -after, length + before
    bottom, top, thick = shell.low[2] if shell.outdoors else 0.0, shell.height, shell.thickness
    origin = (0.0, 0.0, 0.0)
    material = replace(material, skirting=0.0) if shell.outdoors else material
    position = start
    for hole in sorted(holes, key=lambda h: -h.start):
        x0, x1 = length - hole.start - hole.width, length - hole.start
        if x0 > position + 0.01:
            frame.between((position, 0.0, bottom), (x0, thick, top), material, texture_origin=origin)
        if hole.bottom > 0.01:
            frame.between((x0, 0.0, bottom), (x1, thick, hole.bottom), material, texture_origin=origin)
        if hole.bottom + hole.height < top - 0.01:
            frame.between((x0, 0.0, hole.bottom + hole.height), (x1, thick, top), material, texture_origin=origin)
        position = x1
    if end > position + 0.01:
        frame.between((position, 0.0, bottom), (end, thick, top), material, texture_origin=origin)


def _fit_opening(place: Place, shell: Shell, wall: Wall, hole: Opening, *, glazed: bool) -> None:
    """Frames, leaves that stand open, curtains."""
    rng = place.rng
    x, y, yaw = wall.facing(hole.start + hole.width / 2, -shell.thickness / 2)
    spot = place.at(x, y, hole.bottom, yaw=yaw)
    if hole.is_door:
        if rng.chance(0.85):
            fittings.door_frame(spot, hole.width, hole.height, shell.thickness)
        if rng.chance(0.6) and hole.width < 1.1:
            side, open_by = rng.pick([-1, 1]), rng.uniform(0.2, 2.6)
            # Inwards is at -y of the spot; the leaf turns from along the wall into the room, or out of it.
            inward = rng.chance(0.7)
            edge = (-1 if inward else 1) * shell.thickness / 2
            hinge = spot.at(side * hole.width / 2, edge, yaw=0.0 if side < 0 else math.pi)
            fittings.door_leaf(hinge, hole.width, hole.height, open_by=open_by * (side if inward else -side))
        return
    if glazed:
        fittings.window_frame(spot, hole.width, hole.height, shell.thickness)
        if rng.chance(0.55):
            at = wall.facing(hole.start + hole.width / 2, 0.02)
            fittings.curtains(place.at(at[0], at[1], yaw=at[2]), hole.width, hole.bottom + hole.height + 0.1)


def _with_windows(place: Place, shell: Shell, materials: list[Material]) -> None:
    """Real windows and balcony doors, with the outdoors behind them."""
    rng = place.rng
    walls = room_walls(shell.width, shell.depth)
    side = rng.integer(0, 3)
    sides = [side]
    if rng.chance(0.35):
        sides.append((side + 1) % 4)
    below = rng.pick([0.15, 0.3, rng.uniform(2.5, 9.0)])
    shell.outdoors = True
    thick = shell.thickness
    shell.behind = [rng.uniform(12.0, 40.0) if k in sides else thick + 0.05 for k in range(4)]
    shell.low, shell.high = (0.0, 0.0, -below), (0.0, 0.0, rng.uniform(10.0, 25.0))
    _enlarge(shell)
    shell.faces[:4] = [om.sky(rng)] * 4
    floor, ceiling = shell.faces[4:]
    shell.faces[4:] = [om.ground(rng), shell.faces[0]]
    outside = (-thick, -thick), (shell.width + thick, shell.depth + thick)
    place.between((*outside[0], -below), (*outside[1], 0.0), floor, texture_origin=(0.0, 0.0, 0.0))
    place.between((*outside[0], shell.height), (*outside[1], shell.height + 0.3), ceiling)
    for k in range(4):
        holes: list[Opening] = []
        if k in sides:
            for _ in range(rng.integer(1, 3)):
                found = _claim_opening(place, shell, walls, is_door=rng.chance(0.2), only=[k])
                if found is not None:
                    holes.append(found[1])
        _pierced_wall(place, shell, k, holes, materials[k])
        for hole in holes:
            _fit_opening(place, shell, walls[k], hole, glazed=True)
        if holes:
            _view(place, shell, walls[k], shell.behind[k], -below)


def _view(place: Place, shell: Shell, wall: Wall, space: float, ground: float) -> None:
    """The view through the windows of a wall: a house, a hedge, trees, or the open country."""
    rng = place.rng
    for _ in range(rng.integer(1, 4)):
        out = rng.uniform(0.35, 0.9) * space
        x, y, yaw = wall.facing(rng.uniform(-0.3, 1.3) * wall.length, -out)
        reach_x, reach_y = shell.low, shell.high
        if not (reach_x[0] + 2.5 < x < reach_y[0] - 2.5 and reach_x[1] + 2.5 < y < reach_y[1] - 2.5):
            continue
        spot = place.at(x, y, ground, yaw=yaw)
        style = rng.integer(0, 2)
        if style == 0 and out + 2.2 < space:
            tall = rng.uniform(4.0, 9.0)
            spot.box((0.0, 0.0, tall / 2), (4.0, 4.0, tall), om.facade(rng))
        elif style == 1:
            tree(rng, height=rng.uniform(3.0, 7.0), crowns=3).build(spot)
        else:
            hedge(rng, length=4.0).build(spot)


def _attic(place: Place, shell: Shell) -> None:
    """A room under a roof: one or two sloped ceilings above knee walls, at times with a skylight."""
    rng = place.rng
    slope, knee = math.radians(rng.uniform(30.0, 52.0)), rng.uniform(0.3, 1.3)
    both = rng.chance(0.6)
    limit = 0.42 * shell.depth if both else 0.8 * shell.depth
    run = min((shell.height - knee) / math.tan(slope), limit)
    rise = run * math.tan(slope)
    material = rm.ceiling(rng, "living") if rng.chance(0.6) else rm.boards(rng)
    shell.height = knee + rise
    thick, hidden = 1.6, min(0.6, 0.9 * knee / math.sin(slope))
    length = math.hypot(run, rise) + hidden
    width, tilt = shell.width, math.pi - slope
    rotation = turned(roll=tilt)
    inward = (0.0, rotation[1][1], rotation[2][1])  # along the slope, upwards
    up = (0.0, -rotation[1][2], -rotation[2][2])  # out of the room
    for side in (0, 2) if both else (0,):
        wall = room_walls(shell.width, shell.depth)[side]
        shell.behind[side] = ATTIC_DEPTH_M
        frame = _wall_frame(place, wall)
        frame.between((0.0, 0.0, 0.0), (width, 0.3, knee + 0.1), shell.faces[2 if side == 0 else 3])
        # The slope's lower face passes through the knee's edge (y = 0) and rises towards the room (-y).
        y, z = (inward[k] * (length / 2 - hidden) + up[k] * thick / 2 for k in (1, 2))
        frame.box((width / 2, y, knee + z), (width, length, thick), material, roll=tilt)
        if rng.chance(0.6):
            share = rng.uniform(0.45, 0.8)
            pane = frame.at(rng.uniform(0.25, 0.75) * width, -share * run, knee + share * rise, roll=tilt)
            pane.box((0.0, 0.0, 0.01), (0.8, 0.9, 0.03), tm.window_pane(rng))
        shell.blocked[side].append((0.0, wall.length))
        covered = max(0.0, (1.7 - knee) / math.tan(slope))
        if side == 0:
            shell.slope_low = covered
        else:
            shell.slope_high = covered
    place.between((0.0, run, shell.height), (width, shell.depth - (run if both else 0.0), shell.height + 0.2), material)
    _enlarge(shell)
    shell.high = (shell.high[0], shell.high[1], shell.height + 1.6)
    gables = [1, 3] if both else [1, 2, 3]
    for _ in range(rng.integer(1, 2)):
        found = _claim_opening(place, shell, room_walls(shell.width, shell.depth), is_door=rng.chance(0.5), only=gables)
        if found is not None:
            index, hole = found
            x, y, yaw = room_walls(shell.width, shell.depth)[index].facing(hole.start + hole.width / 2, 0.0)
            spot = place.at(x, y, hole.bottom, yaw=yaw)
            if hole.is_door:
                fittings.door_frame(spot, hole.width, hole.height, 0.03)
                fittings.door_leaf(spot.at(-hole.width / 2, -0.015), hole.width, hole.height, open_by=0.0)
            else:
                spot.box((0.0, -0.01, hole.height / 2), (hole.width, 0.02, hole.height), tm.window_pane(rng))
