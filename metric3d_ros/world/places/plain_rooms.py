"""Plain rooms: a room with doors, furniture and other solids, drawn from a seed.

World frame: x and y along the walls, z up, the origin in a corner of the floor, metres.
"""

from dataclasses import dataclass, field, replace

from metric3d_ros.world.description import materials
from metric3d_ros.world.description.materials import Material
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene, SceneDraft

MAX_BOXES, MAX_SPHERES, MAX_CYLINDERS = 22, 2, 3
MIN_FREE_SHARE = 0.3

Footprint = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass
class _Draft:
    """A room under construction."""

    rng: Rng
    size: tuple[float, float, float]
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    box_materials: list[Material] = field(default_factory=list)
    spheres: list[tuple[float, ...]] = field(default_factory=list)
    sphere_materials: list[Material] = field(default_factory=list)
    cylinders: list[tuple[float, ...]] = field(default_factory=list)
    cylinder_materials: list[Material] = field(default_factory=list)
    taken: list[Footprint] = field(default_factory=list)  # floor area where nothing more may stand

    def room_for(self, boxes: int) -> bool:
        return len(self.boxes) + boxes <= MAX_BOXES

    def add_box(self, low: tuple[float, float, float], high: tuple[float, float, float], material: Material) -> None:
        self.boxes.append((*low, *high))
        self.box_materials.append(material)

    def claim(self, footprint: Footprint, *, gap: float = 0.1) -> bool:
        """Reserve a piece of floor; return False if it is outside the room or already taken."""
        x0, y0, x1, y1 = footprint
        if x0 < 0.01 or y0 < 0.01 or x1 > self.size[0] - 0.01 or y1 > self.size[1] - 0.01:
            return False
        if any(x0 < c + gap and a - gap < x1 and y0 < d + gap and b - gap < y1 for a, b, c, d in self.taken):
            return False
        self.taken.append(footprint)
        return True

    def stand_at_wall(self, width: float, depth: float) -> tuple[Footprint, int] | None:
        """Find a free place of width x depth with its back to a wall; return it and the wall's number, or None."""
        for _ in range(6):
            wall = self.rng.integer(0, 3)
            along, across = (self.size[1], self.size[0]) if wall < 2 else (self.size[0], self.size[1])
            if width > along - 0.1 or depth > 0.45 * across:
                continue
            start = self.rng.uniform(0.03, along - width - 0.03)
            near = 0.02 if wall % 2 == 0 else across - depth - 0.02
            place = (
                (near, start, near + depth, start + width) if wall < 2 else (start, near, start + width, near + depth)
            )
            if self.claim(place):
                return place, wall
        return None

    def stand_free(self, width: float, depth: float) -> Footprint | None:
        """Find a free place of width x depth (or turned by a quarter) away from the walls, or None."""
        for _ in range(6):
            a, b = (width, depth) if self.rng.chance(0.5) else (depth, width)
            if a > self.size[0] - 1.2 or b > self.size[1] - 1.2:
                continue
            x, y = self.rng.uniform(0.5, self.size[0] - a - 0.5), self.rng.uniform(0.5, self.size[1] - b - 0.5)
            if self.claim((x, y, x + a, y + b), gap=0.3):
                return x, y, x + a, y + b
        return None


def draw_plain_room(seed: int) -> Scene:
    """Return the scene of a seed: the same on every machine.

    A draw that leaves too little free floor is rejected and drawn again; the result always has at least
    30 % of its floor free.
    """
    attempt = 0
    while True:
        draft, kind, faces = _draw(Rng(seed, attempt))
        if _free_share(draft) >= MIN_FREE_SHARE:
            return _finish(draft, seed, kind, faces)
        attempt += 1


def _draw(rng: Rng) -> tuple[_Draft, str, list[Material]]:
    kind = rng.pick(["room", "room", "room", "hall", "corridor"])
    if kind == "room":
        size = (rng.uniform(3.0, 6.0), rng.uniform(3.0, 6.5), rng.triangular(2.4, 2.8, 2.5))
    elif kind == "hall":
        size = (rng.uniform(5.5, 9.0), rng.uniform(6.0, 11.0), rng.triangular(2.6, 3.6, 2.8))
    else:
        size = (rng.uniform(1.7, 2.6), rng.uniform(6.0, 12.0), rng.triangular(2.4, 2.8, 2.5))
    if rng.chance(0.5):
        size = (size[1], size[0], size[2])
    draft = _Draft(rng, size)
    faces = _room_faces(rng, kind)
    if kind != "corridor" and rng.chance(0.4):
        _add_wall_block(draft, faces[0])
    for _ in range(rng.integer(1, 3)):
        _add_door(draft)
    for _ in range(rng.integer(0, 3)):
        _add_wall_panel(draft)
    adders = [_add_table, _add_cupboard, _add_shelf, _add_bed, _add_sofa, _add_crates, _add_column, _add_ball, _add_bin]
    wanted = {"room": (2, 6), "hall": (3, 8), "corridor": (0, 3)}[kind]
    for _ in range(rng.integer(*wanted)):
        rng.pick(adders)(draft)
    if kind != "corridor" and rng.chance(0.35):
        _add_rug(draft)
    return draft, kind, faces


