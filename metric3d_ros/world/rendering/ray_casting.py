"""Ray casting: intersections with boxes, ellipsoids and cylinders in any orientation, and with the enclosure.

Shapes: rays are (..., P), tables (..., K, columns) with the same leading dimensions (none with NumPy, a batch in
training). Distances are in units of the direction's length.

The formulas of intersections use each term as rarely as possible: PyTorch's compiler fuses them into one loop by
inlining every use of a term, so deeply nested terms would take it minutes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metric3d_ros.world.description import solids as s
from metric3d_ros.world.rendering.array_ops import FAR, Array, ArrayOps, Row, Vectors

NEAREST = 1e-3
TINY, TINY_SLOPE = 1e-12, 1e-7  # keep directions along an axis from being 0; no ray is as near to it as that by chance
# Two columns more than a scene's tables have: the solid's row in the material table, and what kind of solid it is.
SURFACE, KIND = s.SOLID_COLUMNS, s.SOLID_COLUMNS + 1
TRACED_COLUMNS = s.SOLID_COLUMNS + 2
ENCLOSURE_KIND, BOX_KIND, ELLIPSOID_KIND, CYLINDER_KIND = 0.0, 1.0, 2.0, 3.0


class Tables(NamedTuple):
    """A scene's tables, or some of its solids; with NumPy one scene, in training a batch of them.

    `solids` holds the enclosure, as a box, and then all rows of the three tables before it.
    """

    enclosure: Array  # (..., 6)
    boxes: Array  # (..., B, TRACED_COLUMNS)
    ellipsoids: Array  # (..., E, TRACED_COLUMNS)
    cylinders: Array  # (..., C, TRACED_COLUMNS)
    solids: Array  # (..., 1 + B + E + C, TRACED_COLUMNS)
    materials: Array  # (..., rows, COLUMNS)
    lights: Array  # (..., L, LIGHT_COLUMNS)
    surroundings: Array  # (..., SURROUNDINGS_COLUMNS)


def tables_of(scene: s.Scene) -> Tables:
    """Return a scene's tables as the ray caster takes them: each solid with its row in the material table."""
    groups = (scene.boxes, scene.ellipsoids, scene.cylinders)
    rows = np.concatenate(groups)
    numbers = np.arange(s.ENCLOSURE_FACES, s.ENCLOSURE_FACES + len(rows), dtype=np.float32)
    kinds = np.repeat(np.array([BOX_KIND, ELLIPSOID_KIND, CYLINDER_KIND], np.float32), [len(group) for group in groups])
    rows = np.concatenate([rows, numbers[:, None], kinds[:, None]], axis=1)
    low, high = scene.enclosure[:3], scene.enclosure[3:]
    half = (high - low) / 2
    upright = np.eye(3, dtype=np.float32).reshape(-1)
    outside = np.array([*upright, *(low + half), *half, *half, 1.0, 0.0, ENCLOSURE_KIND], np.float32)
    boxes, ellipsoids, cylinders = np.split(rows, np.cumsum([len(group) for group in groups[:2]]))
    return Tables(
        enclosure=scene.enclosure,
        boxes=boxes,
        ellipsoids=ellipsoids,
        cylinders=cylinders,
        solids=np.concatenate([outside[None], rows]),
        materials=scene.materials,
        lights=scene.lights,
        surroundings=scene.surroundings,
    )


class Hit(NamedTuple):
    """Where rays end: distance, row of the material table, surface normal; and the same in the solid's own frame."""

    distance: Array  # (..., P)
    surface: Array  # (..., P) int32
    normal: Vectors  # unit, outward (of the enclosure: inward), world frame
    texture: Vectors  # texture coordinates, metres
    local_normal: Vectors
    local_direction: Vectors


def minus(a: Vectors, b: Vectors) -> Vectors:
    """Return a - b."""
    return Vectors(a.x - b.x, a.y - b.y, a.z - b.z)


def dot(a: Vectors, b: Vectors) -> Array:
    """Return the scalar product."""
    return a.x * b.x + a.y * b.y + a.z * b.z


def _slab(ops: ArrayOps, half: Array, origin: Array, direction: Array) -> tuple[Array, Array]:
    """Return where rays enter and leave the space between two planes at -half and +half along one axis."""
    inverse = 1.0 / (direction + TINY)
    middle, reach = -origin * inverse, half * ops.xp.abs(inverse)
    return middle - reach, middle + reach


