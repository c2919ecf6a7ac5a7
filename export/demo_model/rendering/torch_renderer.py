"""The renderer of the synthetic world on PyTorch: many views at once, for making training images.

On a GPU whole images go through the compiled steps. On a CPU images are cut into tiles, and each tile is rendered with
only the solids that matter to it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from metric3d_export.demo_model.rendering import render_steps
from metric3d_export.demo_model.rendering.tiles import Rendered, render_tiles
from metric3d_export.demo_model.rendering.torch_world import lengths, stack_tables
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.ray_casting import Tables

IMAGES = 16  # that a GPU renders at once: one number, so that batches of any size are compiled once for a size of image


def render_views(
    scenes: Sequence[Scene] | Tables, rotation: Tensor, position: Tensor, rays: Tensor, *, compiled: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Render one view per scene: rotations (N, 3, 3), positions (N, 3), camera rays (N, H, W, 3) with z = 1.

    The scenes may be given as `stack_tables` returns them, on the device of the rays. Returns colour (N, H, W, 3) in
    0..1, z-depth (N, H, W) in metres, inf in the sky, and normals (N, H, W, 3) in the optical frame, 0 in the sky.
    One ray per pixel. `compiled` takes the compiler a few minutes of one core, the first time on a machine.
    """
    tables = scenes if isinstance(scenes, Tables) else stack_tables(scenes, device=rays.device)
    steps = render_steps.COMPILED if compiled else render_steps.PLAIN
    rays = rays.permute(0, 3, 1, 2)
    length = lengths(rays)
    unit = rays / length[:, None]
    # As in the NumPy renderer: the mean angle between neighbouring rays.
    down, across = (lengths(torch.diff(unit, dim=axis)) for axis in (2, 3))
    angle = (torch.cat([down, down[:, -1:]], 1) + torch.cat([across, across[:, :, -1:]], 2)) / 2
    draw = render_tiles if rays.device.type == "cpu" else render_whole
    rendered = draw(steps, tables, rotation, position, rays, angle)
    normal = torch.einsum("nji,njhw->nhwi", rotation, rendered.normal)
    return rendered.rgb.permute(0, 2, 3, 1), rendered.distance / length, normal


def render_whole(
    steps: render_steps.Steps, tables: Tables, rotation: Tensor, position: Tensor, rays: Tensor, pixel_angle: Tensor
) -> Rendered:
    """Render images: rotations (N, 3, 3), positions (N, 3), camera rays (N, 3, H, W), pixel angles (N, H, W)."""
    count, _, height, width = rays.shape
    unit = rays / lengths(rays)[:, None]
    direction = torch.bmm(rotation, unit.reshape(count, 3, -1))
    angle = pixel_angle.reshape(count, -1)
    parts = []
    for some in torch.arange(count, device=rays.device).split(IMAGES):
        filled = torch.cat([some, some[-1:].expand(IMAGES - len(some))])
        chosen = Tables(*(table[filled] for table in tables))
        rendered = _render_images(steps, chosen, position[filled], direction[filled], angle[filled])
        parts.append([part[: len(some)] for part in rendered])
    rgb, distance, normal = (torch.cat(column) for column in zip(*parts, strict=True))
    return Rendered(
        rgb.reshape(count, 3, height, width),
        distance.reshape(count, height, width),
        normal.reshape(count, 3, height, width),
    )


def _render_images(
    steps: render_steps.Steps, tables: Tables, position: Tensor, direction: Tensor, pixel_angle: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return colours (N, 3, P), distances (N, P) and normals (N, 3, P)."""
    distance, row = steps.nearest(tables, position, direction)
    surfaces = steps.describe(tables.solids, tables.materials, position, direction, distance, row)
    hit, point = surfaces.hit, surfaces.point
    colour = steps.paint(tables.materials, hit, direction, pixel_angle)
    softness, towards = render_steps.shadow_rays(tables.lights, point)
    shares = steps.shadows(tables, softness, hit.surface, point, towards)
    ambient = steps.contacts(tables, hit.surface, hit.normal, point)
    rgb = steps.develop(
        tables.lights, tables.surroundings, tables.materials, surfaces, direction, colour, shares, ambient
    )
    return rgb, surfaces.distance, surfaces.normal
