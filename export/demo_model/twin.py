"""The renderer of the synthetic world on PyTorch: many views at once, for making training images.

On a GPU whole images go through one compiled function. On a CPU images are cut into tiles, and each tile is rendered
with only the solids that it can see, that can shade it and that touch it (tiles.py).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metric3d_ros.world import light_transport, ray_casting
from metric3d_ros.world.array_ops import ArrayOps, Row, Shares, Vectors
from metric3d_ros.world.materials import COLUMNS, SKY
from metric3d_ros.world.patterns import albedo
from metric3d_ros.world.ray_casting import SURFACE, TRACED_COLUMNS, Hit, Tables
from metric3d_ros.world.solids import (
    CENTRE,
    HALF_SIZE,
    LIGHT_COLUMNS,
    LIGHT_CONSTANT,
    LIGHT_IS_LAMP,
    LIGHT_SOFTNESS,
    TAPER,
    Scene,
)

NOWHERE = -1000.0
FEWEST = 2  # rows of a table, at least: the compiler takes sizes of 0 and 1 for constants

FUSED = {
    # The compiler must not write out what it computes for each pair of a solid and a ray: one loop, nothing stored.
    "realize_reads_threshold": 10_000,
    "realize_opcount_threshold": 1_000_000,
    "realize_acc_reads_threshold": 10_000,
}


def _expanded(rays: Sequence[Any]) -> list[Any]:
    """Return rays (..., P) as (..., 1, P), to go with an axis of solids; `Shares` have that axis already."""
    return [
        ray.rows
        if isinstance(ray, Shares)
        else Vectors(*(c.unsqueeze(-2) for c in ray))
        if isinstance(ray, Vectors)
        else ray.unsqueeze(-2)
        for ray in rays
    ]


def _all_rows(table: Tensor) -> Row:
    return Row(lambda column: table[..., column, None])


def _nearest(table: Tensor, distance: Callable[..., Tensor], *rays: Any) -> tuple[Tensor, Tensor]:
    found = distance(_all_rows(table), *_expanded(rays))
    # The row in the lowest bits of the (positive) distance: a minimum is much faster than its place.
    bits = 9
    numbers = torch.arange(table.shape[-2], dtype=torch.int32, device=table.device)[:, None]
    packed = (found.view(torch.int32) & -(1 << bits)) | numbers
    return found.amin(-2), packed.amin(-2) & ((1 << bits) - 1)


TORCH_OPS = ArrayOps(
    xp=torch,
    to_int32=lambda tensor: tensor.to(torch.int32),
    to_float32=lambda tensor: tensor.to(torch.float32),
    lookup=lambda table, ids: torch.take_along_dim(table, ids.long(), -1),
    gather=lambda table, ids: Row(lambda column: torch.take_along_dim(table[..., column], ids.long(), -1)),
    matters=lambda mask: True,
    nearest=_nearest,
    product=lambda table, factor, *rays: factor(_all_rows(table), *_expanded(rays)).prod(-2),
    total=lambda table, parts, *rays: tuple(part.sum(-2) for part in parts(_all_rows(table), *_expanded(rays))),
)


class Rendered(NamedTuple):
    """Pixels of several images, as the renderer leaves them."""

    rgb: Tensor  # (N, 3, P) float32, 0..1, one sample per pixel, without noise
    distance: Tensor  # (N, P) metres along the ray, inf in the sky
    normal: Tensor  # (N, 3, P) world frame, 0 in the sky


def filler() -> np.ndarray:
    """Return the row of a solid that nothing sees."""
    row = np.zeros(TRACED_COLUMNS, np.float32)
    row[[0, 4, 8, TAPER]] = 1.0
    row[CENTRE : CENTRE + 3], row[HALF_SIZE : HALF_SIZE + 3], row[SURFACE] = NOWHERE, 1e-3, -1.0
    return row


def stack_tables(scenes: Sequence[Scene], *, device: torch.device | str = "cpu") -> Tables:
    """Return the scenes' tables with a leading batch dimension, padded with solids and lights that do nothing."""
    tables = [ray_casting.tables_of(scene) for scene in scenes]
    no_light = np.zeros(LIGHT_COLUMNS, np.float32)
    no_light[[LIGHT_IS_LAMP, LIGHT_CONSTANT, LIGHT_SOFTNESS]] = 1.0

    def padded(field: str, row: np.ndarray) -> np.ndarray:
        rows = [getattr(table, field) for table in tables]
        whole = np.tile(row, (len(rows), max(FEWEST, *(len(own) for own in rows)), 1))
        for padded_rows, own in zip(whole, rows, strict=True):
            padded_rows[: len(own)] = own
        return whole

    boxes, ellipsoids, cylinders = (padded(field, filler()) for field in ("boxes", "ellipsoids", "cylinders"))
    enclosures = np.stack([table.solids[:1] for table in tables])
    stacked = Tables(
        enclosure=np.stack([table.enclosure for table in tables]),
        boxes=boxes,
        ellipsoids=ellipsoids,
        cylinders=cylinders,
        solids=np.concatenate([enclosures, boxes, ellipsoids, cylinders], axis=1),
        materials=padded("materials", np.ones(COLUMNS, np.float32)),
        lights=padded("lights", no_light),
        surroundings=np.stack([table.surroundings for table in tables]),
    )
    return Tables(*(torch.from_numpy(array).to(device, non_blocking=True) for array in stacked))


