"""The ViT variants' decoder: tokens become maps, a first estimate, and then refined by recurrent updates.

Levels are named by the part of the image's size they have: 1/4, 1/7 and 1/14. The state that the updates refine has
six channels: (depth - greatest depth) / 100, depth confidence, normal x y z, normal confidence before its activation.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.prediction import Prediction
from metric3d_export.network.roles import Role, with_role
from metric3d_export.network.vit import LEADING_TOKENS

BINS = 256
STATE_CHANNELS = 6
DEPTH_STEP_M = 100.0  # one unit of the state's depth channel
MASK_SCALE = 0.25  # factor of the mask head's output
UPSAMPLING = 4  # from the state's level to the image


class Estimates(NamedTuple):
    """The decoder's intermediate results, all at 1/4 of the image's size."""

    bin_logits: Tensor  # (N, 256, h, w)
    first_depth: Tensor  # (N, 1, h, w), metres, of the canonical camera
    states: list[Tensor]  # each (N, 6, h, w): the first estimate's, then one per iteration
    masks: list[Tensor]  # upsampling weights (N, 144, h, w) of the last iteration, or of every one


class TokenProjection(nn.Module):
    """Mixes the cls and register tokens into every patch, and arranges the patches as a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_patch = nn.Linear(width, width)
        self.project_learn = nn.Linear(LEADING_TOKENS * width, width, bias=False)

    def forward(self, tokens: Tensor, gh: int, gw: int) -> Tensor:
        leading = self.project_learn(tokens[:, :LEADING_TOKENS].flatten(1))
        patches = self.project_patch(tokens[:, LEADING_TOKENS:])
        # Contiguous here and in ChannelNorm, so that convolutions choose the kernels, and round, as published.
        return F.gelu(patches + leading[:, None]).transpose(1, 2).reshape(tokens.shape[0], -1, gh, gw).contiguous()


class TokenReader(nn.Module):
    """One of the four maps: the projected tokens, brought to the map's size and channels by `sample`."""

    def __init__(self, width: int, sample: nn.Module | None = None) -> None:
        super().__init__()
        self.readoper = TokenProjection(width)
        self.sample = sample

    def forward(self, tokens: Tensor, gh: int, gw: int) -> Tensor:
        x = self.readoper(tokens, gh, gw)
        return x if self.sample is None else self.sample(x)


class UpsampleThenProject(nn.Sequential):
    """A convolution after nearest-neighbour upsampling by 3.5, from 1/14 to 1/4."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=3.5, mode="nearest"))


class TokensToMaps(nn.Module):
    def __init__(self, width: int, f0: int, f1: int) -> None:
        super().__init__()
        self.read_3 = TokenReader(width)
        self.read_2 = TokenReader(width)
        self.read_1 = TokenReader(width, nn.ConvTranspose2d(width, f1, 2, stride=2))
        self.read_0 = TokenReader(width, UpsampleThenProject(nn.Conv2d(width, f0, 1)))

    def forward(self, tokens: list[Tensor], gh: int, gw: int) -> list[Tensor]:
        readers = (self.read_0, self.read_1, self.read_2, self.read_3)
        return [reader(x, gh, gw) for reader, x in zip(readers, tokens, strict=True)]


class FusionUnit(nn.Module):
    """relu(x) + conv(relu(conv(relu(x)))): published with ReLUs that work in place, hence the rectified skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return x + self.conv2(F.relu(self.conv1(x)))


class FusionStep(nn.Module):
    """Adds a finer map to the trunk, then resizes and changes channels for the next step; either may be absent."""

    def __init__(self, channels: int, out_channels: int, *, branch: bool) -> None:
        super().__init__()
        self.way_trunk = FusionUnit(channels)
        self.way_branch = FusionUnit(channels) if branch else None
        self.out_conv = nn.Conv2d(channels, out_channels, 1)

    def forward(self, trunk: Tensor, branch: Tensor | None = None, like: Tensor | None = None) -> Tensor:
        if self.way_branch is not None and branch is not None:
            trunk = trunk + self.way_branch(branch)
        x = self.way_trunk(trunk)
        return self.out_conv(x if like is None else resize(x, like))


