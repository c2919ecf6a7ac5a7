"""What a ray sees in a scene: intersections, patterns, light; the same lines run on NumPy and on any library like it.

Every function takes `ops`, the array library with the few operations that libraries spell differently, so that the
renderer of the demo and the one that makes training data cannot drift apart. Shapes: rays are (..., P), scene tables
(..., K, columns) with the same leading dimensions (none with NumPy, a batch of scenes in training).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metric3d_ros.world import materials as m
from metric3d_ros.world.scene import ROOM_FACES

Array = Any  # an array of whichever library `ops` stands for
FAR = 1e6
NEAREST = 1e-3
PENUMBRA = 0.10  # metres of shadow edge per metre of distance from what casts it
CONTACT_RADIUS = 0.22  # metres over which light fades towards a contact


@dataclass(frozen=True)
class ArrayOps:
    """An array library and the operations that differ between libraries."""

    xp: Any  # numpy, torch: where, abs, floor, sqrt, exp, minimum, maximum, clip, zeros_like
    to_int32: Any  # array -> int32 array
    to_float32: Any
    lookup: Any  # (table (..., N), ids (..., P)) -> (..., P)


NUMPY_OPS = ArrayOps(
    xp=np,
    to_int32=lambda array: array.astype(np.int32),
    to_float32=lambda array: array.astype(np.float32),
    lookup=lambda table, ids: table[ids],
)


class Tables(NamedTuple):
    """A scene's tables; with NumPy as in `Scene`, in training with a leading batch dimension."""

    room: Array  # (..., 3)
    boxes: Array  # (..., B, 6)
    spheres: Array  # (..., S, 4)
    cylinders: Array  # (..., C, 5)
    materials: Array  # (..., 6 + B + S + C, 18)
    light: Array  # (..., 10)


class Vectors(NamedTuple):
    """Three-vectors, one array (..., P) per component."""

    x: Array
    y: Array
    z: Array


class Hit(NamedTuple):
    """Where rays end: distance in units of the direction's length, row of the material table, surface normal."""

    distance: Array  # (..., P)
    surface: Array  # (..., P) int32
    normal: Vectors  # unit, outward, world frame
    anchor: Vectors  # the point from which the pattern is laid out


def box_interval(ops: ArrayOps, box: Array, origin: Vectors, inverse: Vectors) -> tuple[Array, Array, Array, Array]:
    """Return the distances at which rays enter and leave a box (..., 6), entering being the larger where they miss.

    The other two are where they cross its nearer x and y planes: the one equal to the entry tells the face.
    """
    xp = ops.xp
    x0, x1 = (box[..., 0, None] - origin.x) * inverse.x, (box[..., 3, None] - origin.x) * inverse.x
    y0, y1 = (box[..., 1, None] - origin.y) * inverse.y, (box[..., 4, None] - origin.y) * inverse.y
    z0, z1 = (box[..., 2, None] - origin.z) * inverse.z, (box[..., 5, None] - origin.z) * inverse.z
    near_x, near_y = xp.minimum(x0, x1), xp.minimum(y0, y1)
    enter = xp.maximum(xp.maximum(near_x, near_y), xp.minimum(z0, z1))
    leave = xp.minimum(xp.minimum(xp.maximum(x0, x1), xp.maximum(y0, y1)), xp.maximum(z0, z1))
    return enter, leave, near_x, near_y


def sphere_interval(ops: ArrayOps, sphere: Array, origin: Vectors, direction: Vectors) -> tuple[Array, Array]:
    """Return the distances at which rays enter and leave a sphere (..., 4); FAR and -FAR where they miss."""
    xp = ops.xp
    x, y, z = (o - sphere[..., k, None] for k, o in enumerate(origin))
    a = direction.x * direction.x + direction.y * direction.y + direction.z * direction.z
    half_b = x * direction.x + y * direction.y + z * direction.z
    # The distance of the line from the centre, which loses fewer digits than b^2 - 4 a c far away.
    along = half_b / a
    gap_x, gap_y, gap_z = x - along * direction.x, y - along * direction.y, z - along * direction.z
    discriminant = sphere[..., 3, None] ** 2 - (gap_x * gap_x + gap_y * gap_y + gap_z * gap_z)
    half_chord = xp.sqrt(xp.clip(discriminant, 0.0, None) / a)
    miss = discriminant <= 0.0
    return xp.where(miss, FAR, -along - half_chord), xp.where(miss, -FAR, -along + half_chord)


