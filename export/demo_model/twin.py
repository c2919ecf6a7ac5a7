"""The renderer of the synthetic world on PyTorch: many scenes at once, for making training images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metric3d_ros.world import light_transport
from metric3d_ros.world.light_transport import ArrayOps, Tables, Vectors
from metric3d_ros.world.materials import COLUMNS
from metric3d_ros.world.scene import MAX_BOXES, MAX_CYLINDERS, MAX_SPHERES, ROOM_FACES, Scene

# One shape for every call: the compiler then works once, whatever the images' sizes.
STRIPS, STRIP_PIXELS = 8, 4704
BOX_COUNTS = (9, 14, MAX_BOXES)  # scenes are padded to the next of these numbers of boxes
NOWHERE = -1000.0

TORCH_OPS = ArrayOps(
    xp=torch,
    to_int32=lambda tensor: tensor.to(torch.int32),
    to_float32=lambda tensor: tensor.to(torch.float32),
    lookup=lambda table, ids: torch.take_along_dim(table, ids.long(), -1),
)


class Rendered(NamedTuple):
    """Pixels of several images, as the renderer leaves them."""

    rgb: Tensor  # (N, P, 3) float32, 0..1, one sample per pixel, without noise
    distance: Tensor  # (N, P) in units of the ray's length: z-depth where rays have z = 1
    normal: Tensor  # (N, P, 3) world frame


def stack_tables(scenes: Sequence[Scene]) -> Tables:
    """Return the scenes' tables with a leading batch dimension, padded with solids outside the world."""
    boxes = next(count for count in BOX_COUNTS if count >= max(len(scene.boxes) for scene in scenes))

    def padded(rows: list[np.ndarray], count: int, filler: Sequence[float]) -> Tensor:
        table = np.tile(np.float32(filler), (len(rows), count, 1))
        for own, row in zip(table, rows, strict=True):
            own[: len(row)] = row
        return torch.from_numpy(table)

    def solids(scene: Scene) -> list[np.ndarray]:
        ends = np.cumsum([ROOM_FACES, len(scene.boxes), len(scene.spheres), len(scene.cylinders)])
        return np.split(scene.materials, ends[:-1])

    groups = [solids(scene) for scene in scenes]
    counts = (ROOM_FACES, boxes, MAX_SPHERES, MAX_CYLINDERS)
    materials = [padded([group[k] for group in groups], count, [1.0] * COLUMNS) for k, count in enumerate(counts)]
    return Tables(
        room=torch.from_numpy(np.stack([scene.room for scene in scenes])),
        boxes=padded([scene.boxes for scene in scenes], boxes, [NOWHERE] * 6),
        spheres=padded([scene.spheres for scene in scenes], MAX_SPHERES, [NOWHERE, NOWHERE, NOWHERE, 1e-3]),
        cylinders=padded(
            [scene.cylinders for scene in scenes], MAX_CYLINDERS, [NOWHERE, NOWHERE, 1e-3, NOWHERE, NOWHERE]
        ),
        materials=torch.cat(materials, dim=1),
        light=torch.from_numpy(np.stack([scene.light for scene in scenes])),
    )


def render_pixels(tables: Tables, position: Tensor, rays: Tensor, pixel_angle: Tensor) -> Rendered:
    """Render one sample per ray: positions (N, 3), rays (N, P, 3) in the world frame, pixel angles (N, P)."""
    ops = TORCH_OPS
    origin = Vectors(*(position[:, a, None] for a in range(3)))
    length = rays.square().sum(-1).sqrt()
    direction = Vectors(*(rays[..., a] / length for a in range(3)))
    hit = light_transport.trace(ops, tables, origin, direction)
    point = Vectors(*(origin[a] + hit.distance * direction[a] for a in range(3)))
    albedo = light_transport.pattern(ops, tables, hit, point, direction, pixel_angle * hit.distance)
    colour = light_transport.shade(ops, tables, hit, point, direction, albedo)
    return Rendered(torch.stack(colour, -1), hit.distance / length, torch.stack(hit.normal, -1))


compiled_render_pixels = torch.compile(render_pixels, dynamic=False)


def render_views(
    scenes: Sequence[Scene], rotation: Tensor, position: Tensor, rays: Tensor, *, compiled: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Render one view per scene: rotations (N, 3, 3), positions (N, 3), camera rays (N, H, W, 3) with z = 1.

    Returns colour (N, H, W, 3) in 0..1, z-depth (N, H, W) in metres and normals (N, H, W, 3) in the optical frame.
    """
    count, height, width, _ = rays.shape
    # As in the NumPy renderer: the mean angle between neighbouring rays.
    unit = rays / rays.square().sum(-1, keepdim=True).sqrt()
    down, across = (torch.diff(unit, dim=axis).square().sum(-1).sqrt() for axis in (1, 2))
    angle = (torch.cat([down, down[:, -1:]], 1) + torch.cat([across, across[:, :, -1:]], 2)) / 2
    world = torch.einsum("nij,nhwj->nhwi", rotation, rays).reshape(count, -1, 3)
    pixels = height * width
    strips = -(-pixels // STRIP_PIXELS)
    missing = strips * STRIP_PIXELS - pixels
    world = torch.cat([world, world[:, -1:].expand(-1, missing, -1)], 1).reshape(count * strips, STRIP_PIXELS, 3)
    angle = angle.reshape(count, -1)
    angle = torch.cat([angle, angle[:, -1:].expand(-1, missing)], 1).reshape(count * strips, STRIP_PIXELS)

    owner = torch.arange(count).repeat_interleave(strips)
    number_of_boxes = torch.tensor([len(scene.boxes) for scene in scenes])
    parts: list[tuple[Tensor, Rendered]] = []
    previous = -1
    for limit in BOX_COUNTS:  # scenes with few boxes are cheaper, so they go together
        chosen = torch.nonzero((number_of_boxes[owner] > previous) & (number_of_boxes[owner] <= limit))[:, 0]
        previous = limit
        for start in range(0, len(chosen), STRIPS):
            ids = chosen[start : start + STRIPS]
            filled = torch.cat([ids, ids[-1:].expand(STRIPS - len(ids))])
            owners, inverse = torch.unique(owner[filled], return_inverse=True)
            tables = Tables(*(t[inverse] for t in stack_tables([scenes[int(i)] for i in owners])))
            draw = compiled_render_pixels if compiled else render_pixels
            rendered = draw(tables, position[owner[filled]], world[filled], angle[filled])
            parts.append((ids, Rendered(*(t[: len(ids)] for t in rendered))))
    order = torch.cat([ids for ids, _ in parts]).argsort()

    def gather(which: int) -> Tensor:
        whole = torch.cat([part[which] for _, part in parts])[order]
        return whole.reshape(count, strips * STRIP_PIXELS, -1)[:, :pixels]

    depth = (gather(1)[..., 0]).reshape(count, height, width)
    normal = torch.einsum("nji,npj->npi", rotation, gather(2)).reshape(count, height, width, 3)
    return gather(0).reshape(count, height, width, 3), depth, normal
