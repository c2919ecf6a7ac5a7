"""The demo model's losses pull the right way."""

import numpy as np
import pytest
import torch
from training_batches import published_encoder, random_batch

from metric3d_export.demo_model.learner import Learner
from metric3d_export.demo_model.losses import (
    accuracy,
    bins_loss,
    depth_loss,
    network_loss,
    slope_loss,
)
from metric3d_export.demo_model.photograph_weights import fold
from metric3d_export.demo_model.ship import VARIANT
from metric3d_export.network.variants import build_network


def test_right_depth_costs_less_than_wrong_scale_which_costs_less_than_wrong_shape() -> None:
    truth = torch.linspace(0.2, 3.0, 48).view(1, 6, 8)
    valid = torch.ones_like(truth, dtype=torch.bool)
    right = depth_loss(truth, truth, valid)
    scaled = depth_loss(truth + 0.3, truth, valid)
    bent = depth_loss(truth + 0.3 * torch.sign(truth - 1.6), truth, valid)
    assert float(right) == 0
    assert float(scaled) == pytest.approx(0.3, abs=1e-5)
    assert float(bent) > float(scaled)


def test_slopes_ignore_scale_and_see_a_blurred_edge() -> None:
    truth = torch.zeros(1, 8, 16)
    truth[..., 8:] = 1.0
    blurred = truth.clone()
    blurred[..., 7], blurred[..., 8] = 0.33, 0.66
    valid = torch.ones_like(truth, dtype=torch.bool)
    assert float(slope_loss(truth + 0.7, truth, valid)) == pytest.approx(0, abs=1e-6)
    assert float(slope_loss(blurred, truth, valid)) > 0.01


def test_bins_loss_is_least_at_the_bins_around_the_truth() -> None:
    log_bins = build_network(VARIANT).depth_model.decoder.log_bins
    truth = torch.full((1, 1, 1), float(log_bins[50]) * 0.25 + float(log_bins[51]) * 0.75)
    valid = torch.ones((1, 1, 1), dtype=torch.bool)
    logits = torch.full((1, len(log_bins), 1, 1), -30.0)
    logits[0, 50], logits[0, 51] = np.log(0.25), np.log(0.75)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert float(bins_loss(logits, log_bins, truth, valid)) == pytest.approx(entropy, abs=1e-3)


def test_accuracy_of_a_depth_that_is_ten_percent_too_large() -> None:
    batch = random_batch()
    batch.depth[:, :, :5] = torch.inf  # the sky counts for nothing
    errors = accuracy(batch.depth * 1.1, batch.normal, batch)
    assert errors["abs_rel"] == pytest.approx(0.1, abs=1e-5)
    assert errors["aligned_abs_rel"] == pytest.approx(0.0, abs=1e-5)
    assert errors["delta1"] == 1.0
    assert errors["normal_deg"] == pytest.approx(0.0, abs=0.1)


@pytest.fixture(scope="module")
def learner() -> "Learner":
    torch.manual_seed(0)
    return Learner(fold(published_encoder()))


def test_invalid_pixels_do_not_change_the_loss(learner: "Learner") -> None:
    batch = random_batch()
    decoder = learner.network.depth_model.decoder
    with torch.no_grad():
        estimated = learner.estimate(batch.rgb)
        depth, normal = batch.depth.clone(), batch.normal.clone()
        depth[~batch.valid] = torch.nan
        normal[:, :, :6] = torch.nan
        changed = network_loss(*estimated, decoder, batch._replace(depth=depth, normal=normal))
        torch.testing.assert_close(network_loss(*estimated, decoder, batch), changed)


def test_sky_pulls_depth_to_the_far_end_and_confidence_down(learner: "Learner") -> None:
    batch = random_batch()
    sky, unknown = torch.full_like(batch.depth, torch.inf), torch.full_like(batch.normal, torch.nan)
    batch = batch._replace(depth=sky, normal=unknown)
    logits, state, mask = (t.detach().float() for t in learner.estimate(batch.rgb))
    state.requires_grad_(True)
    loss = network_loss(logits, state, mask, learner.network.depth_model.decoder, batch)
    assert torch.isfinite(loss)
    loss.backward()
    inner = state.grad[:, :, 3:-1, 2:-2]  # below the rows that are not valid
    assert (inner[:, 0] < 0).all()
    assert (inner[:, 4] > 0).all()