def cylinder_interval(
    ops: ArrayOps, cylinder: Array, origin: Vectors, direction: Vectors, inverse: Vectors
) -> tuple[Array, Array]:
    """Return the distances at which rays enter and leave an upright cylinder (..., 5); crossed where they miss."""
    xp = ops.xp
    x, y = origin.x - cylinder[..., 0, None], origin.y - cylinder[..., 1, None]
    a = xp.clip(direction.x * direction.x + direction.y * direction.y, 1e-9, None)
    along = (x * direction.x + y * direction.y) / a
    gap_x, gap_y = x - along * direction.x, y - along * direction.y
    discriminant = cylinder[..., 2, None] ** 2 - (gap_x * gap_x + gap_y * gap_y)
    half_chord = xp.sqrt(xp.clip(discriminant, 0.0, None) / a)
    miss = discriminant <= 0.0
    z0 = (cylinder[..., 3, None] - origin.z) * inverse.z
    z1 = (cylinder[..., 4, None] - origin.z) * inverse.z
    enter = xp.maximum(xp.where(miss, FAR, -along - half_chord), xp.minimum(z0, z1))
    leave = xp.minimum(xp.where(miss, -FAR, -along + half_chord), xp.maximum(z0, z1))
    return enter, leave


def invert(ops: ArrayOps, direction: Vectors) -> Vectors:
    """Return 1 / direction per component, with components near zero kept finite."""
    xp = ops.xp
    return Vectors(*(1.0 / xp.where(xp.abs(c) < 1e-9, 1e-9, c) for c in direction))