def box_interval(ops: ArrayOps, solid: Row, origin: Vectors, direction: Vectors) -> tuple[Array, Array]:
    """Return the distances at which rays enter and leave a box, entering being the larger if they miss."""
    xp, half = ops.xp, solid.vector(s.HALF_SIZE)
    start, way = solid.to_local(minus(origin, solid.vector(s.CENTRE))), solid.to_local(direction)
    (x0, x1), (y0, y1), (z0, z1) = (_slab(ops, half[a], start[a], way[a]) for a in range(3))
    return xp.maximum(xp.maximum(x0, y0), z0), xp.minimum(xp.minimum(x1, y1), z1)


def ellipsoid_interval(ops: ArrayOps, solid: Row, origin: Vectors, direction: Vectors) -> tuple[Array, Array]:
    """Return the distances at which rays enter and leave an ellipsoid; NaN if they miss."""
    radii = solid.vector(s.HALF_SIZE)
    start, way = solid.to_local(minus(origin, solid.vector(s.CENTRE))), solid.to_local(direction)
    x, y, z = (start[a] / radii[a] for a in range(3))
    dx, dy, dz = (way[a] / radii[a] for a in range(3))
    square = dx * dx + dy * dy + dz * dz
    half_b = x * dx + y * dy + z * dz
    # The line's distance from the centre by the cross product, which loses fewer digits than b^2 - 4 a c far away.
    aside_x, aside_y, aside_z = y * dz - z * dy, z * dx - x * dz, x * dy - y * dx
    root = ops.xp.sqrt(square - (aside_x * aside_x + aside_y * aside_y + aside_z * aside_z))
    return (-half_b - root) / square, (root - half_b) / square


def cylinder_interval(ops: ArrayOps, solid: Row, origin: Vectors, direction: Vectors) -> tuple[Array, Array]:
    """Return the distances at which rays enter and leave a cylinder or truncated cone; crossed or NaN if they miss."""
    xp, half = ops.xp, solid.vector(s.HALF_SIZE)
    start, way = solid.to_local(minus(origin, solid.vector(s.CENTRE))), solid.to_local(direction)
    # Scaled by the radii at the base; the radius at a height is `middle` + `slope` * z and changes along a ray.
    slope = (solid.column(s.TAPER) - 1.0) * 0.5 / half.z
    middle = (solid.column(s.TAPER) + 1.0) * 0.5
    x, y, dx, dy = start.x / half.x, start.y / half.y, way.x / half.x + TINY_SLOPE, way.y / half.y
    radius, change = middle + slope * start.z, slope * way.z
    square = dx * dx + dy * dy - change * change
    half_b = x * dx + y * dy - radius * change
    aside, along_x, along_y = x * dy - y * dx, radius * dx - change * x, radius * dy - change * y
    # half_b^2 - square * (x^2 + y^2 - radius^2), without its cancellation far away.
    root = xp.sqrt(along_x * along_x + along_y * along_y - aside * aside)
    enter, leave = (x * x + y * y - radius * radius) / (root - half_b), (root - half_b) / square
    # A ray steeper than the cone (square < 0) crosses it once, where the radius is positive, and stays on that side.
    steep = square < 0.0
    enter, leave = xp.where(steep & (change <= 0.0), -FAR, enter), xp.where(steep & (change > 0.0), FAR, leave)
    bottom, top = _slab(ops, half.z, start.z, way.z)
    return xp.maximum(enter, bottom), xp.minimum(leave, top)


Interval = Callable[[ArrayOps, Row, Vectors, Vectors], tuple[Array, Array]]
INTERVALS: tuple[Interval, ...] = (box_interval, ellipsoid_interval, cylinder_interval)
"""In the order of the tables."""


def find_nearest(ops: ArrayOps, tables: Tables, origin: Vectors, direction: Vectors) -> tuple[Array, Array]:
    """Return how far rays from within the enclosure reach, and the row of `tables.solids` (int32) that they hit."""
    xp = ops.xp
    distance = _distance_to_enclosure(ops, tables.enclosure, origin, direction)
    row = ops.to_int32(xp.zeros_like(distance))
    first = 1
    for interval, table in zip(INTERVALS, (tables.boxes, tables.ellipsoids, tables.cylinders), strict=True):

        def entrance(solid: Row, start: Vectors, way: Vectors, interval: Interval = interval) -> Array:
            enter, leave = interval(ops, solid, start, way)
            return xp.where((enter <= leave) & (enter > NEAREST), enter, FAR)

        found, which = ops.nearest(table, entrance, origin, direction)
        row = xp.where(found < distance, which + first, row)
        distance = xp.minimum(distance, found)
        first += table.shape[-2]
    return distance, ops.to_int32(row)