class Fusion(nn.Module):
    """Coarse-to-fine fusion of the maps k = 3, 2, 1 into features at 1/4, with both confidences as last channels."""

    def __init__(self, width: int, f0: int, f1: int) -> None:
        super().__init__()
        self.upconv_3 = FusionStep(width, width, branch=False)
        self.upconv_2 = FusionStep(width, f1, branch=True)
        self.upconv_1 = FusionStep(f1, f0 + 2, branch=True)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.upconv_3(maps[3])
        x = self.upconv_2(x, maps[2], maps[1])
        return self.upconv_1(x, maps[1], maps[0])


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm1 = ChannelNorm(out_channels, eps=1e-5)
        self.norm2 = ChannelNorm(out_channels, eps=1e-5)
        if channels != out_channels:
            self.norm3 = ChannelNorm(out_channels, eps=1e-5)
            # Published under both names: the second holds the same parameters, and is read last.
            self.downsample = nn.Sequential(nn.Conv2d(channels, out_channels, 1), self.norm3)
        else:
            self.downsample = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.downsample(x) + y)


class ContextEncoder(nn.Module):
    """Two branches per level: what the hidden state starts from, and the context."""

    def __init__(self, f0: int, f1: int, f2: int, hidden: int) -> None:
        super().__init__()
        self.outputs04 = self._branches(f0, hidden)
        self.outputs08 = self._branches(f1, hidden)
        self.outputs16 = self._branches(f2, hidden)

    @staticmethod
    def _branches(channels: int, hidden: int) -> nn.ModuleList:
        return nn.ModuleList(
            nn.Sequential(ResidualBlock(channels, hidden), nn.Conv2d(hidden, hidden, 3, padding=1)) for _ in range(2)
        )

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        levels = list(zip((self.outputs04, self.outputs08, self.outputs16), maps, strict=True))
        hidden = [torch.tanh(branches[0](x)) for branches, x in levels]
        context = [F.relu(branches[1](x)) for branches, x in levels]
        return hidden, context


class ConvGru(nn.Module):
    role = Role.RECURRENT

    def __init__(self, hidden: int, input_channels: int) -> None:
        super().__init__()
        self.convz = nn.Conv2d(hidden + input_channels, hidden, 3, padding=1)
        self.convr = nn.Conv2d(hidden + input_channels, hidden, 3, padding=1)
        self.convq = nn.Conv2d(hidden + input_channels, hidden, 3, padding=1)

    def forward(self, h: Tensor, context: tuple[Tensor, ...], *inputs: Tensor) -> Tensor:
        cz, cr, cq = context
        hx = torch.cat([h, *inputs], dim=1)
        z = torch.sigmoid(self.convz(hx) + cz)
        r = torch.sigmoid(self.convr(hx) + cr)
        q = torch.tanh(self.convq(torch.cat([r * h, *inputs], dim=1)) + cq)
        return (1 - z) * h + z * q