def trace(ops: ArrayOps, tables: Tables, origin: Vectors, direction: Vectors) -> Hit:
    """Return where rays that start inside the room end; they always end, at the latest on the room's faces."""
    xp = ops.xp
    inverse = invert(ops, direction)
    room = tables.room
    exits = []
    for axis in range(3):
        to_low, to_high = -origin[axis] * inverse[axis], (room[..., axis, None] - origin[axis]) * inverse[axis]
        exits.append(xp.maximum(to_low, to_high))
    distance = xp.minimum(xp.minimum(exits[0], exits[1]), exits[2])
    on_x, on_y = distance == exits[0], distance == exits[1]
    one, nought = xp.zeros_like(distance) + 1.0, xp.zeros_like(distance)
    step = [xp.where(c > 0, 1.0, 0.0) * one for c in direction]
    surface = xp.where(on_x, step[0], xp.where(on_y, 2.0 + step[1], 4.0 + step[2]))
    normal_x = xp.where(on_x, 1.0 - 2.0 * step[0], nought)
    normal_y = xp.where(on_x, nought, xp.where(on_y, 1.0 - 2.0 * step[1], nought))
    normal_z = xp.where(on_x | on_y, nought, 1.0 - 2.0 * step[2])
    anchor_x, anchor_y, anchor_z = nought, nought, nought

    for k in range(tables.boxes.shape[-2]):
        box = tables.boxes[..., k, :]
        enter, leave, near_x, near_y = box_interval(ops, box, origin, inverse)
        closer = (enter <= leave) & (enter > NEAREST) & (enter < distance)
        distance = xp.where(closer, enter, distance)
        surface = xp.where(closer, float(ROOM_FACES + k), surface)
        anchor_x = xp.where(closer, box[..., 0, None], anchor_x)
        anchor_y = xp.where(closer, box[..., 1, None], anchor_y)
        anchor_z = xp.where(closer, box[..., 2, None], anchor_z)
        # The face entered last is the one that was hit.
        hit_x, hit_y = enter == near_x, (enter != near_x) & (enter == near_y)
        normal_x = xp.where(closer, xp.where(hit_x, 1.0 - 2.0 * step[0], nought), normal_x)
        normal_y = xp.where(closer, xp.where(hit_y, 1.0 - 2.0 * step[1], nought), normal_y)
        normal_z = xp.where(closer, xp.where(hit_x | hit_y, nought, 1.0 - 2.0 * step[2]), normal_z)

    first = ROOM_FACES + tables.boxes.shape[-2]
    for k in range(tables.spheres.shape[-2]):
        sphere = tables.spheres[..., k, :]
        enter, leave = sphere_interval(ops, sphere, origin, direction)
        closer = (enter <= leave) & (enter > NEAREST) & (enter < distance)
        distance = xp.where(closer, enter, distance)
        surface = xp.where(closer, float(first + k), surface)
        scale = 1.0 / sphere[..., 3, None]
        normal_x = xp.where(closer, (origin.x + enter * direction.x - sphere[..., 0, None]) * scale, normal_x)
        normal_y = xp.where(closer, (origin.y + enter * direction.y - sphere[..., 1, None]) * scale, normal_y)
        normal_z = xp.where(closer, (origin.z + enter * direction.z - sphere[..., 2, None]) * scale, normal_z)
        anchor_x = xp.where(closer, sphere[..., 0, None], anchor_x)
        anchor_y = xp.where(closer, sphere[..., 1, None], anchor_y)
        anchor_z = xp.where(closer, sphere[..., 2, None], anchor_z)

    first += tables.spheres.shape[-2]
    for k in range(tables.cylinders.shape[-2]):
        cylinder = tables.cylinders[..., k, :]
        enter, leave = cylinder_interval(ops, cylinder, origin, direction, inverse)
        closer = (enter <= leave) & (enter > NEAREST) & (enter < distance)
        distance = xp.where(closer, enter, distance)
        surface = xp.where(closer, float(first + k), surface)
        scale = 1.0 / cylinder[..., 2, None]
        side_x = (origin.x + enter * direction.x - cylinder[..., 0, None]) * scale
        side_y = (origin.y + enter * direction.y - cylinder[..., 1, None]) * scale
        on_cap = side_x * side_x + side_y * side_y < 0.9999
        normal_x = xp.where(closer, xp.where(on_cap, nought, side_x), normal_x)
        normal_y = xp.where(closer, xp.where(on_cap, nought, side_y), normal_y)
        normal_z = xp.where(closer, xp.where(on_cap, 1.0 - 2.0 * step[2], nought), normal_z)
        anchor_x = xp.where(closer, cylinder[..., 0, None], anchor_x)
        anchor_y = xp.where(closer, cylinder[..., 1, None], anchor_y)
        anchor_z = xp.where(closer, cylinder[..., 3, None], anchor_z)

    anchor = Vectors(anchor_x, anchor_y, anchor_z)
    return Hit(distance, ops.to_int32(surface), Vectors(normal_x, normal_y, normal_z), anchor)


def _hash(ops: ArrayOps, i: Array, j: Array, salt: Array) -> Array:
    """Return a number in 0..1 per pair of integers, exactly the same in every library (int32 that wraps)."""
    mixed = i * 374761393 + j * 668265263 + salt * 1274126177
    mixed = (mixed ^ ((mixed >> 13) & 0x7FFFF)) * 1103515245
    return ops.to_float32((mixed >> 12) & 0xFFFF) * (1.0 / 65535.0)


def _noise(ops: ArrayOps, u: Array, v: Array, salt: Array) -> Array:
    """Return smooth noise in -1..1 with features of size one."""
    xp = ops.xp
    floor_u, floor_v = xp.floor(u), xp.floor(v)
    i, j = ops.to_int32(floor_u), ops.to_int32(floor_v)
    s, t = u - floor_u, v - floor_v
    s, t = s * s * (3.0 - 2.0 * s), t * t * (3.0 - 2.0 * t)
    low = _hash(ops, i, j, salt) * (1.0 - s) + _hash(ops, i + 1, j, salt) * s
    high = _hash(ops, i, j + 1, salt) * (1.0 - s) + _hash(ops, i + 1, j + 1, salt) * s
    return 2.0 * (low * (1.0 - t) + high * t) - 1.0


