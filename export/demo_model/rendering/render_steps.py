"""The steps from rays to colours on PyTorch, plain or compiled.

Steps that loop over solids are compiled such that nothing is stored for a pair of a solid and a ray, and once for any
number of solids. The others are compiled as usual, where the compiler stores what it would otherwise compute again and
again, and for one size of tile or image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metric3d_export.demo_model.rendering.torch_world import TORCH_OPS
from metric3d_ros.world.description.materials import SKY
from metric3d_ros.world.description.solids import LIGHT_IS_LAMP, LIGHT_SOFTNESS
from metric3d_ros.world.rendering import lighting as light_transport
from metric3d_ros.world.rendering import patterns, ray_casting
from metric3d_ros.world.rendering.array_ops import Vectors
from metric3d_ros.world.rendering.ray_casting import Hit, Tables

FUSED = {
    "realize_reads_threshold": 10_000,
    "realize_opcount_threshold": 1_000_000,
    "realize_acc_reads_threshold": 10_000,
}


class Surfaces(NamedTuple):
    """What rays hit, before light falls on it; the sky is at infinity and has no normal."""

    hit: Hit
    point: Vectors
    distance: Tensor  # (N, P) metres along the ray, inf in the sky
    normal: Tensor  # (N, 3, P) world frame, 0 in the sky


def _vectors(rays: Tensor) -> Vectors:
    return Vectors(*rays.unbind(1))


def _nearest(tables: Tables, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Cast rays: positions (N, 3), unit directions (N, 3, P) in the world frame."""
    return ray_casting.find_nearest(TORCH_OPS, tables, _vectors(position.unsqueeze(-1)), _vectors(direction))


def _describe(
    solids: Tensor, materials: Tensor, position: Tensor, direction: Tensor, distance: Tensor, row: Tensor
) -> Surfaces:
    origin, way = _vectors(position.unsqueeze(-1)), _vectors(direction)
    hit = ray_casting.describe(TORCH_OPS, solids, origin, way, distance, row)
    point = Vectors(*(origin[a] + distance * way[a] for a in range(3)))
    sky = TORCH_OPS.lookup(materials[..., SKY], hit.surface) > 0
    normal = torch.stack([torch.where(sky, 0.0, c) for c in hit.normal], 1)
    return Surfaces(hit, point, torch.where(sky, torch.inf, distance), normal)


def _paint(materials: Tensor, hit: Hit, direction: Tensor, pixel_angle: Tensor) -> Vectors:
    """Return the surfaces' own colours."""
    return patterns.albedo(TORCH_OPS, materials, hit, _vectors(direction), pixel_angle)


def _shadows(tables: Tables, softness: Tensor, surface: Tensor, point: Vectors, towards: Vectors) -> Tensor:
    """Return the share of each light that reaches points (N, P), as (N, L, P); see `shadow_rays`."""
    solids = tables._replace(
        boxes=tables.boxes.unsqueeze(-3),
        ellipsoids=tables.ellipsoids.unsqueeze(-3),
        cylinders=tables.cylinders.unsqueeze(-3),
    )
    apart = Vectors(*(c.unsqueeze(-2) for c in point))
    return light_transport.shadow(TORCH_OPS, solids, surface.unsqueeze(-2), apart, towards, softness)


def shadow_rays(lights: Tensor, point: Vectors) -> tuple[Tensor, Vectors]:
    """Return the softness (N, L, 1) of lights (N, L, columns) and the vectors (N, L, P) from points (N, P) to them."""
    position = Vectors(*(lights[..., a, None] for a in range(3)))
    apart = Vectors(*(c.unsqueeze(-2) for c in point))
    towards = light_transport.to_light(position, lights[..., LIGHT_IS_LAMP, None], apart)
    return lights[..., LIGHT_SOFTNESS, None], towards


def _contacts(tables: Tables, surface: Tensor, normal: Vectors, point: Vectors) -> Tensor:
    return light_transport.contact(TORCH_OPS, tables, surface, normal, point)


def _develop(
    lights: Tensor,
    around: Tensor,
    materials: Tensor,
    surfaces: Surfaces,
    direction: Tensor,
    colour: Vectors,
    open_shares: Tensor,
    ambient_share: Tensor,
) -> Tensor:
    """Return colours (N, 3, P), 0..1."""
    way, hit, point = _vectors(direction), surfaces.hit, surfaces.point
    direct = light_transport.direct_light(TORCH_OPS, lights, materials, hit, point, way, open_shares)
    seen = light_transport.develop(TORCH_OPS, around, materials, hit, point, way, colour, direct, ambient_share)
    return torch.stack(seen, 1)


@dataclass(frozen=True)
class Steps:
    """The steps, in their order; see the functions of this module."""

    nearest: Callable[..., tuple[Tensor, Tensor]]
    describe: Callable[..., Surfaces]
    paint: Callable[..., Vectors]
    shadows: Callable[..., Tensor]
    contacts: Callable[..., Tensor]
    develop: Callable[..., Tensor]


def _over_solids(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a step for tables of any number of solids."""
    compiled = torch.compile(function, options=FUSED)

    def call(tables: Tables, *arguments: Any) -> Any:
        bare = tables._replace(solids=None, materials=None, lights=None)
        for table in (bare.boxes, bare.ellipsoids, bare.cylinders):
            torch._dynamo.mark_dynamic(table, 1)
        return compiled(bare, *arguments)

    return call


PLAIN = Steps(_nearest, _describe, _paint, _shadows, _contacts, _develop)
COMPILED = Steps(
    nearest=_over_solids(_nearest),
    describe=torch.compile(_describe, dynamic=False),
    paint=torch.compile(_paint, dynamic=False),
    shadows=_over_solids(_shadows),
    contacts=_over_solids(_contacts),
    develop=torch.compile(_develop, dynamic=False),
)
