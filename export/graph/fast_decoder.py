"""The ViT variants' decoder in cheaper forms for a graph, equal to the published ones but for rounding.

A 1 x 1 convolution commutes with resizing; convolutions that read the same input are one; a convolution of a
concatenation is the sum of the convolutions of its parts, so that a part which comes twice is convolved once; a softmax
need not be divided out before the sum that it weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.graph.fast_softmax import bin_sums, expected_depth, unscaled_softmax
from metric3d_export.network.prediction import Prediction
from metric3d_export.network.raft_dpt import (
    DEPTH_STEP_M,
    MASK_SCALE,
    STATE_CHANNELS,
    UPSAMPLING,
    ContextEncoder,
    ConvGru,
    FusionStep,
    RaftDptDecoder,
    StateHead,
    UpdateBlock,
    UpsampleThenProject,
    kappa,
    pool,
    resize,
    unit_vectors,
)


class FastDecoder(nn.Module):
    """`RaftDptDecoder` in the cheaper form."""

    role = RaftDptDecoder.role

    def __init__(self, published: RaftDptDecoder, *, scales_in_weights: bool) -> None:
        super().__init__()
        self.mask_scale = 1.0 if scales_in_weights else MASK_SCALE
        self.iterations = published.iterations
        self.depth_range_m = published.depth_range_m
        self.token2feature = published.token2feature
        self.upsample = upsample_tokens()
        self.decoder_mono = published.decoder_mono
        self.depth_regressor = published.depth_regressor
        self.normal_predictor = published.normal_predictor
        self.context_feature_encoder = FastContextEncoder(published.context_feature_encoder)
        self.context_zqr_convs = nn.ModuleList(split(each, 3) for each in published.context_zqr_convs)
        self.update_block = FastUpdateBlock(published.update_block, scale_mask=scales_in_weights)
        self.register_buffer("bin_sums", bin_sums(published.bins_m), persistent=False)
        self.read_state = published.read_state

    def forward(self, tokens: list[Tensor], gh: int, gw: int) -> Prediction:
        coarse, *maps = self.token2feature(tokens, gh, gw)
        maps = [F.relu(x) for x in maps]
        state = self._first_state(self.decoder_mono([self.upsample(coarse), *maps]))
        hidden, contexts = self.context_feature_encoder([coarse, *maps[:2]])
        gates = [
            GateSums(*(convolve(x) for convolve in convolutions))
            for convolutions, x in zip(self.context_zqr_convs, contexts, strict=True)
        ]
        for _ in range(self.iterations):
            hidden = self.update_block(hidden, gates, state)
            state = state + self.update_block.flow_head(hidden[0])
        mask = self.update_block.mask(hidden[0])
        return self.read_state(upsample_state(state, mask if self.mask_scale == 1 else self.mask_scale * mask))

    def _first_state(self, fused: Tensor) -> Tensor:
        features, confidences = fused[:, :-2], fused[:, -2:]
        depth = expected_depth(self.depth_regressor(features), self.bin_sums).clamp(*self.depth_range_m)
        return torch.cat(
            [
                (depth - self.depth_range_m[1]) / DEPTH_STEP_M,
                confidences[:, :1],
                unit_vectors(self.normal_predictor(features)),
                kappa(confidences[:, 1:]),
            ],
            dim=1,
        )


def upsample_state(state: Tensor, mask: Tensor, *, border: str = "constant") -> Tensor:
    """Upsample a state (N, 6, h, w) by 4, as the network's own `upsample_state` does.

    `border` is the mode of padding, which stands for what lies beyond the image: zeros, or with "replicate" the border.
    """
    shares = unscaled_softmax(mask.unflatten(1, (9, UPSAMPLING**2)))  # (N, 9, 16, h, w)
    padded = F.pad(state, (1, 1, 1, 1), mode=border)
    shifts = (slice(None, -2), slice(1, -1), slice(2, None))
    neighbours = [padded[:, :, rows, columns] for rows in shifts for columns in shifts]
    fine = sum(shares[:, i, None] * neighbour[:, :, None] for i, neighbour in enumerate(neighbours))
    fine = fine / shares.sum(dim=1)[:, None]
    return F.pixel_shuffle(fine.flatten(1, 2), UPSAMPLING)


def upsample_tokens() -> nn.Module:
    """Return the upsampling from 1/14 to 1/4, which comes as late as can be: 1/4 has 12 times as many pixels."""
    return nn.Upsample(scale_factor=3.5, mode="nearest")


def project_only(published: UpsampleThenProject) -> nn.Module:
    """Return the 1 x 1 convolution of the map that the published network upsamples before; here that comes after."""
    (convolve,) = published
    return convolve


class FastFusionStep(nn.Module):
    """`FusionStep` that changes the channels before the size."""

    def __init__(self, published: FusionStep) -> None:
        super().__init__()
        self.way_trunk = published.way_trunk
        self.way_branch = published.way_branch
        self.out_conv = published.out_conv

    def forward(self, trunk: Tensor, branch: Tensor | None = None, like: Tensor | None = None) -> Tensor:
        if self.way_branch is not None and branch is not None:
            trunk = trunk + self.way_branch(branch)
        x = self.out_conv(self.way_trunk(trunk))
        return x if like is None else resize(x, like)


def convolution(weight: Tensor, bias: Tensor | None, *, padding: int) -> nn.Conv2d:
    """Return a convolution with these weights (out, in, k, k)."""
    size = weight.shape
    layer = nn.Conv2d(size[1], size[0], size[2], padding=padding, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer


def join(convolutions: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """Return several convolutions that read the same map as one, their outputs one after another."""
    weight = torch.cat([each.weight for each in convolutions])
    bias = torch.cat([each.bias for each in convolutions])
    return convolution(weight, bias, padding=convolutions[0].padding[0])


def split(joined: nn.Conv2d, parts: int) -> nn.ModuleList:
    """Return the convolutions that give equal parts of the channels of `joined`."""
    pairs = zip(joined.weight.chunk(parts), joined.bias.chunk(parts), strict=True)
    return nn.ModuleList(convolution(weight, bias, padding=joined.padding[0]) for weight, bias in pairs)


class FastContextLevel(nn.Module):
    """Both branches of a level of the context encoder, begun by one convolution.

    With `upsample` the level reads a map before its upsampling, and does what concerns single pixels before it too.
    """

    def __init__(self, branches: nn.ModuleList, *, upsample: nn.Module | None = None) -> None:
        super().__init__()
        blocks = [branch[0] for branch in branches]
        self.begin = join([block.conv1 for block in blocks])
        self.project = join([block.downsample[0] for block in blocks]) if len(blocks[0].downsample) else None
        self.branches = branches
        self.upsample = upsample or nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        begun = self.begin(self.upsample(x)).chunk(len(self.branches), dim=1)
        skips = (x, x) if self.project is None else self.project(x).chunk(len(self.branches), dim=1)
        made = []
        for (block, last), y, skip in zip(self.branches, begun, skips, strict=True):
            skip = self.upsample(skip if self.project is None else block.norm3(skip))
            y = F.relu(block.norm2(block.conv2(F.relu(block.norm1(y)))))
            made.append(last(F.relu(skip + y)))
        return made


class FastContextEncoder(nn.Module):
    """`ContextEncoder`, but it reads the finest map before its upsampling."""

    def __init__(self, published: ContextEncoder) -> None:
        super().__init__()
        self.outputs04 = FastContextLevel(published.outputs04, upsample=upsample_tokens())
        self.outputs08 = FastContextLevel(published.outputs08)
        self.outputs16 = FastContextLevel(published.outputs16)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        levels = (self.outputs04, self.outputs08, self.outputs16)
        hidden, contexts = zip(*(level(x) for level, x in zip(levels, maps, strict=True)), strict=True)
        return [torch.tanh(x) for x in hidden], [F.relu(x) for x in contexts]


class GateSums(NamedTuple):
    """What is added within a GRU's gates; also what an input of a GRU contributes to them."""

    z: Tensor
    r: Tensor
    q: Tensor