def _joint_share(ops: ArrayOps, position: Array, cell: Array, joint: Array, footprint: Array) -> Array:
    """Return how much of a pixel's footprint the joints between cells cover, along one direction."""
    xp = ops.xp
    from_joint = (position / cell - xp.floor(position / cell + 0.5)) * cell
    half, reach = 0.5 * joint, 0.5 * footprint
    low, high = xp.maximum(from_joint - reach, -half), xp.minimum(from_joint + reach, half)
    sharp = xp.clip(high - low, 0.0, None) / footprint
    wide = xp.clip(footprint / cell, 0.0, 1.0)  # a footprint as wide as a cell sees the mean
    return sharp * (1.0 - wide) + joint / cell * wide


def pattern(ops: ArrayOps, tables: Tables, hit: Hit, point: Vectors, direction: Vectors, pixel: Array) -> Vectors:
    """Return the albedo at points, averaged over a pixel's footprint so that fine patterns fade and do not flicker.

    `direction` is unit; `pixel` is a pixel's angle times the distance.
    """
    xp = ops.xp

    def column(index: int) -> Array:
        return ops.lookup(tables.materials[..., index], hit.surface)

    normal = hit.normal
    size_x, size_y, size_z = xp.abs(normal.x), xp.abs(normal.y), xp.abs(normal.z)
    flat = (size_z >= size_x) & (size_z >= size_y)
    faces_x = (size_x > size_y) & (size_x > size_z)
    px, py, pz = point.x - hit.anchor.x, point.y - hit.anchor.y, point.z - hit.anchor.z
    u = xp.where(faces_x, py, px)
    v = xp.where(flat, py, pz)
    slope = normal.x * direction.x + normal.y * direction.y + normal.z * direction.z
    slope = xp.where(xp.abs(slope) < 0.02, 0.02, slope)
    # A pixel's ray swept by its angle moves over the plane by t * |e_u - n d_u / d_n|, exactly.
    along_u, along_v = xp.where(faces_x, direction.y, direction.x), xp.where(flat, direction.y, direction.z)
    reach_u = pixel * xp.sqrt(1.0 + (along_u / slope) * (along_u / slope))
    reach_v = pixel * xp.sqrt(1.0 + (along_v / slope) * (along_v / slope))

    cell_u, cell_v = column(m.CELL_U), column(m.CELL_V)
    row = xp.floor(v / cell_v)
    shifted_u = u + row * column(m.ROW_SHIFT) * cell_u
    joint = column(m.JOINT)
    across_u, across_v = (
        _joint_share(ops, shifted_u, cell_u, joint, reach_u),
        _joint_share(ops, v, cell_v, joint, reach_v),
    )
    joints = xp.where(joint > 0.0, across_u + across_v - across_u * across_v, 0.0)
    joints = xp.where((pz < column(m.SKIRTING)) & ~flat, 1.0, joints)

    # An offset keeps the samples of a face off the cell borders, where rounding would choose the cell.
    i = ops.to_int32(xp.floor(shifted_u / cell_u + 1e-4))
    j = ops.to_int32(xp.floor(v / cell_v + 1e-4))
    # From the colour and not from the row: rows are numbered otherwise where tables are padded.
    salt = ops.to_int32(column(m.RED) * 65536.0) + ops.to_int32(column(m.GREEN) * 65536.0)
    sharpness = xp.clip(1.5 - xp.maximum(reach_u / cell_u, reach_v / cell_v), 0.0, 1.0)
    lightness = 1.0 + sharpness * (
        column(m.VARIATION) * (_hash(ops, i, j, salt) - 0.5) - column(m.CHECKER) * ops.to_float32((i + j) & 1)
    )
    lightness = lightness - (1.0 - sharpness) * 0.5 * column(m.CHECKER)
    grain_u, grain_v = column(m.GRAIN_U), column(m.GRAIN_V)
    fine = xp.clip(1.5 - xp.maximum(reach_u / grain_u, reach_v / grain_v), 0.0, 1.0)
    lightness = lightness * (
        1.0 + fine * column(m.GRAIN) * _noise(ops, u / grain_u + 17.3, v / grain_v + 5.7, salt + 101)
    )

    def mix(cell: int, joint_column: int) -> Array:
        return xp.clip(column(cell) * lightness * (1.0 - joints) + column(joint_column) * joints, 0.0, 1.0)

    return Vectors(mix(m.RED, m.JOINT_RED), mix(m.GREEN, m.JOINT_GREEN), mix(m.BLUE, m.JOINT_BLUE))


