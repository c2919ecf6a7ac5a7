"""Augments rendered training images with the faults of cameras, drawn at random for each image."""

import functools
import math
import random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8  # pixels of a JPEG block's side
LUMINANCE_QUANTA = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
"""Table K.1 of the JPEG standard (ITU-T T.81), row by row."""

YCC_FROM_RGB = (0.299, 0.587, 0.114, -0.168736, -0.331264, 0.5, 0.5, -0.418688, -0.081312)
RGB_FROM_YCC = (1.0, 0.0, 1.402, 1.0, -0.344136, -0.714136, 1.0, 1.772, 0.0)
"""JFIF's colours and back, 3 x 3 in rows."""

SOFT = (0.25, 0.5, 0.25)
"""The kernel of a slight blur."""


class Randomness(NamedTuple):
    """Random numbers: on the images' device for each image, on the host for what a batch shares.

    So the host never waits for a GPU to learn the size of a kernel.
    """

    each: torch.Generator
    shared: random.Random

    @classmethod
    def of(cls, seed: int, device: torch.device | str = "cpu") -> "Randomness":
        """Return the random numbers of a seed."""
        return cls(torch.Generator(device).manual_seed(seed), random.Random(seed))


class Chance:
    """Random numbers for every image of a batch."""

    def __init__(self, count: int, randomness: Randomness) -> None:
        self.count, self.generator, self._shared = count, randomness.each, randomness.shared
        self.device = self.generator.device

    def uniform(self, low: float, high: float, channels: int = 1) -> Tensor:
        """Return (N, channels, 1, 1) in low..high."""
        shape = (self.count, channels, 1, 1)
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def happens(self, probability: float) -> Tensor:
        """Return (N, 1, 1, 1) of booleans."""
        return self.uniform(0, 1) < probability

    def normal(self, channels: int, height: int, width: int) -> Tensor:
        return torch.randn((self.count, channels, height, width), generator=self.generator, device=self.device)

    def field(self, channels: int, size_hw: tuple[int, int], cells: int, *, smooth: bool = True) -> Tensor:
        """Return noise (N, channels, H, W) of variance about 1, with `cells` features across."""
        rows = max(2, round(cells * size_hw[0] / size_hw[1]))
        coarse = self.normal(channels, rows + 1, cells + 1)
        return F.interpolate(coarse, size=size_hw, mode="bicubic" if smooth else "bilinear", align_corners=True)

    def integer(self, low: int, high: int) -> int:
        """Return one number in low..high for the whole batch."""
        return self._shared.randint(low, high)


