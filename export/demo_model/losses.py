"""What training minimises, and the errors that it reports."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.demo_model.samples import Batch
from metric3d_export.network.raft_dpt import BINS, DEPTH_STEP_M, Estimates, kappa, unit_vectors, upsample_state
from metric3d_export.network.vit import LEADING_TOKENS, PATCH

CELL_PX = PATCH // 2
DEPTH_RANGE_M = (0.1, 200.0)
PROBE_BINS = 96
SHAPE_WEIGHT = 0.5
BINS_WEIGHT = 0.15
NORMAL_WEIGHT = 0.7
NORMAL_CONFIDENCE_WEIGHT = 0.05
CONFIDENCE_WEIGHT = 0.1
ITERATION_WEIGHTS = (0.3, 0.4, 0.6, 1.0)  # the first estimate, then the iterations


class TokenProbe(nn.Module):
    """A linear reading of the encoder's tokens, 2 x 2 cells per token: trains the encoder, then is thrown away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, 4 * (PROBE_BINS + 3))
        nn.init.normal_(self.read.weight, std=0.02)
        nn.init.zeros_(self.read.bias)
        bins = torch.linspace(math.log(0.5), math.log(DEPTH_RANGE_M[1]), PROBE_BINS)
        self.register_buffer("log_bins", bins, persistent=False)

    def forward(self, tokens: Tensor, gh: int, gw: int) -> tuple[Tensor, Tensor]:
        """Return bin logits (N, bins, 2 gh, 2 gw) and unit normals (N, 3, 2 gh, 2 gw)."""
        read = self.read(tokens[:, LEADING_TOKENS:]).float().transpose(1, 2).unflatten(2, (gh, gw))
        cells = F.pixel_shuffle(read, 2)
        return cells[:, :PROBE_BINS], unit_vectors(cells[:, PROBE_BINS:])


def safe_log(depth: Tensor, floor: float = 0.2) -> Tensor:
    """Return the logarithm, continued as a straight line below `floor`, so that it pulls from there too."""
    return torch.where(depth > floor, depth.clamp(min=floor).log(), math.log(floor) + (depth - floor) / floor)


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over the valid pixels of all images."""
    return (values * valid).sum() / valid.sum().clamp(min=1)


def depth_loss(log_depth: Tensor, log_truth: Tensor, valid: Tensor) -> Tensor:
    """Return the metric error plus the error that remains once each image's scale is right; all (N, h, w)."""
    difference = log_depth - log_truth
    shift = (difference * valid).sum((1, 2), keepdim=True) / valid.sum((1, 2), keepdim=True).clamp(min=1)
    return masked_mean(difference.abs(), valid) + SHAPE_WEIGHT * masked_mean((difference - shift).abs(), valid)


def bins_loss(logits: Tensor, log_bins: Tensor, log_truth: Tensor, valid: Tensor) -> Tensor:
    """Return the cross-entropy against the two bins around the truth: logits (N, bins, h, w)."""
    last = len(log_bins) - 1
    place = ((log_truth - log_bins[0]) / (log_bins[-1] - log_bins[0]) * last).clamp(0, last - 1e-3)
    low = place.floor().long()
    share = place - low
    log_p = logits.float().log_softmax(1)
    picked = [log_p.gather(1, bin_[:, None])[:, 0] for bin_ in (low, low + 1)]
    return masked_mean(-(1 - share) * picked[0] - share * picked[1], valid)


