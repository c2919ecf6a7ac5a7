"""Rendering on a CPU: images cut into tiles, each with only the solids that matter to it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metric3d_export.demo_model.rendering.render_steps import Steps, Surfaces, shadow_rays
from metric3d_export.demo_model.rendering.torch_world import FEWEST, all_solids, filler, lengths
from metric3d_ros.world.description.solids import LIGHT_COLOUR
from metric3d_ros.world.rendering.array_ops import Vectors
from metric3d_ros.world.rendering.culling import Extents, Frustum, extents, in_box, in_frustum, may_shade
from metric3d_ros.world.rendering.lighting import CONTACT_RADIUS
from metric3d_ros.world.rendering.ray_casting import SURFACE, Tables

TILE = 32  # pixels of a tile's side
GROUP = 32  # tiles that are computed at once: those with the most alike numbers of solids
TOGETHER = 16 * GROUP  # tiles that go through one step after the other


class Rendered(NamedTuple):
    """Pixels of several images, as the renderer leaves them."""

    rgb: Tensor  # (N, 3, H, W) float32, 0..1, one sample per pixel, without noise
    distance: Tensor  # (N, H, W) metres along the ray, inf in the sky
    normal: Tensor  # (N, 3, H, W) world frame, 0 in the sky


def render_tiles(
    steps: Steps, tables: Tables, rotation: Tensor, position: Tensor, rays: Tensor, pixel_angle: Tensor
) -> Rendered:
    """Render images: rotations (N, 3, 3), positions (N, 3), camera rays (N, 3, H, W), pixel angles (N, H, W)."""
    count, _, height, width = rays.shape
    down, across = -(-height // TILE), -(-width // TILE)

    def cut(images: Tensor) -> Tensor:
        """Return images (N, C, H, W) as tiles (N * tiles, C, pixels), the last row and column repeated."""
        whole = F.pad(images, (0, across * TILE - width, 0, down * TILE - height), mode="replicate")
        parts = whole.reshape(count, -1, down, TILE, across, TILE).permute(0, 2, 4, 1, 3, 5)
        return parts.reshape(count * down * across, images.shape[1], TILE * TILE)

    def join(parts: Tensor) -> Tensor:
        whole = parts.reshape(count, down, across, -1, TILE, TILE).permute(0, 3, 1, 4, 2, 5)
        return whole.reshape(count, -1, down * TILE, across * TILE)[..., :height, :width]

    tiles = cut(rays)
    slopes = tiles[:, :2] / tiles[:, 2:]
    ranges = torch.stack(
        [slopes[:, 0].amin(-1), slopes[:, 0].amax(-1), slopes[:, 1].amin(-1), slopes[:, 1].amax(-1)], -1
    )
    world = _World(steps, tables)
    owner = torch.arange(count).repeat_interleave(down * across)
    seen = world.seen(rotation, position, ranges.reshape(count, down * across, 4)).reshape(len(owner), -1)
    unit = tiles / lengths(tiles)[:, None]
    direction = torch.bmm(rotation[owner], unit)
    angle = cut(pixel_angle[:, None])[:, 0]
    parts = [
        world.render(owner[some], seen[some], position, direction[some], angle[some])
        for some in torch.arange(len(owner)).split(TOGETHER)
    ]
    rgb, distance, normal = (join(torch.cat(list(column))) for column in zip(*parts, strict=True))
    return Rendered(rgb, distance[:, 0], normal)


class _World:
    """A batch of scenes, and the steps that render them."""

    def __init__(self, steps: Steps, tables: Tables) -> None:
        self.steps, self.tables = steps, tables
        self.extents = extents(torch, tables)
        groups = (tables.boxes, tables.ellipsoids, tables.cylinders)
        self.is_real = torch.cat([rows[..., SURFACE] for rows in groups], 1) >= 0
        nothing = torch.from_numpy(filler()).expand(len(tables.boxes), 1, -1)
        self.rows = [torch.cat([rows, nothing], 1) for rows in groups]
        self.ends = [rows.shape[1] for rows in groups]
        self.costs = torch.tensor([1.0, 1.0, 2.0]).repeat_interleave(torch.tensor(self.ends))

    def seen(self, rotation: Tensor, position: Tensor, ranges: Tensor) -> Tensor:
        """Return (N, T, K) which solids the tiles of each view may see; ranges (N, T, 4)."""
        frustum = Frustum(rotation[:, None], position[:, None], ranges)
        keep: Tensor = in_frustum(torch, Extents(*(e[:, None] for e in self.extents)), frustum)
        return keep & self.is_real[:, None]

    def choose(self, owner: Tensor, keep: Tensor) -> Tables:
        """Return tables for some tiles: of the scenes `owner` (M,) the solids `keep` (M, K)."""
        chosen = []
        for rows, flags in zip(self.rows, keep.split(self.ends, 1), strict=True):
            item, solid = flags.nonzero(as_tuple=True)
            place = flags.cumsum(1, dtype=torch.int32)
            slot = place[item, solid].long() - 1
            most = max(FEWEST, int(place[:, -1].amax()))
            which = torch.full((len(owner), most), rows.shape[1] - 1)
            which[item, slot] = solid
            chosen.append(rows[owner[:, None], which])
        return self.tables._replace(
            enclosure=self.tables.enclosure[owner],
            boxes=chosen[0],
            ellipsoids=chosen[1],
            cylinders=chosen[2],
            surroundings=self.tables.surroundings[owner],
        )

    def groups(self, keep: Tensor) -> list[tuple[Tensor, int]]:
        """Return groups of `GROUP` items with alike numbers of solids, and how many of each count; the rest repeat."""
        return _groups((keep.float() @ self.costs).argsort())

    def render(
        self, owner: Tensor, seen: Tensor, position: Tensor, direction: Tensor, pixel_angle: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return colours (M, 3, P), distances (M, 1, P) and normals (M, 3, P) of tiles."""
        surfaces, colour, order = self._surfaces(owner, seen, position, direction, pixel_angle)
        owner, direction = owner[order], direction[order]
        sky = torch.isinf(surfaces.distance)
        low = torch.stack([torch.where(sky, torch.inf, c).amin(1) for c in surfaces.point], 1)
        high = torch.stack([torch.where(sky, -torch.inf, c).amax(1) for c in surfaces.point], 1)
        shares = self._shares(owner, surfaces, low, high)
        ambient = self._ambient(owner, surfaces, low, high)
        parts = []
        for some, real in _groups(torch.arange(len(owner))):
            own = owner[some]
            # A view costs nothing, a choice by index a copy.
            here = slice(int(some[0]), int(some[0]) + GROUP) if real == GROUP else some
            rgb = self.steps.develop(
                self.tables.lights[own],
                self.tables.surroundings[own],
                self.tables.materials[own],
                _taken(surfaces, here),
                direction[here],
                _taken(colour, here),
                shares[here],
                ambient[here],
            )
            parts.append(rgb[:real])
        back = order.argsort()
        return torch.cat(parts)[back], surfaces.distance[back, None], surfaces.normal[back]

    def _surfaces(
        self, owner: Tensor, seen: Tensor, position: Tensor, direction: Tensor, pixel_angle: Tensor
    ) -> tuple[Surfaces, Vectors, Tensor]:
        """Return what tiles see, and of which tile each item is."""
        parts, order = [], []
        for some, real in self.groups(seen):
            own, way = owner[some], direction[some]
            tables, start = self.choose(own, seen[some]), position[own]
            distance, row = self.steps.nearest(tables, start, way)
            solids = all_solids(self.tables.solids[own, :1], tables.boxes, tables.ellipsoids, tables.cylinders)
            materials = self.tables.materials[own]
            surfaces = self.steps.describe(solids, materials, start, way, distance, row)
            colour = self.steps.paint(materials, surfaces.hit, way, pixel_angle[some])
            parts.append(_taken((surfaces, colour), slice(real)))
            order.append(some[:real])
        surfaces, colour = _joined(parts)
        return surfaces, colour, torch.cat(order)

    def _shares(self, owner: Tensor, surfaces: Surfaces, low: Tensor, high: Tensor) -> Tensor:
        """Return the share (M, L, P) of each light that reaches the points of each tile, within `low` and `high`."""
        lights = self.tables.lights[owner]
        own = Extents(*(e[owner, None] for e in self.extents))
        lit = (low[:, :1] <= high[:, :1]) & (lights[..., LIGHT_COLOUR : LIGHT_COLOUR + 3] > 0).any(-1)
        keep = may_shade(torch, own, low[:, None], high[:, None], lights) & self.is_real[owner, None] & lit[..., None]
        shares = torch.ones(*lights.shape[:2], surfaces.distance.shape[-1])
        tile, light = keep.any(-1).nonzero(as_tuple=True)
        for some, real in self.groups(keep[tile, light]):
            tiles, kind = tile[some], light[some]
            tables = self.choose(owner[tiles], keep[tiles, kind])
            point = _taken(surfaces.point, tiles)
            softness, towards = shadow_rays(lights[tiles, kind][:, None], point)
            found = self.steps.shadows(tables, softness, surfaces.hit.surface[tiles], point, towards)
            shares[tiles[:real], kind[:real]] = found[:real, 0]
        return shares

    def _ambient(self, owner: Tensor, surfaces: Surfaces, low: Tensor, high: Tensor) -> Tensor:
        """Return the share (M, P) of the surroundings' light that reaches the points of each tile."""
        reach = 5 * CONTACT_RADIUS
        own = Extents(*(e[owner] for e in self.extents))
        keep = in_box(own, low - reach, high + reach) & self.is_real[owner]
        ambient = torch.empty(surfaces.distance.shape)
        for some, real in self.groups(keep):
            tables = self.choose(owner[some], keep[some])
            normal, point = _taken(surfaces.hit.normal, some), _taken(surfaces.point, some)
            found = self.steps.contacts(tables, surfaces.hit.surface[some], normal, point)
            ambient[some[:real]] = found[:real]
        return ambient


def _groups(order: Tensor) -> list[tuple[Tensor, int]]:
    """Split items into groups of `GROUP`; the last is filled with its last item. Returns how many of each are real."""
    groups = [(some, len(some)) for some in order.split(GROUP) if len(some)]
    return [(torch.cat([some, some[-1:].expand(GROUP - real)]), real) for some, real in groups]


def _taken(record: Any, index: Tensor | slice) -> Any:
    """Return some items of a tensor, or of all tensors of nested tuples."""
    if isinstance(record, Tensor):
        return record[index]
    parts = [_taken(part, index) for part in record]
    return type(record)(*parts) if hasattr(record, "_fields") else tuple(parts)


def _joined(records: Sequence[Any]) -> Any:
    """Return the items of alike nested tuples of tensors one after the other."""
    if isinstance(records[0], Tensor):
        return torch.cat(list(records))
    parts = [_joined(column) for column in zip(*records, strict=True)]
    return type(records[0])(*parts) if hasattr(records[0], "_fields") else tuple(parts)