@functools.cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers (K,) on a device, copied there once: a copy to a GPU waits for all work in its queue."""
    return torch.tensor(values, device=device)


def photograph(rgb: Tensor, randomness: Randomness) -> Tensor:
    """Return the images (N, 3, H, W), float32 in 0..255, as cameras with random faults would have taken them.

    In the order of a camera: light and colour of the scene, focus and motion, vignetting, exposure, noise that grows
    with gain, white balance, contrast and gamma, sharpening, JPEG. Each image draws its own camera.
    """
    chance = Chance(len(rgb), randomness)
    x = _recolour(rgb / 255, chance)
    x = _blur(x, chance)
    x = _expose(x, chance)
    x = torch.where(chance.happens(0.3), _sharpen(x, chance.uniform(0.3, 1.5)), x).clamp(0, 1)
    if chance.integer(0, 1):
        x = torch.where(chance.happens(0.6), compress(x, chance.uniform(0.4, 4.0)), x)
    return x.clamp(0, 1) * 255


def _recolour(x: Tensor, chance: Chance) -> Tensor:
    """Change light and surfaces: saturation, a rotation of hues, blotches of colour."""
    gray = x.mean(dim=1, keepdim=True)
    colour = x - gray
    # Turn the colour around the gray axis (Rodrigues' formula; the axis is (1, 1, 1) / sqrt 3).
    angle = chance.uniform(-math.pi, math.pi) * chance.happens(0.3)
    across = torch.stack([colour[:, 2] - colour[:, 1], colour[:, 0] - colour[:, 2], colour[:, 1] - colour[:, 0]], dim=1)
    colour = colour * angle.cos() + across * angle.sin() / math.sqrt(3)
    saturation = torch.where(chance.happens(0.1), torch.zeros_like(angle), chance.uniform(0.2, 1.7))
    x = gray + saturation * colour
    size_hw = (x.shape[2], x.shape[3])
    blotches = chance.field(3, size_hw, chance.integer(3, 14)) * chance.uniform(0, 0.07) * chance.happens(0.5)
    shadows = chance.field(1, size_hw, chance.integer(1, 6)) * chance.uniform(0, 0.25)
    return ((x + blotches) * (shadows * chance.happens(0.5)).exp()).clamp(0, 1.5)


def _blur(x: Tensor, chance: Chance) -> Tensor:
    """Blur some images a little: out of focus, or by motion along a row or a column."""
    kernel = constant(SOFT, x.device)
    soft = _filter_rows(_filter_columns(x, kernel), kernel)
    softer = _filter_rows(_filter_columns(soft, kernel), kernel)
    streak = torch.full((chance.integer(1, 3) * 2 + 1,), 1.0, device=x.device)
    moved = (_filter_rows if chance.integer(0, 1) else _filter_columns)(x, streak / len(streak))
    kind = chance.uniform(0, 1)
    x = torch.where(kind < 0.3, soft, x)
    x = torch.where((kind >= 0.3) & (kind < 0.45), softer, x)
    return torch.where(kind > 0.92, moved, x)


def _filter_rows(x: Tensor, kernel: Tensor) -> Tensor:
    half = len(kernel) // 2
    weight = kernel.view(1, 1, 1, -1).expand(3, -1, -1, -1)
    return F.conv2d(F.pad(x, (half, half, 0, 0), mode="replicate"), weight, groups=3)


def _filter_columns(x: Tensor, kernel: Tensor) -> Tensor:
    half = len(kernel) // 2
    weight = kernel.view(1, 1, -1, 1).expand(3, -1, -1, -1)
    return F.conv2d(F.pad(x, (0, 0, half, half), mode="replicate"), weight, groups=3)


def _expose(x: Tensor, chance: Chance) -> Tensor:
    """Vignetting, exposure, white balance, contrast, gamma, a lifted black, and noise that grows with gain."""
    height, width = x.shape[2:]
    down = torch.linspace(-1, 1, height, device=x.device)[:, None]
    across = torch.linspace(-1, 1, width, device=x.device)
    x = x * (1 - chance.uniform(0, 0.35) * chance.happens(0.5) * (down**2 + across**2) / 2)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    # Mostly brought to a usual brightness, as automatic exposure does; at times it fails.
    aim = chance.uniform(0.3, 0.55) / mean.clamp(min=0.05)
    gain = torch.where(chance.happens(0.5), aim, chance.uniform(0.55, 1.6)).clamp(0.4, 2.2)
    balance = chance.uniform(0.75, 1.3, 3)
    x = x * gain * balance
    x = x + chance.normal(3, height, width) * chance.uniform(0, 0.035) * gain.sqrt()
    x = x.clamp(0, 1) ** chance.uniform(math.log(0.65), math.log(1.5)).exp()
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    return (middle + (x - middle) * chance.uniform(0.6, 1.5) + chance.uniform(-0.06, 0.06)).clamp(0, 1)


def _sharpen(x: Tensor, amount: Tensor) -> Tensor:
    kernel = constant(SOFT, x.device)
    return x + amount * (x - _filter_rows(_filter_columns(x, kernel), kernel))


def compress(x: Tensor, coarseness: Tensor) -> Tensor:
    """Return images (N, 3, H, W) in 0..1 with the losses of JPEG: its quanta times `coarseness` (N, 1, 1, 1).

    The chroma planes keep full resolution and are quantised twice as coarsely as the luminance.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    ycc_from_rgb = constant(YCC_FROM_RGB, x.device).view(3, 3)
    planes = torch.einsum("ij,njhw->nihw", ycc_from_rgb, padded * 255 - 128)
    steps = torch.arange(BLOCK, device=x.device)
    basis = torch.cos((2 * steps + 1) * steps[:, None] * math.pi / (2 * BLOCK)) / 2  # (frequency, pixel)
    basis[0] /= math.sqrt(2)
    blocks = planes.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK))  # (N, 3, rows, 8, columns, 8)
    waves = torch.einsum("ui,vj,ncaibj->ncaubv", basis, basis, blocks)
    quanta = constant(LUMINANCE_QUANTA, x.device).view(BLOCK, BLOCK) * coarseness.view(-1, 1, 1, 1)
    quanta = torch.cat([quanta, 2 * quanta, 2 * quanta], dim=1)[:, :, None, :, None, :].clamp(min=1)
    kept = (waves / quanta).round() * quanta
    planes = torch.einsum("ui,vj,ncaubv->ncaibj", basis, basis, kept).flatten(4, 5).flatten(2, 3)
    restored = torch.einsum("ij,njhw->nihw", constant(RGB_FROM_YCC, x.device).view(3, 3), planes) + 128
    return (restored / 255)[:, :, :height, :width]
