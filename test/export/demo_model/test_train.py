"""The demo model's training: every weight learns, it resumes, it stops if it diverges, and what it ships works."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from training_batches import SMALL, published_encoder, random_batch

from metric3d_export.demo_model import train
from metric3d_export.demo_model.curves import draw_curves
from metric3d_export.demo_model.learner import TYPICAL_WEIGHT, ChannelScale, Learner, plain_state
from metric3d_export.demo_model.photograph_weights import fold
from metric3d_export.demo_model.photography import Randomness
from metric3d_export.demo_model.recipe import Recipe
from metric3d_export.demo_model.ship import VARIANT, read_weights
from metric3d_export.demo_model.training_images import (
    Course,
    disguise,
)
from metric3d_export.exporter import export_model
from metric3d_export.network.variants import build_network
from metric3d_ros.engine import DEMO_MODEL_PATH
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.world.held_out import HeldOutScenes


@pytest.fixture(scope="module")
def learner() -> "Learner":
    torch.manual_seed(0)
    return Learner(fold(published_encoder()))


def test_every_weight_is_trained_by_finite_gradients(learner: "Learner") -> None:
    learner.zero_grad()
    learner.loss(disguise(random_batch(count=4), Randomness.of(1))).backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_scaled_weights_come_back_under_the_networks_own_names(learner: "Learner") -> None:
    fresh = build_network(VARIANT)
    fresh.load_state_dict(plain_state(learner.network))
    image = fresh.normalise(random_batch().rgb)
    with torch.no_grad():
        torch.testing.assert_close(fresh(image).depth, learner.network(image).depth, rtol=1e-4, atol=1e-4)


def test_channels_of_any_size_look_alike_to_the_optimiser() -> None:
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None, None, None]
    shown = ChannelScale(weight).right_inverse(weight)
    sizes = shown.flatten(1).square().mean(dim=1).sqrt()
    torch.testing.assert_close(sizes[1:], torch.full((3,), TYPICAL_WEIGHT))
    torch.testing.assert_close(ChannelScale(weight)(shown), weight)


@pytest.fixture
def short_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few small steps, rendered without the compiler, from random weights."""
    recipe = Recipe((Course(SMALL, 1.0, 2, 1),), decoder_rate=1e-4, encoder_rate=1e-5, capacity=8)
    monkeypatch.setattr(train, "ON_A_CPU", recipe)
    monkeypatch.setattr(train, "HELD_OUT", (Course(SMALL, 1.0, 2, 2),))
    monkeypatch.setattr(train, "read_photograph_weights", lambda: fold(published_encoder()))


def run_of(folder: Path) -> "train.Run":
    weights = fold(published_encoder())
    return train.Run(folder, seed=1, weights=weights, recipe=train.ON_A_CPU, device="cpu", workers=0)


@pytest.mark.usefixtures("short_recipe")
def test_training_writes_state_log_and_curves_and_goes_on_from_them(tmp_path: Path) -> None:
    options = ["--folder", str(tmp_path), "--device", "cpu", "--workers", "0", "--init-from", "photographs"]
    assert train.main([*options, "--minutes", "0.05"]) == 0
    first = run_of(tmp_path)
    assert first.restore()
    assert first.step > 0
    assert first.images == 2 * first.step
    assert train.main([*options, "--minutes", "0.1"]) == 0
    second = run_of(tmp_path)
    assert second.restore()
    assert second.step > first.step
    assert second.next_scene > first.next_scene
    build_network(VARIANT).load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == second.step
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.usefixtures("short_recipe")
def test_training_that_diverges_stops_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--folder", str(tmp_path), "--device", "cpu", "--workers", "0", "--init-from", "photographs"]
    assert train.main([*options, "--minutes", "0.05"]) == 0
    good = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(train, "PATIENCE", 2)
    monkeypatch.setattr(
        Learner, "loss", lambda self, _: self.network.depth_model.decoder.head.weight.sum() * float("nan")
    )
    assert train.main([*options, "--minutes", "5"]) == 1
    assert "lower the rates" in capsys.readouterr().err
    assert (tmp_path / "state.pt").read_bytes() == good