class GateReader(nn.Module):
    """Adds what one input of a GRU contributes; `channels` are its own in what the gates read, [h, inputs]."""

    def __init__(self, published: ConvGru, channels: slice) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            convolution(gate.weight[:, channels], None, padding=1)
            for gate in (published.convz, published.convr, published.convq)
        )

    def forward(self, x: Tensor, sums: GateSums) -> GateSums:
        return GateSums(*(gate(x) + total for gate, total in zip(self.gates, sums, strict=True)))


class FastGru(nn.Module):
    """A `ConvGru` without the input of `apart`, which a `GateReader` reads.

    Convolutions, sums and products alone: ONNX Runtime keeps those in its own layout on CPUs, and has to leave it for
    the difference q - h, so that a convolution turns the sign of h.
    """

    def __init__(self, published: ConvGru, *, apart: slice) -> None:
        super().__init__()
        gates = (published.convz, published.convr, published.convq)
        self.convz, self.convr, self.convq = (
            convolution(
                torch.cat([gate.weight[:, : apart.start], gate.weight[:, apart.stop :]], dim=1), gate.bias, padding=1
            )
            for gate in gates
        )
        channels = gates[0].out_channels
        self.negate = nn.Conv2d(channels, channels, 1, groups=channels, bias=False, device="meta")
        self.negate.weight = nn.Parameter(torch.full((channels, 1, 1, 1), -1.0))

    def forward(self, h: Tensor, sums: GateSums, *inputs: Tensor) -> Tensor:
        """Return the next hidden state."""
        hx = torch.cat([h, *inputs], dim=1)
        z = torch.sigmoid(self.convz(hx) + sums.z)
        r = torch.sigmoid(self.convr(hx) + sums.r)
        q = torch.tanh(self.convq(torch.cat([r * h, *inputs], dim=1)) + sums.q)
        return h + z * (q + self.negate(h))