class StateHead(nn.Module):
    """What an iteration adds to the state: two depth channels, four normal channels."""

    role = Role.SENSITIVE

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv2d = nn.Conv2d(hidden, 2, 3, padding=1)
        self.conv1n = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv2n = nn.Conv2d(hidden, 4, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([self.conv2d(F.relu(self.conv1d(h))), self.conv2n(F.relu(self.conv1n(h)))], dim=1)


class UpdateBlock(nn.Module):
    """Three GRUs, coarse to fine; their published names are those of another network's levels."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gru08 = ConvGru(hidden, STATE_CHANNELS + hidden)  # at 1/4
        self.gru16 = ConvGru(hidden, 2 * hidden)  # at 1/7
        self.gru32 = ConvGru(hidden, hidden)  # at 1/14
        self.flow_head = StateHead(hidden)
        self.mask = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, 9 * UPSAMPLING**2, 1)
        )

    def forward(self, hidden: list[Tensor], contexts: list[tuple[Tensor, ...]], state: Tensor) -> list[Tensor]:
        """Return the hidden states after one iteration; the coarser levels run more often than the finer ones."""
        h4, h7, h14 = hidden
        for levels in (1, 2, 3):
            h14 = self.gru32(h14, contexts[2], pool(h7))
            if levels >= 2:
                h7 = self.gru16(h7, contexts[1], resize(pool(h4), h7), resize(h14, h7))
        h4 = self.gru08(h4, contexts[0], state, resize(h7, h4))
        return [h4, h7, h14]


class RaftDptDecoder(nn.Module):
    """Decoder of the ViT variants; `f0` and `f1` are the channels at 1/4 and 1/7."""

    role = Role.DECODER

    def __init__(
        self, *, width: int, f0: int, f1: int, hidden: int, iterations: int, depth_range_m: tuple[float, float]
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.depth_range_m = depth_range_m
        self.token2feature = TokensToMaps(width, f0, f1)
        self.decoder_mono = Fusion(width, f0, f1)
        self.depth_regressor = nn.Sequential(nn.Conv2d(f0, BINS, 3, padding=1), nn.ReLU(), nn.Conv2d(BINS, BINS, 1))
        with_role(self.depth_regressor[2], Role.SENSITIVE)
        self.normal_predictor = nn.Sequential(
            nn.Conv2d(f0, 128, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(128, 128, 1),
            nn.ReLU(),
            nn.Conv2d(128, 128, 1),
            nn.ReLU(),
            nn.Conv2d(128, 3, 1),
        )
        self.context_feature_encoder = ContextEncoder(f0, f1, width, hidden)
        self.context_zqr_convs = nn.ModuleList(nn.Conv2d(hidden, 3 * hidden, 3, padding=1) for _ in range(3))
        self.update_block = UpdateBlock(hidden)
        # Pinned to the CPU, so that a network built on the meta device still has its values.
        # In float64: the last bit of a float32 exponential depends on the processor.
        logs = torch.linspace(*(math.log(depth) for depth in depth_range_m), BINS, dtype=torch.float64, device="cpu")
        bins_m = logs.exp().float()
        self.register_buffer("bins_m", bins_m, persistent=False)

    def forward(self, tokens: list[Tensor], gh: int, gw: int) -> Prediction:
        estimates = self.estimate(tokens, gh, gw)
        return self.read_state(upsample_state(estimates.states[-1], estimates.masks[-1]))

    def estimate(self, tokens: list[Tensor], gh: int, gw: int, *, every_mask: bool = False) -> Estimates:
        """Return every intermediate result; `every_mask` computes each iteration's mask, not only the last one's."""
        maps = self.token2feature(tokens, gh, gw)
        # FusionUnit's ReLUs are published in place: the context reads rectified what the fusion has read.
        maps = [maps[0], *(F.relu(x) for x in maps[1:])]
        bin_logits, first_depth, state = self._first_estimate(self.decoder_mono(maps))
        hidden, contexts = self.context_feature_encoder(maps[:3])
        zqr = [conv(x).chunk(3, dim=1) for conv, x in zip(self.context_zqr_convs, contexts, strict=True)]
        states, masks = [state], []
        for iteration in range(self.iterations):
            hidden = self.update_block(hidden, zqr, state)
            state = state + self.update_block.flow_head(hidden[0])
            states.append(state)
            if every_mask or iteration == self.iterations - 1:
                masks.append(MASK_SCALE * self.update_block.mask(hidden[0]))
        return Estimates(bin_logits, first_depth, states, masks)

    def _first_estimate(self, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, confidences = fused[:, :-2], fused[:, -2:]
        bin_logits = self.depth_regressor(features)
        depth = (bin_logits.softmax(dim=1) * self.bins_m[:, None, None]).sum(dim=1, keepdim=True)
        depth = depth.clamp(*self.depth_range_m)
        state = torch.cat(
            [
                (depth - self.depth_range_m[1]) / DEPTH_STEP_M,
                confidences[:, :1],
                unit_vectors(self.normal_predictor(features)),
                kappa(confidences[:, 1:]),
            ],
            dim=1,
        )
        return bin_logits, depth, state

    def read_state(self, state: Tensor) -> Prediction:
        """Turn a state (N, 6, H, W) into depth, normals and their confidences."""
        depth = (DEPTH_STEP_M * state[:, 0] + self.depth_range_m[1]).clamp(*self.depth_range_m)
        return Prediction(depth, state[:, 1], unit_vectors(state[:, 2:5]), kappa(state[:, 5]))


def resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=1)


def unit_vectors(x: Tensor) -> Tensor:
    return x / (x.norm(dim=1, keepdim=True) + 1e-10)


def kappa(x: Tensor) -> Tensor:
    return F.elu(x) + 1 + 0.01


def upsample_state(state: Tensor, mask: Tensor) -> Tensor:
    """Upsample a state (N, 6, h, w) by 4: each fine value is a convex combination of its 3 x 3 coarse neighbours.

    `mask` (N, 9 * 4 * 4, h, w) holds the logits of the nine weights; beyond the border neighbours are zero.
    """
    weights = mask.unflatten(1, (9, UPSAMPLING**2)).softmax(dim=1)  # (N, 9, 16, h, w)
    padded = F.pad(state, (1, 1, 1, 1))
    shifts = (slice(None, -2), slice(1, -1), slice(2, None))
    neighbours = [padded[:, :, rows, columns] for rows in shifts for columns in shifts]
    fine = sum(weights[:, i, None] * neighbour[:, :, None] for i, neighbour in enumerate(neighbours))
    return F.pixel_shuffle(fine.flatten(1, 2), UPSAMPLING)