def shadow(ops: ArrayOps, tables: Tables, surface: Array, point: Vectors, to_lamp: Vectors) -> Array:
    """Return the share of the lamp's light that reaches points, 0..1, with edges that soften with distance.

    `to_lamp` reaches from the point to the lamp, so distances along it run from 0 to 1. What a ray cuts off a solid,
    in metres, over a width that grows with the distance from the solid, stands for the part of the lamp it hides.
    """
    xp = ops.xp
    length = xp.sqrt(to_lamp.x * to_lamp.x + to_lamp.y * to_lamp.y + to_lamp.z * to_lamp.z)
    inverse = invert(ops, to_lamp)
    open_share = xp.zeros_like(length) + 1.0
    first = ROOM_FACES

    def dim(share: Array, enter: Array, leave: Array, own: int) -> Array:
        enter, leave = xp.clip(enter, 0.0, 1.0), xp.clip(leave, 0.0, 1.0)
        hidden = xp.clip((leave - enter) * length / (PENUMBRA * (0.1 + enter * length)), 0.0, 1.0)
        return share * (1.0 - xp.where(surface == own, 0.0, hidden))

    for k in range(tables.boxes.shape[-2]):
        enter, leave, _, _ = box_interval(ops, tables.boxes[..., k, :], point, inverse)
        open_share = dim(open_share, enter, leave, first + k)
    first += tables.boxes.shape[-2]
    for k in range(tables.spheres.shape[-2]):
        enter, leave = sphere_interval(ops, tables.spheres[..., k, :], point, to_lamp)
        open_share = dim(open_share, enter, leave, first + k)
    first += tables.spheres.shape[-2]
    for k in range(tables.cylinders.shape[-2]):
        enter, leave = cylinder_interval(ops, tables.cylinders[..., k, :], point, to_lamp, inverse)
        open_share = dim(open_share, enter, leave, first + k)
    return open_share


