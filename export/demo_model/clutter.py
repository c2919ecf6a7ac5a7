"""Pastes shapes with random textures before rendered scenes, so that a network does not overfit to their look."""

import torch
from torch import Tensor

from metric3d_export.demo_model.photography import Chance, Randomness

MOST_SHAPES, MOST_PATCHES = 4, 4
OCTAVES = 5
TEXTURES = 2  # made for each image


def paste_clutter(rgb: Tensor, depth: Tensor, normal: Tensor, randomness: Randomness) -> tuple[Tensor, Tensor, Tensor]:
    """Return images with random textured shapes before them, and flat patches that leave depth unchanged.

    Takes and returns colour (N, 3, H, W) in 0..255, depth (N, H, W) and normals (N, 3, H, W). A shape is slanted at
    random and stands before everything that it hides; its normals are NaN, since no camera is known here.
    """
    chance = Chance(len(rgb), randomness)
    height, width = depth.shape[1:]
    down = torch.linspace(-1, 1, height, device=rgb.device)[:, None]
    across = torch.linspace(-1, 1, width, device=rgb.device)
    textures = [_texture(chance, height, width) for _ in range(TEXTURES)]

    def texture() -> Tensor:
        # Each image borrows another one's texture and gets a colour of its own: making them costs most of the time.
        kind, other = textures[chance.integer(0, TEXTURES - 1)], chance.integer(0, len(rgb) - 1)
        return chance.uniform(10, 245, 3) + chance.uniform(-60, 60) * kind.roll(other, dims=0)

    for _ in range(chance.integer(0, MOST_SHAPES)):
        mask, u, v = _outline(chance, down, across)
        mask = mask & chance.happens(0.6)[:, 0]
        hidden = torch.where(mask, depth, torch.inf)
        nearest = hidden.flatten(1).min(dim=1).values.view(-1, 1, 1)
        nearest = torch.where(nearest.isfinite(), nearest, 1.0) * chance.uniform(0.5, 1.0)[:, 0]
        slant_x, slant_y = chance.uniform(-0.25, 0.25)[:, 0], chance.uniform(-0.25, 0.25)[:, 0]
        # A plane is linear in inverse depth over the image. Its farthest point is brought before what it hides.
        inverse = 1 + slant_x * u + slant_y * v
        lowest = torch.where(mask, inverse, torch.inf).flatten(1).min(dim=1).values.view(-1, 1, 1)
        lowest = torch.where(lowest.isfinite(), lowest, 1.0)
        depth = torch.where(mask, nearest * lowest / inverse, depth)
        shade = 1 + 0.35 * u[:, None] * chance.uniform(-1, 1)
        rgb = torch.where(mask[:, None], (texture() * shade).clamp(0, 255), rgb)
        normal = torch.where(mask[:, None], torch.nan, normal)
    for _ in range(chance.integer(0, MOST_PATCHES)):
        mask, _, _ = _outline(chance, down, across)
        mask = (mask & chance.happens(0.6)[:, 0])[:, None]
        share = chance.uniform(0.25, 1.0)
        painted = rgb * (1 - share) + texture().clamp(0, 255) * share
        rgb = torch.where(mask, painted, rgb)
    return rgb, depth, normal


def _outline(chance: Chance, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return one turned ellipse or rounded rectangle per image as a mask (N, H, W), and its own coordinates."""
    x, y = chance.uniform(-1, 1)[:, 0], chance.uniform(-0.9, 1)[:, 0]
    half_x, half_y = chance.uniform(0.04, 0.45)[:, 0], chance.uniform(0.04, 0.5)[:, 0]
    angle = chance.uniform(-3.14, 3.14)[:, 0]
    u = ((across - x) * angle.cos() + (down - y) * angle.sin()) / half_x
    v = ((down - y) * angle.cos() - (across - x) * angle.sin()) / half_y
    power = torch.where(chance.happens(0.5)[:, 0], 2.0, 8.0)
    return u.abs() ** power + v.abs() ** power < 1, u.clamp(-1.5, 1.5), v.clamp(-1.5, 1.5)


def _texture(chance: Chance, height: int, width: int) -> Tensor:
    """Return noise at all scales (N, 3, H, W) around 0."""
    return sum(
        0.75**octave * chance.field(3 if octave < 4 else 1, (height, width), 2**octave, smooth=octave < 4)
        for octave in range(1, OCTAVES + 1)
    )