def _room_faces(rng: Rng, kind: str) -> list[Material]:
    """Choose the six faces: a floor with a metric pattern, a ceiling, walls alike but for an accent now and then."""
    floor = rng.pick([materials.planks(rng), materials.tiles(rng, 0.3), materials.tiles(rng, 0.6)])
    wall = materials.brick(rng) if rng.chance(0.3) else materials.plaster(rng)
    if kind == "hall" and rng.chance(0.25):
        wall = materials.concrete(rng)
    if rng.chance(0.1):
        wall = materials.tiles(rng, 0.3)
    walls = [wall] * 4
    if rng.chance(0.4):
        walls[rng.integer(0, 3)] = materials.brick(rng) if rng.chance(0.5) else materials.plaster(rng)
    return [*walls, floor, materials.ceiling(rng)]


def _add_wall_block(draft: _Draft, wall: Material) -> None:
    """Fill a corner of the room up to the ceiling, which makes the floor plan an L."""
    rng, (sx, sy, height) = draft.rng, draft.size
    width, depth = rng.uniform(0.8, 0.4 * sx), rng.uniform(0.8, 0.4 * sy)
    x, y = rng.pick([0.0, sx - width]), rng.pick([0.0, sy - depth])
    draft.taken.append((x, y, x + width, y + depth))
    draft.add_box((x, y, 0.0), (x + width, y + depth, height), wall)


