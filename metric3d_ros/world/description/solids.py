"""The parts of a scene: boxes, ellipsoids and cylinders in any orientation, lamps and the sun; the draft of a scene.

World frame: z up, metres. Every solid has a row of `SOLID_COLUMNS` numbers, whatever its kind, so that the same code
finds a point's texture coordinates on all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.world.description.materials import COLUMNS, Material

Vector = tuple[float, float, float]
Rotation = NDArray[
    np.float32
]  # (3, 3), rows are the local axes in the world frame: local = rotation @ (point - centre)

FLOOR = 4  # row of the material table; rows 0..3 are the faces x low, x high, y low, y high, row 5 is the ceiling
ENCLOSURE_FACES = 6

# Columns of a solid. Texture coordinates are local coordinates plus the texture's offset.
ROTATION, CENTRE, HALF_SIZE, TEXTURE, TAPER = 0, 9, 12, 15, 18
SOLID_COLUMNS = 19

# Columns of a light: the vector from a point to the light is position - (1 if it is a lamp) * point; lit by
# colour / (constant + quadratic * distance^2); its shadows' edges grow by `softness` metres a metre.
LIGHT_POSITION, LIGHT_IS_LAMP, LIGHT_COLOUR, LIGHT_CONSTANT, LIGHT_QUADRATIC, LIGHT_SOFTNESS = 0, 3, 4, 7, 8, 9
LIGHT_COLUMNS = 10

# Columns of the surroundings.
AMBIENT_ABOVE, AMBIENT_BELOW, EXPOSURE = 0, 3, 6  # light from above and from below, for surfaces that face it
INSIDE_LOW, INSIDE_HIGH, INSIDE_SHARE = 7, 10, 13  # within this box only this share of that light arrives
CONTACT_BEHIND = 14  # 1: solids behind a surface darken it too, as in the rooms that came first; 0: they do not
SURROUNDINGS_COLUMNS = 15

SUN_REACH_M = 300.0  # objects farther away cast no shadow in the sun


@dataclass(frozen=True)
class Scene:
    """An enclosure and the solids in it, as tables of float32; metres, world frame.

    Material rows: six faces of the enclosure (x low, x high, y low, y high, floor, ceiling), then one per box,
    ellipsoid and cylinder, in that order. A face whose material is a sky has no depth.

    Attributes:
        kind: "room", "hall", "corridor", "street", ...: samples are grouped by it.
        enclosure: (6,) low and high corner; everything is seen from within.
        boxes: (B, 19) see the columns above; half sizes along the local axes.
        ellipsoids: (E, 19) radii along the local axes.
        cylinders: (C, 19) radii along local x and y at the bottom, half the length along local z; taper is the radii's
            ratio of top to bottom, 1 if straight.
        materials: (6 + B + E + C, COLUMNS), see materials.py.
        lights: (L, 10), at least one.
        surroundings: (15,) ambient light and exposure.
    """

    seed: int
    kind: str
    enclosure: NDArray[np.float32]
    boxes: NDArray[np.float32]
    ellipsoids: NDArray[np.float32]
    cylinders: NDArray[np.float32]
    materials: NDArray[np.float32]
    lights: NDArray[np.float32]
    surroundings: NDArray[np.float32]

    @property
    def size(self) -> NDArray[np.float32]:
        """The enclosure's size (3,)."""
        size: NDArray[np.float32] = self.enclosure[3:] - self.enclosure[:3]
        return size

    @property
    def solid_count(self) -> int:
        """The number of solids."""
        return len(self.boxes) + len(self.ellipsoids) + len(self.cylinders)

    def bounds(self) -> NDArray[np.float32]:
        """Return the axis-aligned bounding boxes (K, 6) of all solids: boxes, ellipsoids, cylinders."""
        parts = [box_bounds(self.boxes), ellipsoid_bounds(self.ellipsoids), box_bounds(self.cylinders)]
        bounds: NDArray[np.float32] = np.concatenate(parts)
        return bounds


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Rotation:
    """Return the rotation of a solid that is first rolled about x, then pitched about y, then turned about z; radians.

    A positive yaw turns x towards y, a positive pitch lifts x towards z, a positive roll turns y towards z.
    """
    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    cos_pitch, sin_pitch = math.cos(pitch), math.sin(pitch)
    cos_roll, sin_roll = math.cos(roll), math.sin(roll)
    about_z = np.array([[cos_yaw, sin_yaw, 0], [-sin_yaw, cos_yaw, 0], [0, 0, 1]])
    about_y = np.array([[cos_pitch, 0, sin_pitch], [0, 1, 0], [-sin_pitch, 0, cos_pitch]])
    about_x = np.array([[1, 0, 0], [0, cos_roll, sin_roll], [0, -sin_roll, cos_roll]])
    return np.array(about_x @ about_y @ about_z, np.float32)