class FastUpdateBlock(nn.Module):
    """`UpdateBlock` that convolves the pooled finer states once if two steps read them."""

    def __init__(self, published: UpdateBlock, *, scale_mask: bool) -> None:
        super().__init__()
        hidden = published.gru32.convz.out_channels
        finer, state = slice(hidden, 2 * hidden), slice(hidden, hidden + STATE_CHANNELS)
        # Without the state, what this one reads is a multiple of 16 channels wide, for which CPUs have faster kernels.
        self.gru08 = FastGru(published.gru08, apart=state)
        self.read08 = GateReader(published.gru08, state)
        self.gru16 = FastGru(published.gru16, apart=finer)
        self.gru32 = FastGru(published.gru32, apart=finer)
        self.read16 = GateReader(published.gru16, finer)
        self.read32 = GateReader(published.gru32, finer)
        self.flow_head = FastStateHead(published.flow_head)
        self.mask = published.mask
        if scale_mask:
            first, relu, last = published.mask
            scaled = convolution(MASK_SCALE * last.weight, MASK_SCALE * last.bias, padding=0)
            self.mask = nn.Sequential(first, relu, scaled)

    def forward(self, hidden: list[Tensor], gates: list[GateSums], state: Tensor) -> list[Tensor]:
        """Return the hidden states after one iteration."""
        h4, h7, h14 = hidden
        from_h7 = self.read32(pool(h7), gates[2])
        from_h4 = self.read16(resize(pool(h4), h7), gates[1])
        h14 = self.gru32(h14, from_h7)
        h14 = self.gru32(h14, from_h7)
        h7 = self.gru16(h7, from_h4, resize(h14, h7))
        h14 = self.gru32(h14, self.read32(pool(h7), gates[2]))
        h7 = self.gru16(h7, from_h4, resize(h14, h7))
        h4 = self.gru08(h4, self.read08(state, gates[0]), resize(h7, h4))
        return [h4, h7, h14]


class FastStateHead(nn.Sequential):
    """`StateHead` as two convolutions, the second with zeros for what a head does not read."""

    role = StateHead.role

    def __init__(self, published: StateHead) -> None:
        depth, normal = published.conv2d.weight, published.conv2n.weight
        weight = torch.cat(
            [F.pad(depth, (0, 0, 0, 0, 0, normal.shape[1])), F.pad(normal, (0, 0, 0, 0, depth.shape[1], 0))]
        )
        last = convolution(weight, torch.cat([published.conv2d.bias, published.conv2n.bias]), padding=1)
        super().__init__(join([published.conv1d, published.conv1n]), nn.ReLU(), last)
