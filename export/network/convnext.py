"""The ConvNeXt encoder: a normalised image becomes four maps, at 1/4, 1/8, 1/16 and 1/32 of its size."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.roles import Role

NORM_EPS = 1e-6


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class ConvNextBlock(nn.Module):
    """7 x 7 depthwise convolution, then a feed-forward network over the channels of each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))  # (N, H, W, C)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Encoder of the ConvNeXt variants; stages have `depths` blocks and `widths` channels."""

    role = Role.ENCODER

    def __init__(self, *, depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), MapNorm(widths[0]))]
        )
        for finer, coarser in itertools.pairwise(widths):
            self.downsample_layers.append(nn.Sequential(MapNorm(finer), nn.Conv2d(finer, coarser, 2, stride=2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNextBlock(width) for _ in range(depth)))
            for depth, width in zip(depths, widths, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map a normalised image (N, 3, H, W) to the stages' outputs, fine to coarse, without further norms."""
        x, maps = image, []
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
            maps.append(x)
        return maps
