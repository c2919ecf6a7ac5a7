"""Rendering on a CPU: images cut into tiles, each with only the solids that matter to it."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metric3d_export.demo_model.render_steps import Steps, Surfaces, shadow_rays
from metric3d_export.demo_model.torch_world import FEWEST, filler
from metric3d_ros.world.array_ops import Vectors
from metric3d_ros.world.culling import Extents, Frustum, extents, in_box, in_frustum, may_shade
from metric3d_ros.world.light_transport import CONTACT_RADIUS
from metric3d_ros.world.ray_casting import SURFACE, Hit, Tables
from metric3d_ros.world.solids import LIGHT_COLOUR

TILE = 32  # pixels of a tile's side
TOGETHER = 512  # tiles that go through one step after the other
GROUP = 32  # of these, those with the most alike numbers of solids are computed at once


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
    unit = tiles / tiles.square().sum(1, keepdim=True).sqrt()
    direction = torch.einsum("tij,tjp->tip", rotation[owner], unit)
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

    def seen(self, rotation: Tensor, position: Tensor, ranges: Tensor) -> Tensor:
        """Tell (N, T, K) which solids the tiles of each view may see; ranges (N, T, 4)."""
        frustum = Frustum(rotation[:, None], position[:, None], ranges)
        keep: Tensor = in_frustum(torch, Extents(*(e[:, None] for e in self.extents)), frustum)
        return keep & self.is_real[:, None]

    def choose(self, owner: Tensor, keep: Tensor) -> Tables:
        """Return tables for some tiles: of the scenes `owner` (M,) the solids `keep` (M, K)."""
        chosen = []
        for rows, flags in zip(self.rows, keep.split(self.ends, 1), strict=True):
            item, solid = flags.nonzero(as_tuple=True)
            slot = flags.cumsum(1)[item, solid] - 1
            most = max(FEWEST, int(flags.sum(1).amax()))
            which = torch.full((len(owner), most), rows.shape[1] - 1)
            which[item, slot] = solid
            chosen.append(rows[owner[:, None], which])
        tables = self.tables
        return Tables(
            tables.enclosure[owner],
            *chosen,
            torch.cat([tables.solids[owner, :1], *chosen], 1),
            tables.materials[owner],
            tables.lights[owner],
            tables.surroundings[owner],
        )

    def groups(self, keep: Tensor) -> tuple[Tensor, ...]:
        """Split items into groups with similar numbers of solids, none of a single item."""
        boxes, ellipsoids, cylinders = (flags.sum(1) for flags in keep.split(self.ends, 1))
        order = (boxes + ellipsoids + 2 * cylinders).argsort()
        if len(order) == 1:
            order = order.expand(2)
        groups = list(order.split(GROUP))
        if len(groups) > 1 and len(groups[-1]) == 1:
            groups[-2:] = [torch.cat(groups[-2:])]
        return tuple(groups)

    def render(
        self, owner: Tensor, seen: Tensor, position: Tensor, direction: Tensor, pixel_angle: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return colours (M, 3, P), distances (M, 1, P) and normals (M, 3, P) of tiles."""
        surfaces = self._surfaces(owner, seen, position, direction, pixel_angle)
        point, hit = surfaces.point, surfaces.hit
        shares = self._shares(owner, surfaces)
        ambient = self._ambient(owner, surfaces)
        tables = self.choose(owner, torch.zeros_like(seen))
        direct = self.steps.lamps(tables, hit, point, direction, shares)
        rgb = self.steps.develop(tables, surfaces, direction, direct, ambient)
        return rgb, surfaces.distance[:, None], surfaces.normal

    def _surfaces(
        self, owner: Tensor, seen: Tensor, position: Tensor, direction: Tensor, pixel_angle: Tensor
    ) -> Surfaces:
        groups, parts = self.groups(seen), []
        for some in groups:
            tables, start, way = self.choose(owner[some], seen[some]), position[owner[some]], direction[some]
            distance, row = self.steps.nearest(tables, start, way)
            parts.append(self.steps.describe(tables, start, way, pixel_angle[some], distance, row))
        back = torch.cat(groups).argsort()[: len(owner)] if len(owner) > 1 else torch.zeros(2, dtype=torch.int64)

        def whole(columns: tuple[Tensor, ...]) -> Tensor:
            return torch.cat(columns)[back]

        hits = list(zip(*(part.hit for part in parts), strict=True))
        hit = Hit(*(whole(h) if isinstance(h[0], Tensor) else Vectors(*map(whole, zip(*h, strict=True))) for h in hits))
        point, colour = (
            Vectors(*map(whole, zip(*(getattr(part, name) for part in parts), strict=True)))
            for name in ("point", "colour")
        )
        rest = [whole(tuple(part[k] for part in parts)) for k in range(3, 7)]
        return Surfaces(hit, point, colour, *rest)

    def _shares(self, owner: Tensor, surfaces: Surfaces) -> Tensor:
        """Return the share (M, L, P) of each light that reaches the points of each tile."""
        lights = self.tables.lights[owner]
        own = Extents(*(e[owner, None] for e in self.extents))
        low, high = surfaces.low[:, None], surfaces.high[:, None]
        lit = (surfaces.low[:, :1] <= surfaces.high[:, :1]) & (lights[..., LIGHT_COLOUR : LIGHT_COLOUR + 3] > 0).any(-1)
        keep = may_shade(torch, own, low, high, lights) & self.is_real[owner, None] & lit[..., None]
        shares = torch.ones(*lights.shape[:2], surfaces.distance.shape[-1])
        tile, light = keep.any(-1).nonzero(as_tuple=True)
        if len(tile):
            for some in self.groups(keep[tile, light]):
                tiles, kind = tile[some], light[some]
                tables = self.choose(owner[tiles], keep[tiles, kind])
                point = Vectors(*(c[tiles] for c in surfaces.point))
                softness, towards = shadow_rays(lights[tiles, kind][:, None], point)
                found = self.steps.shadows(tables, softness, surfaces.hit.surface[tiles], point, towards)
                shares[tiles, kind] = found[:, 0]
        return shares

    def _ambient(self, owner: Tensor, surfaces: Surfaces) -> Tensor:
        """Return the share (M, P) of the surroundings' light that reaches the points of each tile."""
        reach = 5 * CONTACT_RADIUS
        own = Extents(*(e[owner] for e in self.extents))
        keep = in_box(own, surfaces.low - reach, surfaces.high + reach) & self.is_real[owner]
        ambient = torch.empty(surfaces.distance.shape)
        for some in self.groups(keep):
            tables = self.choose(owner[some], keep[some])
            normal, point = (Vectors(*(c[some] for c in v)) for v in (surfaces.hit.normal, surfaces.point))
            ambient[some] = self.steps.contacts(tables, surfaces.hit.surface[some], normal, point)
        return ambient