def trace(ops: ArrayOps, tables: Tables, origin: Vectors, direction: Vectors) -> Hit:
    """Return the hits of rays that start within the enclosure; every ray hits, at the latest the enclosure."""
    distance, row = find_nearest(ops, tables, origin, direction)
    return describe(ops, tables.solids, origin, direction, distance, row)


def _distance_to_enclosure(ops: ArrayOps, enclosure: Array, origin: Vectors, direction: Vectors) -> Array:
    xp = ops.xp
    exits = []
    for axis in range(3):
        inverse = 1.0 / xp.where(xp.abs(direction[axis]) < 1e-9, 1e-9, direction[axis])
        to_low = (enclosure[..., axis, None] - origin[axis]) * inverse
        to_high = (enclosure[..., 3 + axis, None] - origin[axis]) * inverse
        exits.append(xp.maximum(to_low, to_high))
    return xp.minimum(xp.minimum(exits[0], exits[1]), exits[2])


def describe(ops: ArrayOps, solids: Array, origin: Vectors, direction: Vectors, distance: Array, row: Array) -> Hit:
    """Return the hits at `distance` along rays, on the rows `row` of the table `solids`."""
    xp = ops.xp
    solid = ops.gather(solids, row)
    kind = solid.column(KIND)
    half = solid.vector(s.HALF_SIZE)
    start, way = solid.to_local(minus(origin, solid.vector(s.CENTRE))), solid.to_local(direction)
    at = Vectors(*(start[a] + distance * way[a] for a in range(3)))

    # A box: the face that the point is nearest to, turned towards the ray.
    gap_x, gap_y, gap_z = (xp.abs(xp.abs(at[a]) - half[a]) for a in range(3))
    on_x = (gap_x <= gap_y) & (gap_x <= gap_z)
    on_y = (gap_y <= gap_z) & ~on_x
    step = [xp.where(c > 0, 1.0, 0.0) for c in way]
    nought = xp.zeros_like(distance)
    normal_x = xp.where(on_x, 1.0 - 2.0 * step[0], nought)
    normal_y = xp.where(on_y, 1.0 - 2.0 * step[1], nought)
    normal_z = xp.where(on_x | on_y, nought, 1.0 - 2.0 * step[2])
    face = xp.where(on_x, step[0], xp.where(on_y, 2.0 + step[1], 4.0 + step[2]))
    surface = xp.where(kind == ENCLOSURE_KIND, face, solid.column(SURFACE))

    round_solid = kind >= ELLIPSOID_KIND
    if ops.matters(round_solid):
        # An ellipsoid, or the side of a cylinder: the gradient of its equation.
        is_cylinder = kind == CYLINDER_KIND
        slope = (solid.column(s.TAPER) - 1.0) * 0.5 / half.z
        radius = (solid.column(s.TAPER) + 1.0) * 0.5 + slope * at.z
        x, y = at.x / half.x, at.y / half.y
        to_side = xp.abs(xp.sqrt(x * x + y * y) - radius) * xp.minimum(half.x, half.y)
        on_cap = is_cylinder & (gap_z < to_side)
        side_x, side_y = x / half.x, y / half.y
        side_z = xp.where(is_cylinder, -slope * radius, at.z / (half.z * half.z))
        scale = 1.0 / xp.sqrt(side_x * side_x + side_y * side_y + side_z * side_z + 1e-20)
        curved = round_solid & ~on_cap
        normal_x = xp.where(curved, side_x * scale, xp.where(on_cap, nought, normal_x))
        normal_y = xp.where(curved, side_y * scale, xp.where(on_cap, nought, normal_y))
        normal_z = xp.where(curved, side_z * scale, xp.where(on_cap, 1.0 - 2.0 * step[2], normal_z))

    local_normal = Vectors(normal_x, normal_y, normal_z)
    offset = solid.vector(s.TEXTURE)
    texture = Vectors(*(at[a] + offset[a] for a in range(3)))
    return Hit(distance, ops.to_int32(surface), solid.to_world(local_normal), texture, local_normal, way)
