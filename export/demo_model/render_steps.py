"""The steps from rays to colours on PyTorch, plain or compiled.

Steps that loop over solids or lights are compiled such that nothing is stored for a pair of a solid and a ray; the
others as usual, where the compiler stores what it would otherwise compute again and again. Whatever the sizes of a
batch and of its tables, each step is compiled once for each size of tile or image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metric3d_export.demo_model.torch_world import TORCH_OPS
from metric3d_ros.world import light_transport, ray_casting
from metric3d_ros.world.array_ops import Vectors
from metric3d_ros.world.materials import SKY
from metric3d_ros.world.patterns import albedo
from metric3d_ros.world.ray_casting import Hit, Tables
from metric3d_ros.world.solids import LIGHT_IS_LAMP, LIGHT_SOFTNESS

FUSED = {
    "realize_reads_threshold": 10_000,
    "realize_opcount_threshold": 1_000_000,
    "realize_acc_reads_threshold": 10_000,
}


class Surfaces(NamedTuple):
    """What rays hit, before light falls on it; the sky is at infinity and has no normal."""

    hit: Hit
    point: Vectors
    colour: Vectors
    distance: Tensor  # (N, P) metres along the ray, inf in the sky
    normal: Tensor  # (N, 3, P) world frame, 0 in the sky
    low: Tensor  # (N, 3) corners of the box around all points but the sky's
    high: Tensor


def _vectors(rays: Tensor) -> Vectors:
    return Vectors(*rays.unbind(1))


def _nearest(tables: Tables, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Cast rays: positions (N, 3), unit directions (N, 3, P) in the world frame."""
    return ray_casting.find_nearest(TORCH_OPS, tables, _vectors(position.unsqueeze(-1)), _vectors(direction))


def _describe(
    tables: Tables, position: Tensor, direction: Tensor, pixel_angle: Tensor, distance: Tensor, row: Tensor
) -> Surfaces:
    origin, way = _vectors(position.unsqueeze(-1)), _vectors(direction)
    hit = ray_casting.describe(TORCH_OPS, tables, origin, way, distance, row)
    point = Vectors(*(origin[a] + distance * way[a] for a in range(3)))
    colour = albedo(TORCH_OPS, tables, hit, way, pixel_angle)
    sky = TORCH_OPS.lookup(tables.materials[..., SKY], hit.surface) > 0
    normal = torch.stack([torch.where(sky, 0.0, c) for c in hit.normal], 1)
    at = torch.stack(point, 1)
    low = torch.where(sky.unsqueeze(1), torch.inf, at).amin(-1)
    high = torch.where(sky.unsqueeze(1), -torch.inf, at).amax(-1)
    return Surfaces(hit, point, colour, torch.where(sky, torch.inf, distance), normal, low, high)


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


def _lamps(tables: Tables, hit: Hit, point: Vectors, direction: Tensor, open_shares: Tensor) -> tuple[Tensor, ...]:
    return light_transport.direct_light(TORCH_OPS, tables, hit, point, _vectors(direction), open_shares)


def _develop(
    tables: Tables, surfaces: Surfaces, direction: Tensor, direct: tuple[Tensor, ...], ambient_share: Tensor
) -> Tensor:
    """Return colours (N, 3, P), 0..1."""
    way = _vectors(direction)
    developed = light_transport.develop(
        TORCH_OPS, tables, surfaces.hit, surfaces.point, way, surfaces.colour, direct, ambient_share
    )
    return torch.stack(developed, 1)


@dataclass(frozen=True)
class Steps:
    """The steps, in their order; see the functions of this module."""

    nearest: Callable[..., tuple[Tensor, Tensor]]
    describe: Callable[..., Surfaces]
    shadows: Callable[..., Tensor]
    contacts: Callable[..., Tensor]
    lamps: Callable[..., tuple[Tensor, ...]]
    develop: Callable[..., Tensor]


def _tensors(arguments: Any) -> Iterator[Tensor]:
    if isinstance(arguments, Tensor):
        yield arguments
    else:
        for argument in arguments:
            yield from _tensors(argument)


def _compiled(function: Callable[..., Any], options: dict[str, int] | None = None) -> Callable[..., Any]:
    """Compile a step for batches of any size, and tables of any number of rows."""
    compiled = torch.compile(function, options=options)

    def call(tables: Tables, *arguments: Any) -> Any:
        for tensor in _tensors((tables, arguments)):
            if tensor.shape[0] > 1:
                torch._dynamo.mark_dynamic(tensor, 0)
        rows = (tables.boxes, tables.ellipsoids, tables.cylinders, tables.solids, tables.materials, tables.lights)
        for table in rows:
            if table.shape[1] > 1:
                torch._dynamo.mark_dynamic(table, 1)
        return compiled(tables, *arguments)

    return call


PLAIN = Steps(_nearest, _describe, _shadows, _contacts, _lamps, _develop)
COMPILED = Steps(
    nearest=_compiled(_nearest, FUSED),
    describe=_compiled(_describe),
    shadows=_compiled(_shadows, FUSED),
    contacts=_compiled(_contacts, FUSED),
    lamps=_compiled(_lamps, FUSED),
    develop=_compiled(_develop),
)
