"""Albedo of surfaces, before lighting: cells and joints, grain, fractal noise in a second colour, sky.

All patterns are averaged over a pixel's footprint (antialiasing), so that fine ones fade with distance.
"""

from collections.abc import Callable

from metric3d_ros.world.description import materials as m
from metric3d_ros.world.rendering.array_ops import Array, ArrayOps, Vectors
from metric3d_ros.world.rendering.ray_casting import Hit, dot

OCTAVES = 5
LACUNARITY = 2.03  # each octave's shapes are smaller by this; not 2, or the octaves' lattices would coincide
SKY_CURVE = 0.1  # clouds lie on a plane that is seen at directions / (z + this): it bends down towards the horizon


def albedo(ops: ArrayOps, materials: Array, hit: Hit, direction: Vectors, pixel_angle: Array) -> Vectors:
    """Return the linear colour of the points that rays hit; `direction` is unit, world frame; angles in radians."""
    xp = ops.xp

    def column(index: int) -> Array:
        return ops.lookup(materials[..., index], hit.surface)

    pixel = pixel_angle * hit.distance
    normal, way = hit.local_normal, hit.local_direction
    size_x, size_y, size_z = xp.abs(normal.x), xp.abs(normal.y), xp.abs(normal.z)
    flat = (size_z >= size_x) & (size_z >= size_y)
    faces_x = (size_x > size_y) & (size_x > size_z)
    slope = dot(normal, way)
    slope = xp.where(xp.abs(slope) < 0.02, 0.02, slope)
    # A pixel's ray swept by its angle moves over the plane by t * |e_u - n d_u / d_n|, exactly.
    along_u, along_v = xp.where(faces_x, way.y, way.x), xp.where(flat, way.y, way.z)
    reach_u = pixel * xp.sqrt(1.0 + (along_u / slope) * (along_u / slope))
    reach_v = pixel * xp.sqrt(1.0 + (along_v / slope) * (along_v / slope))

    # From the colour and not from the row: rows are numbered otherwise if tables are padded.
    salt = ops.to_int32(column(m.RED) * 65536.0) + ops.to_int32(column(m.GREEN) * 65536.0)
    place, sky = hit.texture, column(m.SKY) > 0.0
    fractal, warp = column(m.FRACTAL), column(m.WARP)
    share, bend_u, bend_v = xp.zeros_like(pixel), 0.0, 0.0
    if ops.matters((fractal > 0.0) | (warp > 0.0)):
        reach = xp.maximum(reach_u, reach_v)
        up = 1.0 / (xp.clip(direction.z, 0.0, None) + SKY_CURVE)
        x, y = xp.where(sky, direction.x * up, place.x), xp.where(sky, direction.y * up, place.y)
        z, reach = xp.where(sky, 0.0, place.z), xp.where(sky, pixel_angle * up * up, reach)
        share, bend_u, bend_v = _second_share(ops, column, Vectors(x, y, z), reach, salt)
        share = share * xp.where(sky, xp.clip(5.0 * direction.z, 0.0, 1.0), 1.0)

    u = xp.where(faces_x, place.y, place.x) + bend_u
    v = xp.where(flat, place.y, place.z) + bend_v
    lightness, joints = _cells(ops, column, u, v, reach_u, reach_v, salt)
    skirting = column(m.SKIRTING)
    joints = xp.where((skirting > 0.0) & (place.z < skirting) & ~flat, 1.0, joints)
    if ops.matters(sky):
        haze = 1.0 - xp.clip(direction.z, 0.0, 1.0)
        joints = xp.where(sky, haze * haze * haze * haze, joints)

    def mix(first: int, joint: int, second: int) -> Array:
        plain = xp.clip(column(first) * lightness * (1.0 - joints) + column(joint) * joints, 0.0, 1.0)
        return plain + share * (column(second) - plain)

    return Vectors(
        mix(m.RED, m.JOINT_RED, m.SECOND_RED),
        mix(m.GREEN, m.JOINT_GREEN, m.SECOND_GREEN),
        mix(m.BLUE, m.JOINT_BLUE, m.SECOND_BLUE),
    )


