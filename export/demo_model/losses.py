"""The losses that training minimises, and the errors that it reports."""

import math

import torch
from torch import Tensor

from metric3d_export.demo_model.training_images import Batch
from metric3d_export.network.lite_unet import UPSAMPLING, LiteDecoder, upsample_convexly
from metric3d_export.network.raft_dpt import kappa, unit_vectors

SHAPE_WEIGHT = 0.5
BINS_WEIGHT = 0.15
NORMAL_WEIGHT = 0.5
NORMAL_CONFIDENCE_WEIGHT = 0.05
CONFIDENCE_WEIGHT = 0.15
SLOPE_WEIGHT = 0.4
SLOPE_STEPS = (1, 2, 4, 8)
SKY_WEIGHT = 0.1
"""Weight of the sky, which has no depth: its loss pulls it to the far end of the range."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the pixels of all images where the mask, booleans or weights, is set."""
    return torch.where(mask > 0, values * mask, 0.0).sum() / mask.sum().clamp(min=1)


def depth_loss(log_depth: Tensor, log_truth: Tensor, valid: Tensor) -> Tensor:
    """Return the metric error plus the error that remains once each image's scale is right; all (N, h, w)."""
    difference = torch.where(valid, log_depth - log_truth, 0.0)
    shift = difference.sum((1, 2), keepdim=True) / valid.sum((1, 2), keepdim=True).clamp(min=1)
    return masked_mean(difference.abs(), valid) + SHAPE_WEIGHT * masked_mean((difference - shift).abs(), valid)


def slope_loss(log_depth: Tensor, log_truth: Tensor, valid: Tensor) -> Tensor:
    """Return how far steps of log depth between pixels are off, at several distances: sharp edges, smooth walls.

    The multi-scale gradient term of Ranftl et al., "Towards Robust Monocular Depth Estimation", TPAMI 2020.
    """
    difference = torch.where(valid, log_depth - log_truth, 0.0)
    total = log_depth.new_zeros(())
    for step in SLOPE_STEPS:
        coarse, known = difference[:, ::step, ::step], valid[:, ::step, ::step]
        for axis in (1, 2):
            both = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1)
            total = total + masked_mean(coarse.diff(dim=axis).abs(), both)
    return total / len(SLOPE_STEPS)


def bins_loss(logits: Tensor, log_bins: Tensor, log_truth: Tensor, valid: Tensor) -> Tensor:
    """Return the cross-entropy against the two bins around the truth: logits (N, bins, h, w)."""
    last = len(log_bins) - 1
    truth = torch.where(valid, log_truth, log_bins[0])
    place = ((truth - log_bins[0]) / (log_bins[-1] - log_bins[0]) * last).clamp(0, last - 1e-3)
    low = place.floor().long()
    share = place - low
    log_p = logits.float().log_softmax(1)
    picked = [log_p.gather(1, bin_[:, None])[:, 0] for bin_ in (low, low + 1)]
    return masked_mean(-(1 - share) * picked[0] - share * picked[1], valid)


def normal_loss(normal: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return 1 - cos, plus a little of the angle itself, whose gradient does not vanish as the error shrinks."""
    cosine = (normal * truth).sum(1)
    angle = torch.acos(cosine.clamp(-0.9999, 0.9999))
    return masked_mean(1 - cosine + 0.3 * angle, valid)


def angular_confidence_loss(normal: Tensor, kappa_: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the negative log-likelihood of the angular von Mises-Fisher model; trains the confidence only.

    The model of Bae et al., "Estimating and Exploiting the Aleatoric Uncertainty in Surface Normal Estimation", 2021.
    """
    angle = torch.acos((normal.detach() * truth).sum(1).clamp(-0.9999, 0.9999))
    return masked_mean(kappa_ * angle - (kappa_**2 + 1).log() + torch.log1p((-kappa_ * math.pi).exp()), valid)


def network_loss(logits: Tensor, state: Tensor, mask: Tensor, decoder: LiteDecoder, batch: Batch) -> Tensor:
    """Return the loss of what `LiteDecoder.estimate` returns: the bins at 1/4, everything else at full resolution."""
    known = batch.valid & batch.depth.isfinite()
    empty = batch.valid & ~known
    log_bins = decoder.log_bins
    nearest_m, farthest_m = decoder.depth_range_m
    log_truth = torch.where(known, batch.depth, 1.0).clamp(nearest_m, farthest_m).log()
    pick = (..., slice(UPSAMPLING // 2, None, UPSAMPLING), slice(UPSAMPLING // 2, None, UPSAMPLING))
    total = BINS_WEIGHT * bins_loss(logits, log_bins, log_truth[pick], known[pick])
    fine = upsample_convexly(state.float(), mask.float())
    log_depth = fine[:, 0]
    total = total + depth_loss(log_depth, log_truth, known) + SLOPE_WEIGHT * slope_loss(log_depth, log_truth, known)
    total = total + SKY_WEIGHT * masked_mean((log_bins[-1] - log_depth).abs(), empty)
    accuracy_ = (1 - (log_depth.detach() - log_truth).exp().sub(1).abs()).clamp(0, 1)
    accuracy_ = torch.where(known, accuracy_, 0.0)
    total = total + CONFIDENCE_WEIGHT * masked_mean((fine[:, 4].sigmoid() - accuracy_).abs(), batch.valid)
    facing = known & batch.normal.isfinite().all(dim=1)
    truth = torch.where(facing[:, None], batch.normal, 0.0)
    normal = unit_vectors(fine[:, 1:4])
    return (
        total
        + NORMAL_WEIGHT * normal_loss(normal, truth, facing)
        + NORMAL_CONFIDENCE_WEIGHT * angular_confidence_loss(normal, kappa(fine[:, 5]), truth, facing)
    )


def accuracy(depth: Tensor, normal: Tensor, batch: Batch) -> dict[str, float]:
    """Return the mean over images of each error: depths (N, h, w), normals (N, 3, h, w)."""
    rows = []
    known = batch.valid & batch.depth.isfinite()
    for d, n, t, m, v in zip(depth, normal, batch.depth, batch.normal, known, strict=True):
        d, t = d[v], t[v]
        aligned = d * (t / d).median()
        ratio = torch.maximum(d / t, t / d)
        angle = torch.rad2deg(torch.acos((n[:, v] * m[:, v]).sum(0).clamp(-1, 1)))
        rows.append(
            [
                ((d - t).abs() / t).mean(),
                ((aligned - t).abs() / t).mean(),
                (ratio < 1.25).float().mean(),
                angle.nanmean(),
            ]
        )
    means = torch.tensor(rows).mean(0).tolist()
    return dict(zip(("abs_rel", "aligned_abs_rel", "delta1", "normal_deg"), means, strict=True))