@pytest.mark.usefixtures("short_recipe")
def test_a_step_without_finite_gradients_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    run._take_step(random_batch())
    before = [parameter.detach().clone() for parameter in run.learner.parameters()]
    loss = Learner.loss
    monkeypatch.setattr(Learner, "loss", lambda self, batch: loss(self, batch) * float("nan"))
    run._take_step(random_batch())
    assert all(torch.equal(a, b) for a, b in zip(before, run.learner.parameters(), strict=True))
    monkeypatch.undo()
    run._take_step(random_batch())
    assert not all(torch.equal(a, b) for a, b in zip(before, run.learner.parameters(), strict=True))


def test_curves_are_drawn(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [{"elapsed_s": t, "loss": 1.0 / (t + 1), "errors": {"84x56": {"abs_rel": 0.4}}} for t in (0, 60, 90)]
    log.write_text("\n".join(json.dumps(row) for row in rows))
    draw_curves(log, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[0] >= 300
    assert (picture < 128).any()


def test_weights_can_be_read_back_from_the_exported_model(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = build_network(VARIANT)
    for parameter in network.parameters():  # no two alike, as after training
        parameter.data = (torch.randn_like(parameter) * 0.05).half().float()
    export_model(network, tmp_path / "some.onnx", precision="fp32-half-weights")
    found = read_weights(tmp_path / "some.onnx")
    state = network.state_dict()
    assert set(state) == set(found)
    for name, tensor in found.items():
        # Biases take back what rounding costs, and a norm's scale may be stored as it is.
        torch.testing.assert_close(tensor, state[name], rtol=1e-3, atol=1e-2 if name.endswith("bias") else 1e-6)
    assert torch.isfinite(Learner(found).loss(random_batch()))


def test_training_goes_on_from_where_it_has_come() -> None:
    learner = Learner(read_weights(DEMO_MODEL_PATH))
    with torch.no_grad():
        assert torch.isfinite(learner.loss(random_batch()))


def test_sky_is_far_and_unsure_already() -> None:
    estimator = Estimator(open_model(provider="cpu"))
    of_sky, of_ground = [], []
    for sample in HeldOutScenes(count=8, size_hw=(168, 224), world="street", kind="street"):
        estimate = estimator.estimate(sample.rgb, sample.camera)
        sky = np.isnan(sample.true_depth_m)
        if 0.1 < sky.mean() < 0.9:
            of_sky.append((np.median(estimate.depth_m[sky]), estimate.confidence[sky].mean()))
            of_ground.append((np.median(estimate.depth_m[~sky]), estimate.confidence[~sky].mean()))
    assert len(of_sky) >= 3
    (sky_m, sky_confidence), (ground_m, ground_confidence) = np.mean(of_sky, axis=0), np.mean(of_ground, axis=0)
    assert sky_m > 2 * ground_m
    assert sky_confidence < ground_confidence


class FixedScale:
    """Stands for an estimator that sees nothing: its depth grows with the focal length alone, as `power` says."""

    def __init__(self, power: float) -> None:
        self.power = power

    def estimate(self, rgb: np.ndarray, camera: object) -> SimpleNamespace:
        return SimpleNamespace(depth_m=np.full(rgb.shape[:2], camera.focal_px**self.power, np.float32))


@pytest.mark.parametrize(("power", "moved"), [(0.0, 0.0), (1.0, 0.6)])
def test_focal_measure_tells_how_far_depth_follows_the_focal_length(power: float, moved: float) -> None:
    from metric3d_export.demo_model.measure import measure_focal

    assert measure_focal(FixedScale(power), scenes=2, size_hw=(48, 64)) == pytest.approx((moved, moved), abs=1e-5)