def along(axis: Vector) -> Rotation:
    """Return a rotation whose local z points along `axis` (any length), its local x level if possible."""
    z = np.array(axis, float)
    length = float(np.linalg.norm(z))
    if length < 1e-6:
        raise ConfigurationError(f"axis {axis} of a solid has no length; give two points that are apart")
    z /= length
    x = np.array([z[1], -z[0], 0.0]) if math.hypot(z[0], z[1]) > 1e-6 else np.array([1.0, 0.0, 0.0])
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z]).astype(np.float32)


def _extent(rows: NDArray[np.float32], reach: NDArray[np.float32]) -> NDArray[np.float32]:
    centre = rows[:, CENTRE : CENTRE + 3]
    extent: NDArray[np.float32] = np.concatenate([centre - reach, centre + reach], axis=1)
    return extent


def box_bounds(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bounding boxes (K, 6) of boxes; of cylinders too, though a little large if they are turned."""
    half = rows[:, HALF_SIZE : HALF_SIZE + 3] * _widest(rows)
    spokes = np.abs(rows[:, :9].reshape(-1, 3, 3)) * half[..., None]
    return _extent(rows, spokes.sum(axis=1))


def ellipsoid_bounds(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bounding boxes (K, 6) of ellipsoids."""
    scaled = rows[:, :9].reshape(-1, 3, 3) * rows[:, HALF_SIZE : HALF_SIZE + 3, None]
    return _extent(rows, np.sqrt(np.square(scaled).sum(axis=1)))


def _widest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the factors (K, 3) by which the half sizes grow if a cylinder is wider at its top."""
    factor = np.ones((len(rows), 3), np.float32)
    factor[:, :2] = np.maximum(rows[:, TAPER, None], 1.0)
    return factor


@dataclass
class SceneDraft:
    """A scene under construction.

    `faces` are the materials of the enclosure's faces: x low, x high, y low, y high, floor, ceiling.
    """

    low: Vector
    high: Vector
    faces: Sequence[Material]
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    box_materials: list[Material] = field(default_factory=list)
    ellipsoids: list[NDArray[np.float32]] = field(default_factory=list)
    ellipsoid_materials: list[Material] = field(default_factory=list)
    cylinders: list[NDArray[np.float32]] = field(default_factory=list)
    cylinder_materials: list[Material] = field(default_factory=list)
    lights: list[NDArray[np.float32]] = field(default_factory=list)
    above: Vector = (0.5, 0.5, 0.5)
    below: Vector = (0.35, 0.35, 0.35)
    exposure: float = 1.0
    inside: tuple[Vector, Vector, float] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
    contact_behind: bool = False

    def __len__(self) -> int:
        """Return the number of solids."""
        return len(self.boxes) + len(self.ellipsoids) + len(self.cylinders)

    def add_box(
        self,
        centre: Vector,
        size: Vector,
        material: Material,
        rotation: Rotation | None = None,
        *,
        texture_origin: Vector | None = None,
    ) -> None:
        """Add a box of full edge lengths `size`.

        Its pattern starts at its low corner, or at `texture_origin` in the world, so that the pieces of one wall match.
        """
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self.boxes.append(_row(centre, half, rotation, half, texture_origin=texture_origin))
        self.box_materials.append(material)

    def add_box_between(
        self, low: Vector, high: Vector, material: Material, *, texture_origin: Vector | None = None
    ) -> None:
        """Add a box along the world's axes between two corners."""
        centre = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
        size = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
        self.add_box(centre, size, material, texture_origin=texture_origin)

    def add_ellipsoid(
        self, centre: Vector, radii: Vector | float, material: Material, rotation: Rotation | None = None
    ) -> None:
        """Add an ellipsoid; one radius makes it a ball. Its pattern starts at its centre."""
        radii = (radii, radii, radii) if isinstance(radii, int | float) else radii
        self.ellipsoids.append(_row(centre, radii, rotation, (0.0, 0.0, 0.0)))
        self.ellipsoid_materials.append(material)

    def add_cylinder(
        self,
        base: Vector,
        top: Vector,
        radius: float | tuple[float, float],
        material: Material,
        taper: float = 1.0,
        *,
        turned: float = 0.0,
    ) -> None:
        """Add a cylinder between two points of its axis; a cone if `taper`, the top's radius by the base's, is not 1.

        `radius` is the base's; two radii, of which the first is level, make it elliptic. `turned` turns it about its
        axis. Its pattern starts at its base.
        """
        if taper < 0:
            raise ConfigurationError(f"taper of a cylinder is {taper:g}; expected the ratio of two radii, 0 or more")
        axis = (top[0] - base[0], top[1] - base[1], top[2] - base[2])
        centre = ((base[0] + top[0]) / 2, (base[1] + top[1]) / 2, (base[2] + top[2]) / 2)
        half_length = math.hypot(*axis) / 2
        wide, deep = (radius, radius) if isinstance(radius, int | float) else radius
        rotation = turn(turned) @ along(axis)
        self.cylinders.append(_row(centre, (wide, deep, half_length), rotation, (0.0, 0.0, half_length), taper=taper))
        self.cylinder_materials.append(material)

    def add_lamp(
        self,
        position: Vector,
        colour: Vector,
        *,
        softness: float = 0.05,
        constant: float = 0.6,
        quadratic: float = 0.25,
    ) -> None:
        """Add a lamp: it lights by colour / (constant + quadratic * distance^2), linear RGB.

        The edges of its shadows grow by `softness` metres a metre; what is thinner than that lets light through.
        """
        self.lights.append(np.array([*position, 1.0, *colour, constant, quadratic, softness], np.float32))

    def add_sun(self, towards: Vector, colour: Vector, *, softness: float = 0.012) -> None:
        """Add a sun in the direction `towards` (any length)."""
        scale = SUN_REACH_M / math.hypot(*towards)
        position = (towards[0] * scale, towards[1] * scale, towards[2] * scale)
        self.lights.append(np.array([*position, 0.0, *colour, 1.0, 0.0, softness], np.float32))

    def finish(self, seed: int, kind: str) -> Scene:
        """Return the scene. Raises ConfigurationError if it has no light, or not six faces."""
        if not self.lights or len(self.faces) != ENCLOSURE_FACES:
            raise ConfigurationError(
                f"scene {seed} has {len(self.lights)} lights and {len(self.faces)} faces; expected 1 or more, and 6"
            )

        def table(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
            return np.array(rows, np.float32).reshape(-1, SOLID_COLUMNS)

        low, high, share = self.inside
        surroundings = [*self.above, *self.below, self.exposure, *low, *high, share, float(self.contact_behind)]
        rows = [*self.faces, *self.box_materials, *self.ellipsoid_materials, *self.cylinder_materials]
        return Scene(
            seed=seed,
            kind=kind,
            enclosure=np.array([*self.low, *self.high], np.float32),
            boxes=table(self.boxes),
            ellipsoids=table(self.ellipsoids),
            cylinders=table(self.cylinders),
            materials=np.stack([material.row() for material in rows]).reshape(-1, COLUMNS),
            lights=np.stack(self.lights),
            surroundings=np.array(surroundings, np.float32),
        )


def _row(
    centre: Vector,
    half_size: Vector,
    rotation: Rotation | None,
    texture: Vector,
    *,
    taper: float = 1.0,
    texture_origin: Vector | None = None,
) -> NDArray[np.float32]:
    """Return one solid's row. Raises ConfigurationError for a solid without volume."""
    if not min(half_size) > 0:
        raise ConfigurationError(f"solid at {centre} has half sizes {half_size}; expected all of them above 0")
    turned = np.eye(3) if rotation is None else np.asarray(rotation, float)
    offset = np.array(texture, float)
    if texture_origin is not None:
        offset = turned @ (np.array(centre, float) - np.array(texture_origin, float))
    return np.array([*turned.reshape(-1), *centre, *half_size, *offset, taper], np.float32)
