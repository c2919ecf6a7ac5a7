"""How the demo model is trained: its images agree with the demo's, its losses pull the right way, it can resume."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from metric3d_export.demo_model import train  # noqa: E402
from metric3d_export.demo_model.curves import draw_curves  # noqa: E402
from metric3d_export.demo_model.losses import (  # noqa: E402
    accuracy,
    bins_loss,
    depth_loss,
    network_log_bins,
    network_loss,
    safe_log,
)
from metric3d_export.demo_model.recipe import STAGES, Course, Stage  # noqa: E402
from metric3d_export.demo_model.render_steps import PLAIN  # noqa: E402
from metric3d_export.demo_model.samples import (  # noqa: E402
    HELD_OUT_FROM,
    Batch,
    Frame,
    draw_views,
    held_out,
    jitter,
)
from metric3d_export.demo_model.starting_weights import initialise, parametrise, plain_state  # noqa: E402
from metric3d_export.network.variants import build_network  # noqa: E402

SMALL = Frame((56, 84))


def random_batch(size_hw: tuple[int, int] = (56, 84), count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(3)
    height, width = size_hw
    normal = torch.randn((count, 3, height, width), generator=generator)
    valid = torch.ones((count, height, width), dtype=torch.bool)
    valid[:, :6] = False
    return Batch(
        torch.rand((count, 3, height, width), generator=generator) * 255,
        torch.rand((count, height, width), generator=generator) * 20 + 1,
        normal / normal.norm(dim=1, keepdim=True),
        valid,
    )


def test_training_never_sees_held_out_scenes() -> None:
    seeds = [view.scene.seed for view in held_out(SMALL, 5)]
    assert len(set(seeds)) == 5
    assert min(seeds) >= HELD_OUT_FROM
    assert train.SCENES_PER_WORKER * 8 < HELD_OUT_FROM


def test_focal_lengths_cover_the_stated_range() -> None:
    shares = np.array([view.focal_px / 84 for seed in range(300) for view in draw_views(seed, SMALL)[:1]])
    assert shares.min() >= 0.6
    assert shares.max() <= 1.6
    assert shares.min() < 0.7
    assert shares.max() > 1.5


def test_mirrored_images_mirror_the_normals_too() -> None:
    batch = random_batch(count=40)
    seen = jitter(batch, torch.Generator().manual_seed(0))
    mirrored = (seen.depth != batch.depth).flatten(1).any(1)
    assert 5 < int(mirrored.sum()) < 35
    torch.testing.assert_close(seen.depth[mirrored], batch.depth[mirrored].flip(-1))
    torch.testing.assert_close(
        seen.normal[mirrored], batch.normal[mirrored].flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    )
    torch.testing.assert_close(seen.normal[~mirrored], batch.normal[~mirrored])


def test_padding_keeps_the_mean_colour_under_jitter() -> None:
    from metric3d_ros.model_contract import MEAN_RGB

    seen = jitter(random_batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen.rgb[:, :, 0, 0], torch.tensor(MEAN_RGB).expand(2, 3))


def test_network_starts_with_outputs_that_can_be_trained() -> None:
    torch.manual_seed(0)
    network = build_network("vit_demo")
    initialise(network)
    batch = random_batch()
    with torch.no_grad():
        estimates = network.depth_model.estimate(network.normalise(batch.rgb))
        prediction = network(network.normalise(batch.rgb))
    for state in estimates.states[1:]:  # nothing is added at first
        torch.testing.assert_close(state, estimates.states[0])
    # The zeros beyond the border stand for 200 m and must not leak in.
    border = prediction.depth[:, 0] / prediction.depth[:, 4]
    assert float(border.max()) < 1.5
    assert torch.isfinite(prediction.depth).all()


def test_parametrised_weights_come_back_under_the_published_names() -> None:
    torch.manual_seed(0)
    network = build_network("vit_demo")
    initialise(network)
    names = set(network.state_dict())
    parametrise(network)
    baked = plain_state(network)
    assert set(baked) == names
    fresh = build_network("vit_demo")
    fresh.load_state_dict(baked)
    image = network.normalise(random_batch().rgb)
    with torch.no_grad():
        torch.testing.assert_close(fresh(image).depth, network(image).depth, rtol=1e-4, atol=1e-4)


def test_right_depth_costs_less_than_wrong_scale_which_costs_less_than_wrong_shape() -> None:
    truth = torch.linspace(0.2, 3.0, 48).view(1, 6, 8)
    valid = torch.ones_like(truth, dtype=torch.bool)
    right = depth_loss(truth, truth, valid)
    scaled = depth_loss(truth + 0.3, truth, valid)
    bent = depth_loss(truth + 0.3 * torch.sign(truth - 1.6), truth, valid)
    assert float(right) == 0
    assert float(scaled) == pytest.approx(0.3, abs=1e-5)
    assert float(bent) > float(scaled)


def test_bins_loss_is_least_at_the_bins_around_the_truth() -> None:
    log_bins = network_log_bins()
    truth = torch.full((1, 1, 1), float(log_bins[100]) * 0.25 + float(log_bins[101]) * 0.75)
    valid = torch.ones((1, 1, 1), dtype=torch.bool)
    logits = torch.full((1, 256, 1, 1), -30.0)
    logits[0, 100], logits[0, 101] = np.log(0.25), np.log(0.75)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert float(bins_loss(logits, log_bins, truth, valid)) == pytest.approx(entropy, abs=1e-3)


def test_depth_below_the_range_is_still_pulled_up() -> None:
    depth = torch.tensor([-3.0, 0.05, 2.0], requires_grad=True)
    safe_log(depth).sum().backward()
    assert (depth.grad > 0).all()


def test_accuracy_of_a_depth_that_is_ten_percent_too_large() -> None:
    batch = random_batch()
    errors = accuracy(batch.depth * 1.1, batch.normal, batch.depth, batch.normal, batch.valid)
    assert errors["abs_rel"] == pytest.approx(0.1, abs=1e-5)
    assert errors["aligned_abs_rel"] == pytest.approx(0.0, abs=1e-5)
    assert errors["delta1"] == 1.0
    assert errors["normal_deg"] == pytest.approx(0.0, abs=0.1)


def test_invalid_pixels_do_not_change_the_loss() -> None:
    torch.manual_seed(0)
    learner = train.Learner()
    batch = random_batch()
    with torch.no_grad():
        estimates = learner.network.depth_model.estimate(learner.network.normalise(batch.rgb))
    depth = batch.depth.clone()
    depth[~batch.valid] = 77.0
    log_bins = network_log_bins()
    torch.testing.assert_close(
        network_loss(estimates, log_bins, batch), network_loss(estimates, log_bins, batch._replace(depth=depth))
    )


@pytest.fixture
def short_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of a few small steps, rendered without the compiler."""
    courses = (Course(SMALL, 1.0, 2, 1),)
    stages = {
        name: Stage(name, 4, courses, whole_network=name != "encoder", rate=1e-4, matrix_rate=1e-4) for name in STAGES
    }
    monkeypatch.setattr(train, "STAGES", stages)
    monkeypatch.setattr(train, "HELD_OUT", (Course(SMALL, 1.0, 2, 2),))
    monkeypatch.setattr("metric3d_export.demo_model.render_steps.COMPILED", PLAIN)


