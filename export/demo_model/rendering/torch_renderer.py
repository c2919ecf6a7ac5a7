"""The renderer of the synthetic world on PyTorch: many views at once, for making training images.

On a GPU images are cut into pieces of one size, so that the compiled steps fit images of every size. On a CPU they are
cut into tiles, and each tile is rendered with only the solids that matter to it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from metric3d_export.demo_model.rendering import render_steps
from metric3d_export.demo_model.rendering.tiles import Rendered, render_tiles
from metric3d_export.demo_model.rendering.torch_world import lengths, stack_tables
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.ray_casting import Tables

PIECE, PIECES = 4096, 128  # the pixels of a piece, and the pieces that a GPU renders at once


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
    pixels = height * width
    unit = rays / lengths(rays)[:, None]
    each = -(-pixels // PIECE)

    def cut(images: Tensor) -> Tensor:
        """Return images (N, C, P) in pieces (N * each, C, PIECE), the last pixel repeated."""
        whole = F.pad(images, (0, each * PIECE - pixels), mode="replicate")
        return whole.unflatten(2, (each, PIECE)).transpose(1, 2).flatten(0, 1)

    def join(pieces: Tensor) -> Tensor:
        """Return pieces (N * each, C, PIECE) as images (N, C, H, W)."""
        whole = pieces.unflatten(0, (count, each)).transpose(1, 2).flatten(2)
        return whole[..., :pixels].unflatten(2, (height, width))

    direction = cut(torch.bmm(rotation, unit.flatten(2)))
    angle = cut(pixel_angle.flatten(1)[:, None])[:, 0]
    parts = []
    for first in range(0, count * each, PIECES):
        # The last ones are rendered again to fill a group: everything is compiled for one size.
        some = torch.arange(first, first + PIECES, device=rays.device).clamp(max=count * each - 1)
        owner = some // each
        chosen = Tables(*(table[owner] for table in tables))
        rgb, distance, normal = _render_pieces(steps, chosen, position[owner], direction[some], angle[some])
        real = min(PIECES, count * each - first)
        parts.append([rgb[:real], distance[:real, None], normal[:real]])
    rgb, distance, normal = (join(torch.cat(column)) for column in zip(*parts, strict=True))
    return Rendered(rgb, distance[:, 0], normal)


def _render_pieces(
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