def _cells(
    ops: ArrayOps, column: Callable[[int], Array], u: Array, v: Array, reach_u: Array, reach_v: Array, salt: Array
) -> tuple[Array, Array]:
    """Return the lightness of cells with their grain, and the share of joints."""
    xp = ops.xp
    cell_u, cell_v = column(m.CELL_U), column(m.CELL_V)
    shifted_u = u + xp.floor(v / cell_v) * column(m.ROW_SHIFT) * cell_u
    joint = column(m.JOINT)
    across_u = _joint_share(ops, shifted_u, cell_u, joint, reach_u)
    across_v = _joint_share(ops, v, cell_v, joint, reach_v)
    joints = xp.where(joint > 0.0, across_u + across_v - across_u * across_v, 0.0)

    # An offset keeps the samples of a face off the cell borders, where rounding would choose the cell.
    i = ops.to_int32(xp.floor(shifted_u / cell_u + 1e-4))
    j = ops.to_int32(xp.floor(v / cell_v + 1e-4))
    sharpness = xp.clip(1.5 - xp.maximum(reach_u / cell_u, reach_v / cell_v), 0.0, 1.0)
    checker = column(m.CHECKER)
    lightness = 1.0 + sharpness * (
        column(m.VARIATION) * (_hash(i, j, salt, ops) - 0.5) - checker * ops.to_float32((i + j) & 1)
    )
    lightness = lightness - (1.0 - sharpness) * 0.5 * checker
    grain_u, grain_v = column(m.GRAIN_U), column(m.GRAIN_V)
    fine = xp.clip(1.5 - xp.maximum(reach_u / grain_u, reach_v / grain_v), 0.0, 1.0)
    grain = _noise(ops, u / grain_u + 17.3, v / grain_v + 5.7, salt + 101)
    return lightness * (1.0 + fine * column(m.GRAIN) * grain), joints


def _hash(i: Array, j: Array, salt: Array, ops: ArrayOps) -> Array:
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
    low = _hash(i, j, salt, ops) * (1.0 - s) + _hash(i + 1, j, salt, ops) * s
    high = _hash(i, j + 1, salt, ops) * (1.0 - s) + _hash(i + 1, j + 1, salt, ops) * s
    return 2.0 * (low * (1.0 - t) + high * t) - 1.0


def _noise_in_space(ops: ArrayOps, place: Vectors, salt: Array) -> Array:
    """Return smooth noise in -1..1 of three coordinates: solids show no seam where their faces meet."""
    xp = ops.xp
    floor_z = xp.floor(place.z)
    t = place.z - floor_z
    t = t * t * (3.0 - 2.0 * t)
    layer = salt + ops.to_int32(floor_z) * 7919
    return _noise(ops, place.x, place.y, layer) * (1.0 - t) + _noise(ops, place.x, place.y, layer + 7919) * t


def _second_share(
    ops: ArrayOps, column: Callable[[int], Array], place: Vectors, reach: Array, salt: Array
) -> tuple[Array, Array, Array]:
    """Return the second colour's share, 0..1, and the metres by which cells are bent along u and v."""
    xp = ops.xp
    sizes = Vectors(column(m.FRACTAL_X), column(m.FRACTAL_Y), column(m.FRACTAL_Z))
    x, y, z = (place[a] / sizes[a] + 0.37 for a in range(3))
    reach = reach / xp.minimum(xp.minimum(sizes.x, sizes.y), sizes.z)
    gain, ridge = column(m.FRACTAL_GAIN), column(m.FRACTAL_RIDGE)
    amplitude, whole = xp.zeros_like(x) + 1.0, xp.zeros_like(x)
    total, lost = xp.zeros_like(x), xp.zeros_like(x)
    bends = []
    for octave in range(OCTAVES):
        noise = _noise_in_space(ops, Vectors(x, y, z), salt + 1009 * octave)
        if octave < 2:
            bends.append(noise * xp.clip(1.5 - reach, 0.0, 1.0))
        noise = noise + ridge * (0.5 - 2.0 * xp.abs(noise) - noise)
        seen = amplitude * xp.clip(1.5 - reach, 0.0, 1.0)
        total, lost, whole = total + seen * noise, lost + (amplitude - seen), whole + amplitude
        # Turned as well, or the lattice would show as a grid.
        x, y = LACUNARITY * (0.8 * x - 0.6 * y) + 5.1, LACUNARITY * (0.6 * x + 0.8 * y) + 2.7
        z = LACUNARITY * z + 3.3
        amplitude, reach = amplitude * gain, reach * LACUNARITY
    # What the footprint hides would have carried points over the edge to either side: it widens the edge.
    width = column(m.FRACTAL_EDGE) + 0.8 * lost / whole
    share = xp.clip(0.5 + (total / whole - 0.7 * (0.5 - column(m.FRACTAL_COVER))) / width, 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    warp = column(m.WARP)
    return column(m.FRACTAL) * share, warp * bends[0], warp * bends[1]


def _joint_share(ops: ArrayOps, position: Array, cell: Array, joint: Array, footprint: Array) -> Array:
    """Return how much of a pixel's footprint the joints between cells cover, along one direction."""
    xp = ops.xp
    from_joint = (position / cell - xp.floor(position / cell + 0.5)) * cell
    half, reach = 0.5 * joint, 0.5 * footprint
    low, high = xp.maximum(from_joint - reach, -half), xp.minimum(from_joint + reach, half)
    sharp = xp.clip(high - low, 0.0, None) / footprint
    wide = xp.clip(footprint / cell, 0.0, 1.0)  # a footprint as wide as a cell sees the mean
    return sharp * (1.0 - wide) + joint / cell * wide
