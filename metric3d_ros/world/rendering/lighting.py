"""Lighting of the points that rays hit, and the colours that a camera sees.

Lamps and suns cast soft shadows; the light of the surroundings comes from above and below and fades near corners and
contacts. Shapes as in ray_casting.py.
"""

from collections.abc import Callable

from metric3d_ros.world.description import materials as m
from metric3d_ros.world.description import solids as s
from metric3d_ros.world.rendering.array_ops import Array, ArrayOps, Row, Shares, Vectors
from metric3d_ros.world.rendering.ray_casting import INTERVALS, SURFACE, Hit, Interval, Tables, dot, minus

CONTACT_RADIUS = 0.22  # metres over which light fades towards a contact
CONTACT_STRENGTHS = (0.45, 0.6, 0.5)  # of boxes, ellipsoids and cylinders
BEHIND = 0.01  # metres over which a solid that rises above a surface begins to darken it


def to_light(position: Vectors, is_lamp: Array, point: Vectors) -> Vectors:
    """Return the vectors from points to a lamp, or along the direction to a sun."""
    return Vectors(*(position[a] - is_lamp * point[a] for a in range(3)))


def shadow(ops: ArrayOps, tables: Tables, surface: Array, point: Vectors, towards: Vectors, softness: Array) -> Array:
    """Return the share of a light that reaches points, 0..1, with edges that soften with distance.

    `towards` reaches from the point to the light, so distances along it run from 0 to 1. What a ray cuts off a solid,
    in metres, over a width that grows with the distance from the solid, stands for the part of the light it hides.
    """
    xp = ops.xp
    length = xp.sqrt(dot(towards, towards))
    share = xp.zeros_like(length) + 1.0
    for interval, table in zip(INTERVALS, (tables.boxes, tables.ellipsoids, tables.cylinders), strict=True):

        def passing(
            solid: Row,
            start: Vectors,
            way: Vectors,
            own: Array,
            metres: Array,
            blur: Array,
            interval: Interval = interval,
        ) -> Array:
            enter, leave = interval(ops, solid, start, way)
            crossed = (leave > enter) & (own != solid.column(SURFACE))
            enter, leave = xp.clip(enter, 0.0, 1.0), xp.clip(leave, 0.0, 1.0)
            hidden = xp.clip((leave - enter) * metres / (blur * (0.1 + enter * metres)), 0.0, 1.0)
            return xp.where(crossed, 1.0 - hidden, 1.0)

        share = share * ops.product(table, passing, point, towards, surface, length, softness)
    return share


def contact(ops: ArrayOps, tables: Tables, surface: Array, normal: Vectors, point: Vectors) -> Array:
    """Return the share of the ambient light that reaches points, 0..1: less near corners and where solids touch."""
    xp = ops.xp
    squared = CONTACT_RADIUS * CONTACT_RADIUS

    def fade(gap_squared: Array) -> Array:
        # Falls from 1 to exactly 0 at five radii, so that far solids can be left out.
        return xp.clip((squared / (squared + gap_squared) - 1.0 / 26.0) * (26.0 / 25.0), 0.0, 1.0)

    share = xp.zeros_like(point.x) + 1.0
    for axis in range(3):
        aligned = xp.abs(normal[axis])
        low = point[axis] - tables.enclosure[..., axis, None]
        high = tables.enclosure[..., 3 + axis, None] - point[axis]
        share = share * (1.0 - 0.5 * (1.0 - aligned) * fade(low * low))
        share = share * (1.0 - 0.5 * (1.0 - aligned) * fade(high * high))
    behind = tables.surroundings[..., s.CONTACT_BEHIND, None]
    gaps = (_gap_to_box, _gap_to_ellipsoid, _gap_to_cylinder)
    for gap, strength, table in zip(
        gaps, CONTACT_STRENGTHS, (tables.boxes, tables.ellipsoids, tables.cylinders), strict=True
    ):

        def passing(
            solid: Row,
            at: Vectors,
            facing: Vectors,
            own: Array,
            also_behind: Array,
            gap: Callable[..., Array] = gap,
            strength: float = strength,
        ) -> Array:
            local, up = solid.to_local(minus(at, solid.vector(s.CENTRE))), solid.to_local(facing)
            half = solid.vector(s.HALF_SIZE)
            # How far the solid rises above the plane of the surface.
            rise = xp.abs(up.x) * half.x + xp.abs(up.y) * half.y + xp.abs(up.z) * half.z - dot(local, up)
            before = xp.maximum(xp.clip(rise * (1.0 / BEHIND), 0.0, 1.0), also_behind)
            dark = strength * fade(gap(ops, half, local)) * before
            return 1.0 - xp.where(own == solid.column(SURFACE), 0.0, dark)

        share = share * ops.product(table, passing, point, normal, surface, behind)
    return share


def _gap_to_box(ops: ArrayOps, half: Vectors, local: Vectors) -> Array:
    """Return the squared distance of points from a box."""
    xp = ops.xp
    x, y, z = (xp.clip(xp.abs(local[a]) - half[a], 0.0, None) for a in range(3))
    return x * x + y * y + z * z


def _gap_to_ellipsoid(ops: ArrayOps, half: Vectors, local: Vectors) -> Array:
    """Return twice the squared distance from an ellipsoid, measured towards its centre."""
    xp = ops.xp
    x, y, z = (local[a] / half[a] for a in range(3))
    scaled = xp.sqrt(x * x + y * y + z * z + 1e-12)
    gap = xp.clip(1.0 - 1.0 / scaled, 0.0, None) * xp.sqrt(dot(local, local))
    return 2.0 * gap * gap


