"""The demo variant's network: an EfficientNet-Lite0 encoder and a small U-shaped decoder, all of it in this file.

The encoder is EfficientNet-Lite0 (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019, in the form without squeeze-and-excitation and with ReLU6), with its batch norms folded into the
convolutions, so that weights learnt from photographs fit in (`demo_model.photograph_weights`). The decoder classifies
depth into logarithmic bins at 1/4 of the image's size and takes the expectation; every full-size pixel is then a convex
combination of the 3 x 3 coarse values around it (Teed and Deng, "RAFT", ECCV 2020).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.prediction import Prediction
from metric3d_export.network.raft_dpt import kappa, unit_vectors
from metric3d_export.network.roles import Role

STEM = 32
STAGES = (
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""EfficientNet-Lite0's stages."""

MAPS = (0, 1, 2, 4, 6)
"""The stages whose outputs the decoder reads: at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""

BINS = 96
UPSAMPLING = 4
NORM_GROUPS = 8
STATE_CHANNELS = 6  # log depth, normal (3), confidence logit, kappa's argument


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: with stride 2, on even sizes, one more at the end."""

    def __init__(self, channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out_channels, kernel, stride=stride, padding=padding, groups=groups)
        before = (kernel - stride) // 2
        self.uneven = (before, kernel - stride - before) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.stride == (1, 1) else F.pad(x, self.uneven))


class InvertedResidual(nn.Module):
    """Expand the channels, filter each by itself, project back; with a skip if nothing changes size."""

    def __init__(self, channels: int, out_channels: int, *, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = SameConv(channels, inner, 1) if expansion != 1 else nn.Identity()
        self.depthwise = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, out_channels, 1)
        self.has_skip = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.has_skip else y


class LiteEncoder(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    role = Role.ENCODER

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = STEM
        for expansion, out_channels, blocks, stride, kernel in STAGES:
            stage = nn.Sequential()
            for index in range(blocks):
                stage.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        expansion=expansion,
                        stride=stride if index == 0 else 1,
                        kernel=kernel,
                    )
                )
                channels = out_channels
            self.stages.append(stage)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map a normalised image (N, 3, H, W) to maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of its size."""
        # This ReLU6 is the encoder's own operator, so it is float32 in float16 files too.
        x, maps = F.relu6(self.stem(image)), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in MAPS:
                maps.append(x)
        return maps


class NormedConv(nn.Module):
    """3 x 3 convolution, group norm, SiLU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm = nn.GroupNorm(NORM_GROUPS, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.norm(self.conv(x)))


class ContextBlock(nn.Module):
    """Looks around at the coarsest level: 7 x 7 depthwise convolution, then a feed-forward network per position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.GroupNorm(NORM_GROUPS, width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.silu(self.widen(self.norm(self.around(x)))))


class MergeUp(nn.Module):
    """Double the size of the coarse map, join the encoder's map of that size, and convolve twice."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = NormedConv(channels + skip_channels, out_channels)
        self.second = NormedConv(out_channels, out_channels)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return self.second(self.first(torch.cat([x, skip], dim=1)))


class LiteDecoder(nn.Module):
    """The encoder's five maps become depth, confidence and normals.

    `widths` are its channels at 1/32, 1/16, 1/8 and 1/4 of the image's size.
    """

    role = Role.DECODER

    def __init__(self, *, widths: tuple[int, int, int, int], depth_range_m: tuple[float, float]) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = (STAGES[index][1] for index in MAPS)
        w32, w16, w8, w4 = widths
        self.depth_range_m = depth_range_m
        self.narrow = nn.Conv2d(c32, w32, 1)
        self.whole = nn.Sequential(nn.Conv2d(c32, w32, 1), nn.SiLU(), nn.Conv2d(w32, w32, 1))
        self.context = nn.Sequential(ContextBlock(w32), ContextBlock(w32))
        self.up16 = MergeUp(w32, c16, w16)
        self.up8 = MergeUp(w16, c8, w8)
        self.up4 = MergeUp(w8, c4, w4)
        self.head = nn.Conv2d(w4, BINS + STATE_CHANNELS - 1, 3, padding=1)
        fine = UPSAMPLING // 2
        self.mask = nn.Sequential(
            nn.Conv2d(w4 + fine**2 * c2, w4, 3, padding=1), nn.SiLU(), nn.Conv2d(w4, 9 * UPSAMPLING**2, 1)
        )
        # Pinned to the CPU, so that a network built on the meta device still has its values.
        log_bins = torch.linspace(*(math.log(depth) for depth in depth_range_m), BINS, device="cpu")
        self.register_buffer("log_bins", log_bins, persistent=False)

    def forward(self, maps: list[Tensor]) -> Prediction:
        _, state, mask = self.estimate(maps)
        return self.read_state(upsample_convexly(state, mask))

    def estimate(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the bins' logits (N, BINS, h, w), the state (N, 6, h, w) and the upsampling's logits, all at 1/4.

        The state holds log depth (canonical metres), the normal, the confidence's logit and kappa's argument.
        """
        m2, m4, m8, m16, m32 = maps
        x = self.narrow(m32) + self.whole(m32.mean(dim=(2, 3), keepdim=True))
        x = self.up4(self.up8(self.up16(self.context(x), m16), m8), m4)
        read = self.head(x)
        logits, rest = read[:, :BINS], read[:, BINS:]
        state = torch.cat([self.expect(logits), unit_vectors(rest[:, :3]), rest[:, 3:]], dim=1)
        # The map at 1/2 is laid out at 1/4, so that no convolution runs at 1/2.
        mask = self.mask(torch.cat([x, F.pixel_unshuffle(m2, UPSAMPLING // 2)], dim=1))
        return logits, state, mask

    def expect(self, logits: Tensor) -> Tensor:
        """Return the expectation of log depth (N, 1, h, w)."""
        return (logits.softmax(dim=1) * self.log_bins[:, None, None]).sum(dim=1, keepdim=True)

    def read_state(self, state: Tensor) -> Prediction:
        """Turn a state (N, 6, H, W) into depth, normals and their confidences."""
        depth = state[:, 0].exp().clamp(*self.depth_range_m)
        return Prediction(depth, state[:, 4].sigmoid(), unit_vectors(state[:, 1:4]), kappa(state[:, 5]))


def upsample_convexly(state: Tensor, mask: Tensor) -> Tensor:
    """Upsample (N, C, h, w) by 4: each fine value is a convex combination of its 3 x 3 coarse neighbours.

    `mask` (N, 9 * 4 * 4, h, w) holds the logits of the nine weights. Beyond the border stands the value at the border.
    """
    weights = mask.unflatten(1, (9, UPSAMPLING**2)).softmax(dim=1).unbind(1)  # nine of (N, 16, h, w)
    padded = F.pad(state, (1, 1, 1, 1), mode="replicate")
    shifts = (slice(None, -2), slice(1, -1), slice(2, None))
    neighbours = [padded[:, :, rows, columns] for rows in shifts for columns in shifts]
    fine = sum(weight[:, None] * near[:, :, None] for weight, near in zip(weights, neighbours, strict=True))
    return F.pixel_shuffle(fine.flatten(1, 2), UPSAMPLING)