def contact(ops: ArrayOps, tables: Tables, hit: Hit, point: Vectors) -> Array:
    """Return the share of the ambient light that reaches points, 0..1: less near corners and where solids touch."""
    xp = ops.xp
    squared = CONTACT_RADIUS * CONTACT_RADIUS

    def fade(gap_squared: Array) -> Array:
        # Falls from 1 to exactly 0 at five radii, so that far solids can be left out.
        return xp.clip((squared / (squared + gap_squared) - 1.0 / 26.0) * (26.0 / 25.0), 0.0, 1.0)

    share = xp.zeros_like(point.x) + 1.0
    for axis in range(3):
        facing = xp.abs(hit.normal[axis])
        low, high = point[axis], tables.room[..., axis, None] - point[axis]
        share = share * (1.0 - 0.5 * (1.0 - facing) * fade(low * low))
        share = share * (1.0 - 0.5 * (1.0 - facing) * fade(high * high))
    first = ROOM_FACES
    for k in range(tables.boxes.shape[-2]):
        box = tables.boxes[..., k, :]
        gaps = [
            xp.clip(xp.maximum(box[..., a, None] - point[a], point[a] - box[..., 3 + a, None]), 0.0, None)
            for a in range(3)
        ]
        gap = gaps[0] * gaps[0] + gaps[1] * gaps[1] + gaps[2] * gaps[2]
        share = share * (1.0 - xp.where(hit.surface == first + k, 0.0, 0.45 * fade(gap)))
    first += tables.boxes.shape[-2]
    for k in range(tables.spheres.shape[-2]):
        sphere = tables.spheres[..., k, :]
        x, y, z = (point[a] - sphere[..., a, None] for a in range(3))
        gap = xp.clip(xp.sqrt(x * x + y * y + z * z) - sphere[..., 3, None], 0.0, None)
        share = share * (1.0 - xp.where(hit.surface == first + k, 0.0, 0.6 * fade(2.0 * gap * gap)))
    first += tables.spheres.shape[-2]
    for k in range(tables.cylinders.shape[-2]):
        cylinder = tables.cylinders[..., k, :]
        x, y = point.x - cylinder[..., 0, None], point.y - cylinder[..., 1, None]
        side = xp.clip(xp.sqrt(x * x + y * y) - cylinder[..., 2, None], 0.0, None)
        above = xp.clip(point.z - cylinder[..., 4, None], 0.0, None)
        share = share * (1.0 - xp.where(hit.surface == first + k, 0.0, 0.5 * fade(2.0 * side * side + above * above)))
    return share


def shade(ops: ArrayOps, tables: Tables, hit: Hit, point: Vectors, direction: Vectors, albedo: Vectors) -> Vectors:
    """Return the colour that points show, 0..1, after exposure and gamma; `direction` is unit, from the camera."""
    return light_up(
        ops,
        tables,
        hit,
        point,
        direction,
        albedo,
        shadow(ops, tables, hit.surface, point, lamp_from(tables, point)),
        contact(ops, tables, hit, point),
    )


def lamp_from(tables: Tables, point: Vectors) -> Vectors:
    """Return the vectors from points to the lamp."""
    return Vectors(*(tables.light[..., a, None] - point[a] for a in range(3)))


def light_up(
    ops: ArrayOps,
    tables: Tables,
    hit: Hit,
    point: Vectors,
    direction: Vectors,
    albedo: Vectors,
    open_share: Array,
    ambient_share: Array,
) -> Vectors:
    """Return the colour of points, 0..1, given the shares of lamp light and of ambient light that reach them."""
    xp = ops.xp
    to_lamp, normal, light = lamp_from(tables, point), hit.normal, tables.light
    squared = to_lamp.x * to_lamp.x + to_lamp.y * to_lamp.y + to_lamp.z * to_lamp.z
    per_length = 1.0 / xp.sqrt(squared + 1e-6)
    facing = (normal.x * to_lamp.x + normal.y * to_lamp.y + normal.z * to_lamp.z) * per_length
    lamp = open_share * xp.clip(facing, 0.0, 1.0) / (0.6 + 0.25 * squared)
    # Half-vector reflection; a fifth squaring gives a highlight of a few degrees.
    half = [to_lamp[a] * per_length - direction[a] for a in range(3)]
    half_length = xp.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2] + 1e-6)
    sharp = xp.clip((normal.x * half[0] + normal.y * half[1] + normal.z * half[2]) / half_length, 0.0, 1.0)
    for _ in range(5):
        sharp = sharp * sharp
    shine = ops.lookup(tables.materials[..., m.GLOSS], hit.surface) * sharp * open_share
    glow = ops.lookup(tables.materials[..., m.GLOW], hit.surface)
    ambient = ambient_share * (0.85 + 0.15 * normal.z)
    exposure = light[..., 9, None]

    def tone(channel: int) -> Array:
        lit = light[..., 3 + channel, None] * lamp + light[..., 6 + channel, None] * ambient + glow
        radiance = albedo[channel] * lit + light[..., 3 + channel, None] * 0.3 * shine
        return xp.sqrt(xp.clip(1.0 - xp.exp(-exposure * radiance), 0.0, 1.0))

    return Vectors(tone(0), tone(1), tone(2))