def _gap_to_cylinder(ops: ArrayOps, half: Vectors, local: Vectors) -> Array:
    """Return the squared distance from a straight cylinder, sideways counted twice."""
    xp = ops.xp
    x, y = local.x / half.x, local.y / half.y
    scaled = xp.sqrt(x * x + y * y + 1e-12)
    side = xp.clip(1.0 - 1.0 / scaled, 0.0, None) * xp.sqrt(local.x * local.x + local.y * local.y)
    above = xp.clip(xp.abs(local.z) - half.z, 0.0, None)
    return 2.0 * side * side + above * above


def direct_light(
    ops: ArrayOps,
    lights: Array,
    materials: Array,
    hit: Hit,
    point: Vectors,
    direction: Vectors,
    open_shares: Array,
) -> tuple[Array, ...]:
    """Return the light (red, green, blue) that falls on points from lamps and suns, and then their reflections.

    `open_shares` (..., L, P) are the shares of the lights that arrive. On the sky the reflections are the glow around
    suns, and nothing is lit.
    """
    xp = ops.xp

    def lamp(
        light: Row, share: Array, at: Vectors, normal: Vectors, way: Vectors, power: Array, is_sky: Array
    ) -> tuple[Array, ...]:
        is_lamp = light.column(s.LIGHT_IS_LAMP)
        towards = to_light(light.vector(s.LIGHT_POSITION), is_lamp, at)
        squared = dot(towards, towards)
        per_length = 1.0 / xp.sqrt(squared + 1e-6)
        facing = xp.clip(dot(normal, towards) * per_length, 0.0, 1.0)
        lit = share * facing / (light.column(s.LIGHT_CONSTANT) + light.column(s.LIGHT_QUADRATIC) * squared)
        # Half-vector reflection.
        half = Vectors(*(towards[a] * per_length - way[a] for a in range(3)))
        sharp = xp.clip(dot(normal, half) / xp.sqrt(dot(half, half) + 1e-6), 1e-6, 1.0)
        shine = 0.3 * share * xp.exp(power * xp.log(sharp))
        # The sky is brighter around a sun; the sun's own disc is half a degree wide.
        aside = 1.0 - dot(way, towards) * per_length
        halo = (1.0 - is_lamp) * (0.12 * xp.exp(-6.0 * aside) + 4.0 * xp.exp(-8000.0 * aside))
        shine = xp.where(is_sky, halo, shine)
        lit = xp.where(is_sky, 0.0, lit)
        tint = light.vector(s.LIGHT_COLOUR)
        return tuple(c * lit for c in tint) + tuple(c * shine for c in tint)

    exponent = ops.lookup(materials[..., m.EXPONENT], hit.surface)
    on_sky = ops.lookup(materials[..., m.SKY], hit.surface) > 0.0
    return ops.total(lights, lamp, Shares(open_shares), point, hit.normal, direction, exponent, on_sky)


def develop(
    ops: ArrayOps,
    around: Array,
    materials: Array,
    hit: Hit,
    point: Vectors,
    direction: Vectors,
    colour: Vectors,
    direct: tuple[Array, ...],
    ambient_share: Array,
) -> Vectors:
    """Return the colour that a camera sees, 0..1, after exposure and gamma.

    `around` are the surroundings; `direction` is unit, from the camera; `colour` is the surface's own; `direct` comes
    from `direct_light`; `ambient_share` is the share of the surroundings' light that arrives.
    """
    xp = ops.xp

    def column(index: int) -> Array:
        return ops.lookup(materials[..., index], hit.surface)

    sky = column(m.SKY)
    inside = xp.zeros_like(ambient_share) + 1.0
    for axis in range(3):
        inside = xp.where(point[axis] >= around[..., s.INSIDE_LOW + axis, None], inside, 0.0)
        inside = xp.where(point[axis] <= around[..., s.INSIDE_HIGH + axis, None], inside, 0.0)
    ambient_share = ambient_share * (1.0 + inside * (around[..., s.INSIDE_SHARE, None] - 1.0)) * (1.0 - sky)
    from_above = 0.5 + 0.5 * hit.normal.z
    gloss = xp.where(sky > 0.0, 1.0, column(m.GLOSS))
    glow, sheen = column(m.GLOW), column(m.SHEEN)
    against = -dot(hit.normal, direction)
    mirrored = 0.5 + 0.5 * (direction.z + 2.0 * against * hit.normal.z)
    graze = 1.0 - xp.clip(against, 0.0, 1.0)
    sheen = sheen * (0.04 + 0.96 * graze * graze * graze * graze * graze)
    exposure = around[..., s.EXPOSURE, None]

    def tone(channel: int) -> Array:
        above, below = around[..., s.AMBIENT_ABOVE + channel, None], around[..., s.AMBIENT_BELOW + channel, None]
        ambient = (below + (above - below) * from_above) * ambient_share
        reflected = (below + (above - below) * mirrored) * ambient_share * sheen
        radiance = colour[channel] * (direct[channel] + ambient + glow) + direct[3 + channel] * gloss + reflected
        return xp.sqrt(xp.clip(1.0 - xp.exp(-exposure * radiance), 0.0, 1.0))

    return Vectors(tone(0), tone(1), tone(2))
