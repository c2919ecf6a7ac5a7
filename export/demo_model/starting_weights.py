"""Where training starts: initial weights that spare it the traps of this architecture, and smooth positions."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from metric3d_export.network.variants import DepthNetwork
from metric3d_export.network.vit import PATCH, STORED_GRID

POSITION_GRID = 9  # the position embedding is learnt on this grid and stored for 37 x 37
DEPTH_STEP_SCALE = 0.01  # a unit of the state's depth is 100 m, a useful step is a metre
CENTRE_LOGIT = 6.0


class SmoothPositions(nn.Module):
    """The stored position embedding (1, 1 + 37 * 37, C) from a coarse one (1, 1 + 9 * 9, C), bicubically."""

    def __init__(self) -> None:
        super().__init__()
        identity = torch.eye(POSITION_GRID**2).view(-1, 1, POSITION_GRID, POSITION_GRID)
        fine = F.interpolate(identity, size=(STORED_GRID, STORED_GRID), mode="bicubic", align_corners=True)
        self.register_buffer("fine_from_coarse", fine.flatten(1).T.contiguous(), persistent=False)

    def forward(self, coarse: Tensor) -> Tensor:
        return torch.cat([coarse[:, :1], self.fine_from_coarse @ coarse[:, 1:]], dim=1)

    def right_inverse(self, fine: Tensor) -> Tensor:
        return torch.cat([fine[:, :1], torch.linalg.pinv(self.fine_from_coarse) @ fine[:, 1:]], dim=1)


class SmallDepthStep(nn.Module):
    """Scales the depth channel of what an iteration adds, so that the optimiser's steps suit its unit of 100 m."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([DEPTH_STEP_SCALE, 1.0]), persistent=False)

    def forward(self, free: Tensor) -> Tensor:
        return free * self.scale.view(-1, *[1] * (free.dim() - 1))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.scale.view(-1, *[1] * (weight.dim() - 1))


def parametrise(network: DepthNetwork) -> None:
    """Let the optimiser see smooth positions and a well scaled depth step; the network's outputs do not change.

    A position embedding that was not smooth becomes the nearest smooth one.
    """
    model = network.depth_model
    parametrize.register_parametrization(model.encoder, "pos_embed", SmoothPositions())
    step = model.decoder.update_block.flow_head.conv2d
    for name in ("weight", "bias"):
        parametrize.register_parametrization(step, name, SmallDepthStep())


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state under the published names, parametrisations computed."""
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if ".parametrizations." not in name:
            state[name] = value.detach().clone()
            continue
        owner, _, rest = name.partition(".parametrizations.")
        tensor = rest.split(".")[0]
        state[f"{owner}.{tensor}"] = getattr(network.get_submodule(owner), tensor).detach().clone()
    return state


@torch.no_grad()
def initialise(network: DepthNetwork) -> None:
    """Set the initial weights, from the global random state."""
    encoder, decoder = network.depth_model.encoder, network.depth_model.decoder
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    encoder.patch_embed.proj.weight.copy_(_cosine_patches(encoder.patch_embed.proj.out_channels))
    encoder.patch_embed.proj.bias.zero_()
    encoder.pos_embed.copy_(_sinusoids(encoder.pos_embed.shape[2]))
    for block in encoder.blocks[0]:
        for scale in (block.ls1, block.ls2):
            scale.gamma.fill_(0.5)
    # Nothing is added to the state at first, and full resolution repeats its coarse pixel: the zeros beyond the
    # border, which stand for 200 m, would otherwise leak in.
    head = decoder.update_block.flow_head
    for layer in (head.conv2d, head.conv2n):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    mask = decoder.update_block.mask[2]
    mask.weight.mul_(0.1)
    mask.bias.zero_()
    mask.bias.view(9, -1)[4] = CENTRE_LOGIT / 0.25


def _cosine_patches(channels: int) -> Tensor:
    """Return filters (channels, 3, 14, 14): cosines of lightness and of two colour differences, low ones first."""
    steps = (torch.arange(PATCH) + 0.5) * math.pi / PATCH
    waves = torch.cos(torch.arange(PATCH)[:, None] * steps)  # (frequency, pixel)
    waves = waves / waves.norm(dim=1, keepdim=True)
    tints = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    tints = tints / tints.norm(dim=1, keepdim=True)
    ranked = sorted(
        (math.hypot(i, j) * (1 if tint == 0 else 3) + tint, i, j, tint)
        for i in range(PATCH)
        for j in range(PATCH)
        for tint in range(3)
    )
    filters = [waves[i][:, None] * waves[j] * tints[tint][:, None, None] for _, i, j, tint in ranked[:channels]]
    # High frequencies are weak in pictures; this brings their outputs to a like size.
    gains = [0.25 * (1 + 0.6 * math.hypot(i, j)) for _, i, j, _ in ranked[:channels]]
    return torch.stack(filters) * torch.tensor(gains)[:, None, None, None]


def _sinusoids(width: int) -> Tensor:
    """Return a position embedding (1, 1 + 37 * 37, width): sines and cosines of both coordinates."""
    across = (torch.arange(STORED_GRID) + 0.5) / STORED_GRID
    frequencies = torch.arange(1, width // 4 + 1) * 0.25
    phases = 2 * math.pi * frequencies[:, None] * across
    waves = torch.cat([phases.sin(), phases.cos()]) / (1 + frequencies.repeat(2)[:, None])  # (width / 2, 37)
    rows = waves[:, :, None].expand(-1, -1, STORED_GRID)
    columns = waves[:, None, :].expand(-1, STORED_GRID, -1)
    patches = torch.cat([rows, columns]).flatten(1).T
    return torch.cat([torch.zeros(1, width), patches])[None]