def normal_loss(normal: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return 1 - cos, plus a little of the angle itself, which does not fade as the error shrinks."""
    cosine = (normal * truth).sum(1)
    angle = torch.acos(cosine.clamp(-0.9999, 0.9999))
    return masked_mean(1 - cosine + 0.3 * angle, valid)


def angular_confidence_loss(normal: Tensor, kappa_: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the negative log-likelihood of the angular von Mises-Fisher model; trains the confidence only."""
    angle = torch.acos((normal.detach() * truth).sum(1).clamp(-0.9999, 0.9999))
    return masked_mean(kappa_ * angle - (kappa_**2 + 1).log() + torch.log1p((-kappa_ * math.pi).exp()), valid)


def probe_loss(logits: Tensor, normal: Tensor, log_bins: Tensor, batch: Batch) -> Tensor:
    """Return the loss of a `TokenProbe` against the truth at its cells' centres."""
    log_truth, truth, valid = probe_truth(batch)
    log_depth = (logits.softmax(1) * log_bins[:, None, None]).sum(1)
    return (
        depth_loss(log_depth, log_truth, valid)
        + 2 * BINS_WEIGHT * bins_loss(logits, log_bins, log_truth, valid)
        + NORMAL_WEIGHT * normal_loss(normal, truth, valid)
    )


def probe_truth(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return log depth, normals and validity at the centres of the probe's cells."""
    pick = (..., slice(CELL_PX // 2, None, CELL_PX), slice(CELL_PX // 2, None, CELL_PX))
    return batch.depth[pick].log(), batch.normal[pick], batch.valid[pick]


def network_loss(estimates: Estimates, log_bins: Tensor, batch: Batch) -> Tensor:
    """Return the loss of the whole network: the coarse states at 1/4, the last one at full resolution too."""
    coarse = (..., slice(2, None, 4), slice(2, None, 4))
    log_coarse, normal_coarse, valid_coarse = batch.depth[coarse].log(), batch.normal[coarse], batch.valid[coarse]
    total = BINS_WEIGHT * bins_loss(estimates.bin_logits, log_bins, log_coarse, valid_coarse)
    for weight, state in zip(ITERATION_WEIGHTS, estimates.states[:-1], strict=False):
        total = total + weight * state_loss(state.float(), log_coarse, normal_coarse, valid_coarse)
    fine = upsample_state(estimates.states[-1].float(), estimates.masks[-1].float())
    return total + ITERATION_WEIGHTS[-1] * state_loss(fine, batch.depth.log(), batch.normal, batch.valid)


def state_loss(state: Tensor, log_truth: Tensor, normal_truth: Tensor, valid: Tensor) -> Tensor:
    """Return the loss of one state (N, 6, h, w)."""
    depth = DEPTH_STEP_M * state[:, 0] + DEPTH_RANGE_M[1]
    normal = unit_vectors(state[:, 2:5])
    log_depth = safe_log(depth)
    accuracy = (1 - (log_depth - log_truth).exp().sub(1).abs()).clamp(0, 1).detach()
    return (
        depth_loss(log_depth, log_truth, valid)
        + CONFIDENCE_WEIGHT * masked_mean((state[:, 1] - accuracy).abs(), valid)
        + NORMAL_WEIGHT * normal_loss(normal, normal_truth, valid)
        + NORMAL_CONFIDENCE_WEIGHT * angular_confidence_loss(normal, kappa(state[:, 5]), normal_truth, valid)
    )


def network_log_bins() -> Tensor:
    """Return the logarithms of the decoder's depth bins."""
    return torch.linspace(math.log(DEPTH_RANGE_M[0]), math.log(DEPTH_RANGE_M[1]), BINS)


def accuracy(depth: Tensor, normal: Tensor, truth: Tensor, normal_truth: Tensor, valid: Tensor) -> dict[str, float]:
    """Return the mean over images of each error: depths (N, h, w), normals (N, 3, h, w)."""
    rows = []
    for d, n, t, m, v in zip(depth, normal, truth, normal_truth, valid, strict=True):
        d, t = d[v], t[v]
        aligned = d * (t / d).median()
        ratio = torch.maximum(d / t, t / d)
        angle = torch.rad2deg(torch.acos((n[:, v] * m[:, v]).sum(0).clamp(-1, 1)))
        rows.append(
            [
                ((d - t).abs() / t).mean(),
                ((aligned - t).abs() / t).mean(),
                (ratio < 1.25).float().mean(),
                angle.mean(),
            ]
        )
    means = torch.tensor(rows).mean(0).tolist()
    return dict(zip(("abs_rel", "aligned_abs_rel", "delta1", "normal_deg"), means, strict=True))