class Surfaces(NamedTuple):
    """What rays hit, before light falls on it."""

    hit: Hit
    point: Vectors
    direction: Vectors
    colour: Vectors


def find_surfaces(tables: Tables, position: Tensor, direction: Tensor, pixel_angle: Tensor) -> Surfaces:
    """Cast one ray per pixel: positions (N, 3), unit directions (N, 3, P) in the world frame, pixel angles (N, P)."""
    origin, way = Vectors(*position.unsqueeze(-1).unbind(1)), Vectors(*direction.unbind(1))
    hit = ray_casting.trace(TORCH_OPS, tables, origin, way)
    point = Vectors(*(origin[a] + hit.distance * way[a] for a in range(3)))
    return Surfaces(hit, point, way, albedo(TORCH_OPS, tables, hit, way, pixel_angle))


def cast_shadows(tables: Tables, lights: Tensor, surface: Tensor, point: Vectors) -> Tensor:
    """Return the share of each light (..., L, LIGHT_COLUMNS) that reaches points (..., P), as (..., L, P)."""
    position = Vectors(*(lights[..., a, None] for a in range(3)))
    apart = Vectors(*(c.unsqueeze(-2) for c in point))
    towards = light_transport.to_light(position, lights[..., LIGHT_IS_LAMP, None], apart)
    solids = tables._replace(
        **{field: getattr(tables, field).unsqueeze(-3) for field in ("boxes", "ellipsoids", "cylinders")}
    )
    softness = lights[..., LIGHT_SOFTNESS, None]
    return light_transport.shadow(TORCH_OPS, solids, surface.unsqueeze(-2), apart, towards, softness)


def light_surfaces(tables: Tables, surfaces: Surfaces, open_shares: Tensor) -> Tensor:
    """Return colours (N, 3, P), 0..1, given the shares (N, L, P) of the lights that arrive."""
    hit, point, direction, colour = surfaces
    ambient = light_transport.contact(TORCH_OPS, tables, hit, point)
    lit = light_transport.light_up(TORCH_OPS, tables, hit, point, direction, colour, open_shares, ambient)
    return torch.stack(lit, 1)


def without_sky(tables: Tables, hit: Hit) -> tuple[Tensor, Tensor]:
    """Return distances and normals (N, 3, P); the sky is at infinity and has no normal."""
    sky = TORCH_OPS.lookup(tables.materials[..., SKY], hit.surface) > 0
    distance = torch.where(sky, torch.inf, hit.distance)
    return distance, torch.stack([torch.where(sky, 0.0, c) for c in hit.normal], 1)


def render_pixels(tables: Tables, position: Tensor, direction: Tensor, pixel_angle: Tensor) -> Rendered:
    """Render one sample per ray: positions (N, 3), unit directions (N, 3, P), world frame, pixel angles (N, P)."""
    surfaces = find_surfaces(tables, position, direction, pixel_angle)
    open_shares = cast_shadows(tables, tables.lights, surfaces.hit.surface, surfaces.point)
    distance, normal = without_sky(tables, surfaces.hit)
    return Rendered(light_surfaces(tables, surfaces, open_shares), distance, normal)


def _mark(tables: Tables, *others: Tensor) -> None:
    """Tell the compiler that batches, and the numbers of solids and lights, differ from call to call."""
    for tensor in (*tables, *others):
        torch._dynamo.mark_dynamic(tensor, 0)
    for tensor in (tables.boxes, tables.ellipsoids, tables.cylinders, tables.solids, tables.materials, tables.lights):
        torch._dynamo.mark_dynamic(tensor, 1)


compiled_render_pixels = torch.compile(render_pixels, options=FUSED)


def render_views(
    scenes: Sequence[Scene] | Tables, rotation: Tensor, position: Tensor, rays: Tensor, *, compiled: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Render one view per scene: rotations (N, 3, 3), positions (N, 3), camera rays (N, H, W, 3) with z = 1.

    The scenes may be given as `stack_tables` returns them, on the device of the rays. Returns colour (N, H, W, 3) in
    0..1, z-depth (N, H, W) in metres, inf in the sky, and normals (N, H, W, 3) in the optical frame, 0 in the sky.
    """
    tables = scenes if isinstance(scenes, Tables) else stack_tables(scenes, device=rays.device)
    count, height, width, _ = rays.shape
    length = rays.square().sum(-1, keepdim=True).sqrt()
    unit = rays / length
    # As in the NumPy renderer: the mean angle between neighbouring rays.
    down, across = (torch.diff(unit, dim=axis).square().sum(-1).sqrt() for axis in (1, 2))
    angle = (torch.cat([down, down[:, -1:]], 1) + torch.cat([across, across[:, :, -1:]], 2)) / 2
    world = torch.einsum("nij,nhwj->nihw", rotation, unit).reshape(count, 3, -1)
    tensors = (position, world, angle.reshape(count, -1))
    if compiled:
        _mark(tables, *tensors)
        rendered = compiled_render_pixels(tables, *tensors)
    else:
        rendered = render_pixels(tables, *tensors)
    depth = rendered.distance.reshape(count, height, width) / length[..., 0]
    normal = torch.einsum("nji,njp->npi", rotation, rendered.normal).reshape(count, height, width, 3)
    return rendered.rgb.permute(0, 2, 1).reshape(count, height, width, 3), depth, normal