def _on_wall(
    draft: _Draft, wall: int, start: float, width: float, bottom: float, top: float, thickness: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the corners of a flat box on a wall, from `start` along it."""
    across = draft.size[0] if wall < 2 else draft.size[1]
    near = 0.0 if wall % 2 == 0 else across - thickness
    if wall < 2:
        return (near, start, bottom), (near + thickness, start + width, top)
    return (start, near, bottom), (start + width, near + thickness, top)


def _wall_place(draft: _Draft, width: float, clearance: float) -> tuple[int, float] | None:
    """Find a free stretch of wall and keep `clearance` metres of floor before it free; return wall and start."""
    for _ in range(6):
        wall = draft.rng.integer(0, 3)
        along, across = (draft.size[1], draft.size[0]) if wall < 2 else (draft.size[0], draft.size[1])
        if width + 0.3 > along:
            continue
        start = draft.rng.uniform(0.1, along - width - 0.2)
        low, high = (0.011, clearance) if wall % 2 == 0 else (across - clearance, across - 0.011)
        place = (low, start, high, start + width) if wall < 2 else (start, low, start + width, high)
        if draft.claim(place, gap=0.02):
            return wall, start
    return None


def _add_door(draft: _Draft) -> None:
    """A closed door, 0.9 m x 2.0 m in a frame, with a handle at 1.05 m."""
    place = _wall_place(draft, 1.06, 0.7)
    if place is None or not draft.room_for(3):
        return
    wall, start = place
    frame = materials.plain(draft.rng.pick([(0.8, 0.8, 0.78), (0.3, 0.2, 0.12), (0.2, 0.2, 0.2)]))
    draft.add_box(*_on_wall(draft, wall, start, 1.06, 0.0, 2.08, 0.03), frame)
    draft.add_box(*_on_wall(draft, wall, start + 0.08, 0.9, 0.0, 2.0, 0.05), materials.door_leaf(draft.rng))
    handle = start + (0.14 if draft.rng.chance(0.5) else 0.80)
    draft.add_box(*_on_wall(draft, wall, handle, 0.12, 1.03, 1.06, 0.11), materials.plain((0.7, 0.66, 0.55), gloss=0.6))


def _add_wall_panel(draft: _Draft) -> None:
    """A window with its sill at 0.9 m, or a picture."""
    is_window = draft.rng.chance(0.5)
    width = draft.rng.pick([1.2, 1.8]) if is_window else draft.rng.uniform(0.4, 1.1)
    place = _wall_place(draft, width, 0.05)
    if place is None or not draft.room_for(1):
        return
    if is_window:
        low, high = _on_wall(draft, *place, width, 0.9, 2.1, 0.03)
        draft.add_box(low, high, materials.window(draft.rng))
    else:
        low, high = _on_wall(draft, *place, width, 1.2, 1.2 + draft.rng.uniform(0.4, 0.8), 0.03)
        draft.add_box(low, high, materials.picture(draft.rng))


def _add_table(draft: _Draft) -> None:
    """A table 0.74 m high on two end panels."""
    place = draft.stand_free(draft.rng.uniform(1.2, 1.8), 0.8)
    if place is None or not draft.room_for(3):
        return
    x0, y0, x1, y1 = place
    material = materials.wood(draft.rng)
    draft.add_box((x0, y0, 0.70), (x1, y1, 0.74), material)
    if x1 - x0 > y1 - y0:
        draft.add_box((x0 + 0.08, y0 + 0.06, 0.0), (x0 + 0.14, y1 - 0.06, 0.70), material)
        draft.add_box((x1 - 0.14, y0 + 0.06, 0.0), (x1 - 0.08, y1 - 0.06, 0.70), material)
    else:
        draft.add_box((x0 + 0.06, y0 + 0.08, 0.0), (x1 - 0.06, y0 + 0.14, 0.70), material)
        draft.add_box((x0 + 0.06, y1 - 0.14, 0.0), (x1 - 0.06, y1 - 0.08, 0.70), material)


def _add_cupboard(draft: _Draft) -> None:
    """A chest of drawers or a wardrobe, 1 to 2 m wide."""
    high = draft.rng.chance(0.4)
    found = draft.stand_at_wall(draft.rng.pick([1.0, 1.5, 2.0]), 0.55 if high else 0.45)
    if found is None or not draft.room_for(1):
        return
    x0, y0, x1, y1 = found[0]
    height = 2.0 if high else 0.9
    material = materials.cupboard(draft.rng, drawer_height=2.0 if high else 0.3)
    draft.add_box((x0, y0, 0.0), (x1, y1, height), material)


def _add_shelf(draft: _Draft) -> None:
    """A shelf of books, 1.05 or 1.75 m high."""
    found = draft.stand_at_wall(draft.rng.uniform(0.8, 1.6), 0.3)
    if found is None or not draft.room_for(1):
        return
    x0, y0, x1, y1 = found[0]
    draft.add_box((x0, y0, 0.0), (x1, y1, draft.rng.pick([1.05, 1.75])), materials.books(draft.rng))


def _add_bed(draft: _Draft) -> None:
    """A bed 2 m long with its head at a wall."""
    found = draft.stand_at_wall(draft.rng.pick([0.9, 1.4, 1.6]), 2.0)
    if found is None or not draft.room_for(3):
        return
    (x0, y0, x1, y1), wall = found
    frame = materials.wood(draft.rng)
    draft.add_box((x0, y0, 0.0), (x1, y1, 0.28), frame)
    draft.add_box((x0 + 0.04, y0 + 0.04, 0.28), (x1 - 0.04, y1 - 0.04, 0.50), materials.fabric(draft.rng))
    head = [(x0, y0, x0 + 0.06, y1), (x1 - 0.06, y0, x1, y1), (x0, y0, x1, y0 + 0.06), (x0, y1 - 0.06, x1, y1)][wall]
    draft.add_box((head[0], head[1], 0.28), (head[2], head[3], 0.95), frame)


def _add_sofa(draft: _Draft) -> None:
    """A sofa with back and arms, its seat 0.42 m high."""
    found = draft.stand_at_wall(draft.rng.uniform(1.4, 2.2), 0.85)
    if found is None or not draft.room_for(4):
        return
    (x0, y0, x1, y1), wall = found
    cloth = materials.fabric(draft.rng)
    draft.add_box((x0, y0, 0.0), (x1, y1, 0.42), cloth)
    back = [(x0, y0, x0 + 0.2, y1), (x1 - 0.2, y0, x1, y1), (x0, y0, x1, y0 + 0.2), (x0, y1 - 0.2, x1, y1)][wall]
    draft.add_box((back[0], back[1], 0.42), (back[2], back[3], 0.85), cloth)
    arms = (
        [(x0, y0, x1, y0 + 0.18), (x0, y1 - 0.18, x1, y1)]
        if wall < 2
        else [(x0, y0, x0 + 0.18, y1), (x1 - 0.18, y0, x1, y1)]
    )
    for ax, ay, bx, by in arms:
        draft.add_box((ax, ay, 0.42), (bx, by, 0.60), cloth)


def _add_crates(draft: _Draft) -> None:
    """A crate of 0.5 m, at times with a smaller one on top."""
    place = draft.stand_free(0.5, 0.5)
    if place is None or not draft.room_for(2):
        return
    x0, y0, x1, y1 = place
    draft.add_box((x0, y0, 0.0), (x1, y1, 0.5), materials.crate(draft.rng))
    if draft.rng.chance(0.5):
        draft.add_box((x0 + 0.03, y0 + 0.08, 0.5), (x1 - 0.12, y1 - 0.07, 0.8), materials.crate(draft.rng))


def _add_column(draft: _Draft) -> None:
    """A round or square column up to the ceiling."""
    place = draft.stand_free(0.4, 0.4)
    if place is None:
        return
    x0, y0, x1, y1 = place
    if draft.rng.chance(0.6) and len(draft.cylinders) < MAX_CYLINDERS:
        draft.cylinders.append(((x0 + x1) / 2, (y0 + y1) / 2, 0.2, 0.0, draft.size[2]))
        draft.cylinder_materials.append(materials.plaster(draft.rng, skirting=0.2))
    elif draft.room_for(1):
        draft.add_box((x0, y0, 0.0), (x1, y1, draft.size[2]), materials.brick(draft.rng))


def _add_ball(draft: _Draft) -> None:
    """A ball on the floor, 0.3 to 0.8 m across."""
    radius = draft.rng.uniform(0.15, 0.4)
    place = draft.stand_free(2 * radius, 2 * radius)
    if place is None or len(draft.spheres) >= MAX_SPHERES:
        return
    draft.spheres.append(((place[0] + place[2]) / 2, (place[1] + place[3]) / 2, radius, radius))
    draft.sphere_materials.append(materials.rubber_ball(draft.rng))


def _add_bin(draft: _Draft) -> None:
    """A bin or a drum: an upright cylinder 0.9 m high."""
    radius = draft.rng.uniform(0.2, 0.32)
    place = draft.stand_free(2 * radius, 2 * radius)
    if place is None or len(draft.cylinders) >= MAX_CYLINDERS:
        return
    centre = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
    draft.cylinders.append((*centre, radius, 0.0, draft.rng.pick([0.6, 0.9])))
    draft.cylinder_materials.append(materials.rubber_ball(draft.rng))


def _add_rug(draft: _Draft) -> None:
    """A rug 1.6 m x 2.4 m; furniture may stand on it."""
    rng, (sx, sy, _) = draft.rng, draft.size
    width, depth = (1.6, 2.4) if rng.chance(0.5) else (2.4, 1.6)
    if width > sx - 0.8 or depth > sy - 0.8 or not draft.room_for(1):
        return
    x, y = rng.uniform(0.4, sx - width - 0.4), rng.uniform(0.4, sy - depth - 0.4)
    draft.add_box((x, y, 0.0), (x + width, y + depth, 0.012), materials.rug(rng))


def _free_share(draft: _Draft) -> float:
    """Return the share of the floor that no solid covers, by area."""
    covered = sum((c - a) * (d - b) for a, b, c, d in draft.taken)
    return 1.0 - covered / (draft.size[0] * draft.size[1])


def _finish(draft: _Draft, seed: int, kind: str, faces: list[Material]) -> Scene:
    rng, (sx, sy, height) = draft.rng, draft.size
    scene = SceneDraft((0.0, 0.0, 0.0), draft.size, faces, contact_behind=True)
    for box, material in zip(draft.boxes, draft.box_materials, strict=True):
        scene.add_box_between((box[0], box[1], box[2]), (box[3], box[4], box[5]), material)
    for ball, material in zip(draft.spheres, draft.sphere_materials, strict=True):
        # The lower half of a ball is in its joint colour: all that is below a skirting of next to nothing.
        scene.add_ellipsoid((ball[0], ball[1], ball[2]), ball[3], replace(material, skirting=1e-6))
    for (x, y, radius, bottom, top), material in zip(draft.cylinders, draft.cylinder_materials, strict=True):
        scene.add_cylinder((x, y, bottom), (x, y, top), radius, material)
    lamp = (rng.uniform(0.25, 0.75) * sx, rng.uniform(0.25, 0.75) * sy, height - rng.uniform(0.25, 0.5))
    warmth = rng.uniform(-0.12, 0.12)
    reach = 0.55 * max(sx, sy) ** 0.5  # larger rooms have stronger lamps, or half of every hall would be black
    power = rng.uniform(1.5, 2.3) * reach
    ambient = rng.uniform(0.35, 0.7)
    scene.add_lamp(lamp, (power * (1 + warmth), power, power * (1 - warmth)), softness=0.1)
    scene.above = (ambient, ambient, ambient * (1 - warmth / 2))
    scene.below = (0.7 * ambient, 0.7 * ambient, 0.7 * ambient * (1 - warmth / 2))
    scene.exposure = rng.uniform(0.8, 1.4)
    return scene.finish(seed, kind)
