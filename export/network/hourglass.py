"""The ConvNeXt variants' decoder: four maps become depth and confidence at 1/4, and depth is refined at full size."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.prediction import Prediction
from metric3d_export.network.roles import Role, with_role

BINS = 512
FEATURES = 256
UNET = (128, 64, 32, 16)  # channels of the U-Net's levels, from 1/4 to 1/32
UPSAMPLING = 4  # from the decoder's level to the image
RESIDUAL_SCALE = 0.1


def convolution(channels: int, out_channels: int, kernel: int) -> nn.Module:
    """Return a 1 x 1 convolution, or a 3 x 3 one after reflection padding."""
    if kernel == 1:
        return nn.Conv2d(channels, out_channels, 1)
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, out_channels, kernel))


class ReduceChannels(nn.Module):
    def __init__(self, channels: int, out_channels: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = convolution(channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x))


class MergeMaps(nn.Module):
    def __init__(self, channels: int, out_channels: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = convolution(channels, out_channels, kernel)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        x = torch.cat([upsample(coarse, 2), fine], dim=1)
        return F.elu(self.conv_2(F.elu(self.conv(x))))


class MapFusion(nn.Module):
    """Coarse-to-fine fusion of the encoder's maps at 1/4 to 1/32; `fused` are the channels at 1/4, 1/8 and 1/16."""

    def __init__(self, widths: tuple[int, ...], fused: tuple[int, ...]) -> None:
        super().__init__()
        self.upconv_3_0 = ReduceChannels(widths[3], fused[2], kernel=1)
        self.upconv_3_1 = MergeMaps(fused[2] + widths[2], fused[2], kernel=1)
        self.upconv_2_0 = ReduceChannels(fused[2], fused[1], kernel=3)
        self.upconv_2_1 = MergeMaps(fused[1] + widths[1], fused[1], kernel=3)
        self.upconv_1_0 = ReduceChannels(fused[1], fused[0], kernel=3)
        self.upconv_1_1 = MergeMaps(fused[0] + widths[0], fused[0], kernel=3)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.upconv_3_1(self.upconv_3_0(maps[3]), maps[2])
        x = self.upconv_2_1(self.upconv_2_0(x), maps[1])
        return self.upconv_1_1(self.upconv_1_0(x), maps[0])


class ConvNormRelu(nn.Module):
    def __init__(self, channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class UNet(nn.Module):
    """Three stages down and up again; each way up ends in the sum with the matching map of the way down."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = ConvNormRelu(channels, UNET[0])
        self.conv_0, self.conv_1, self.conv_2 = (self._down(*pair) for pair in itertools.pairwise(UNET))
        self.deconv_0, self.deconv_1, self.deconv_2 = (self._up(*pair[::-1]) for pair in itertools.pairwise(UNET))
        self.prob = nn.Conv2d(UNET[0], out_channels, 1)

    @staticmethod
    def _down(channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(ConvNormRelu(channels, out_channels, stride=2), ConvNormRelu(out_channels, out_channels))

    @staticmethod
    def _up(channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(
            nn.ConvTranspose2d(channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        level0 = self.conv0(x)
        level1 = self.conv_0(level0)
        level2 = self.conv_1(level1)
        x = level2 + self.deconv_2(self.conv_2(level2))
        x = level1 + self.deconv_1(x)
        return self.prob(level0 + self.deconv_0(x))


class HourglassDecoder(nn.Module):
    """Decoder of the ConvNeXt variants; `widths` are the channels of the encoder's maps, `fused` of the fused ones."""

    role = Role.DECODER

    def __init__(self, *, widths: tuple[int, ...], fused: tuple[int, ...], depth_range_m: tuple[float, float]) -> None:
        super().__init__()
        self.decoder_mono = MapFusion(widths, fused)
        self.conv_out_2 = UNet(fused[0], FEATURES + 1)
        self.depth_regressor_2 = nn.Sequential(
            nn.Conv2d(FEATURES, BINS, 3, padding=1), nn.BatchNorm2d(BINS), nn.ReLU(), nn.Conv2d(BINS, BINS, 1)
        )
        refinement = nn.Sequential(
            nn.Conv2d(3 + FEATURES, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Upsample(scale_factor=UPSAMPLING),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 1, 1),
        )
        self.conv_up_2 = with_role(refinement, Role.DEPTH_REFINEMENT)
        # Pinned to the CPU, so that a network built on the meta device still has its values.
        # In float64: the last bit of a float32 exponential depends on the processor.
        logs = torch.linspace(*(math.log(depth) for depth in depth_range_m), BINS, dtype=torch.float64, device="cpu")
        bins_m = logs.exp().float()
        self.register_buffer("bins_m", bins_m, persistent=False)

    def forward(self, maps: list[Tensor]) -> Prediction:
        x = self.conv_out_2(self.decoder_mono(maps))
        features, confidence = x[:, :FEATURES], x[:, FEATURES:]
        probabilities = self.depth_regressor_2(features).softmax(dim=1)
        depth = (probabilities * self.bins_m[:, None, None]).sum(dim=1, keepdim=True)
        residual = self.conv_up_2(torch.cat([depth, *pixel_indices(depth), features], dim=1))
        depth = upsample(depth, UPSAMPLING) + RESIDUAL_SCALE * residual
        return Prediction(depth[:, 0], upsample(confidence, UPSAMPLING)[:, 0], None, None)


def upsample(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="nearest")


def pixel_indices(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column and the row of every position of (N, 1, H, W), counted from 0, in its shape."""
    columns = torch.arange(like.shape[3], device=like.device).to(like.dtype)
    rows = torch.arange(like.shape[2], device=like.device).to(like.dtype)
    return columns.expand_as(like), rows[:, None].expand_as(like)