@pytest.mark.usefixtures("short_stages")
def test_training_writes_state_log_and_curves_and_goes_on_from_them(tmp_path: Path) -> None:
    assert train.main(["--folder", str(tmp_path), "--stage", "encoder"]) == 0
    first = train.Run(tmp_path, seed=1)
    assert first.restore()
    assert (first.stage_name, first.step) == ("encoder", 4)
    assert train.main(["--folder", str(tmp_path)]) == 0
    second = train.Run(tmp_path, seed=1)
    assert second.restore()
    assert (second.stage_name, second.step) == (list(STAGES)[-1], 4)
    assert second.next_scene > first.next_scene
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(value.dtype == torch.float16 for value in weights.values())
    build_network("vit_demo").load_state_dict(weights)
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.usefixtures("short_stages")
def test_training_that_diverges_stops_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--folder", str(tmp_path), "--stage", "encoder"]) == 0
    good = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(train, "PATIENCE", 2)
    monkeypatch.setattr(train.Learner, "loss", lambda self, *_, **__: self.probe.read.weight.sum() * float("nan"))
    assert train.main(["--folder", str(tmp_path), "--stage", "network"]) == 1
    assert "lower the rate" in capsys.readouterr().err
    assert (tmp_path / "state.pt").read_bytes() == good


def test_curves_are_drawn_over_both_stages(tmp_path: Path) -> None:
    import json

    import cv2

    log = tmp_path / "log.jsonl"
    rows = [
        {"stage": stage, "elapsed_s": t, "loss": 1.0 / (t + 1), "errors": {"84x56": {"abs_rel": 0.4}}}
        for stage, t in (("encoder", 0), ("encoder", 60), ("network", 30))
    ]
    log.write_text("\n".join(json.dumps(row) for row in rows))
    draw_curves(log, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[0] >= 300
    assert (picture < 128).any()


def test_weights_can_be_read_back_from_the_exported_model(tmp_path: Path) -> None:
    from metric3d_export.demo_model.ship import read_weights
    from metric3d_export.exporter import export_model

    torch.manual_seed(5)
    network = build_network("vit_demo")
    for parameter in network.parameters():  # no two alike, as after training
        parameter.data = (torch.randn_like(parameter) * 0.05).half().float()
    export_model(network, tmp_path / "some.onnx", precision="fp32-half-weights")
    found = read_weights(tmp_path / "some.onnx")
    state = network.state_dict()
    assert set(state) - set(found) <= {"depth_model.encoder.mask_token"}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)
    learner = train.Learner(found)
    image = network.normalise(random_batch().rgb)
    with torch.no_grad():
        assert torch.isfinite(learner.network(image).depth).all()
    assert torch.equal(
        learner.network.depth_model.decoder.depth_regressor[0].weight,
        state["depth_model.decoder.depth_regressor.0.weight"],
    )


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


def test_every_stage_sees_the_sizes_that_the_demo_and_the_tests_use() -> None:
    for stage in STAGES.values():
        assert sum(course.share for course in stage.courses) == pytest.approx(1.0)
        sizes = {course.frame.seen_hw or course.frame.size_hw for course in stage.courses}
        assert {(252, 336), (168, 280)} <= sizes
        assert all(side % 28 == 0 for course in stage.courses for side in course.frame.size_hw)
