"""Estimator: scale from the focal length at every inference size, and outputs at the image's own resolution."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError, ImageError, InferenceError, OutOfMemoryError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import InferenceSize

METRES = tiny_models.METRES_PER_LEVEL


@pytest.fixture(scope="module")
def contract_model(tmp_path_factory):
    return open_model(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


def grey_image(height, width, level=100):
    return np.full((height, width, 3), level, np.uint8)


def test_depth_is_in_metres_for_the_cameras_focal_length(contract_model):
    camera = Camera(80, 60, 490.0, 510.0, 40.0, 30.0)
    estimate = Estimator(contract_model).estimate(grey_image(60, 80), camera)
    np.testing.assert_allclose(estimate.depth_m, 100 * METRES * 500 / 1000)
    assert estimate.depth_m.shape == (60, 80)
    assert estimate.depth_m.dtype == np.float32
    np.testing.assert_allclose(estimate.confidence, tiny_models.CONFIDENCE)
    np.testing.assert_allclose(estimate.normals, np.broadcast_to(tiny_models.NORMAL, (60, 80, 3)))
    assert estimate.inference_size_hw == (60, 80)
    assert set(estimate.timings_ms) == {"prepare", "infer", "finish"}


@pytest.mark.parametrize("size", ["native", "trained", "80x45", "40x100", "0.005MP"])
def test_outputs_keep_the_images_size_and_depth_follows_the_resized_focal_length(contract_model, size):
    estimator = Estimator(contract_model, inference_size=size)
    estimate = estimator.estimate(grey_image(90, 160), Camera.from_focal(160, 90, focal_px=400))
    assert estimate.depth_m.shape == (90, 160)
    assert estimate.confidence.shape == (90, 160)
    assert estimate.normals.shape == (90, 160, 3)
    scale_y, scale_x = np.array(estimate.inference_size_hw) / (90, 160)
    # The tiny model has no sense of size, so its depth follows the focal length of the image that it was fed.
    expected = 100 * METRES * 400 * (scale_x + scale_y) / 2 / 1000
    np.testing.assert_allclose(estimate.depth_m, expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(estimate.normals, axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "image_hw", "expected"),
    [
        ("native", (1080, 1920), (1080, 1920)),
        ("640x480", (1080, 1920), (360, 640)),
        ("640x480", (1000, 500), (480, 240)),
        ("640x480", (100, 200), (100, 200)),
        ("0.5MP", (1000, 2000), (500, 1000)),
        ("0.5 megapixels", (100, 100), (100, 100)),
        ("trained", (1000, 2000), (560, 1120)),
        ("trained", (100, 200), (560, 1120)),
        ("28x28", (100, 1000), (28, 28)),
    ],
)
def test_inference_size_keeps_the_aspect_and_only_trained_enlarges(text, image_hw, expected):
    assert InferenceSize.parse(text).choose(image_hw, training_size_hw=(560, 1120)) == expected


@pytest.mark.parametrize("text", ["", "big", "0x0", "20x20", "640", "640x", "-1MP", "0MP", "nan", "1e3MP"])
def test_unreadable_inference_size_is_refused(text):
    with pytest.raises(ConfigurationError, match="expected 'native'"):
        InferenceSize.parse(text)


def test_native_size_far_above_training_is_advised_against_once_asked(contract_model):
    estimator = Estimator(contract_model)
    assert estimator.size.advice((112, 168)) is None
    assert "168x112" in estimator.size.advice((480, 640))
    estimator.size.ask("trained")
    assert estimator.size.advice((480, 640)) is None


def test_what_is_not_asked_for_is_none(contract_model):
    estimate = Estimator(contract_model).estimate(
        grey_image(30, 40), Camera.from_focal(40, 30, focal_px=40), outputs={"depth"}
    )
    assert estimate.confidence is None
    assert estimate.normals is None


def test_model_without_normals_gives_none(tmp_path):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx", with_normals=False))
    estimate = Estimator(model).estimate(grey_image(30, 40), Camera.from_focal(40, 30, focal_px=40))
    assert estimate.normals is None
    assert estimate.confidence is not None


def test_unusable_depth_is_nan(contract_model):
    rgb = grey_image(30, 40)
    rgb[:, :10] = 0
    depth_m = Estimator(contract_model).estimate(rgb, Camera.from_focal(40, 30, focal_px=40)).depth_m
    assert np.isnan(depth_m[:, :10]).all()
    assert np.isfinite(depth_m[:, 10:]).all()


def test_upsampling_invents_no_depth_between_two_surfaces(contract_model):
    rgb = grey_image(64, 64, level=40)
    rgb[:, 32:] = 200
    estimate = Estimator(contract_model, inference_size="32x32").estimate(rgb, Camera.from_focal(64, 64, focal_px=64))
    levels = np.unique(np.round(estimate.depth_m / (METRES * 32 / 1000)))
    assert set(levels) <= {40, 200}


def test_batch_gives_each_image_its_own_focal_length(contract_model):
    images = [grey_image(30, 40, 50), grey_image(30, 40, 150)]
    cameras = [Camera.from_focal(40, 30, focal_px=100), Camera.from_focal(40, 30, focal_px=1000)]
    first, second = Estimator(contract_model).estimate_batch(images, cameras)
    np.testing.assert_allclose(first.depth_m, 50 * METRES * 0.1, rtol=1e-6)
    np.testing.assert_allclose(second.depth_m, 150 * METRES, rtol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 80), np.uint8),
        np.zeros((60, 80, 4), np.uint8),
        np.zeros((60, 80, 3), np.float32),
        np.zeros((20, 80, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_rgb_image_is_refused(contract_model, image):
    with pytest.raises(ImageError):
        Estimator(contract_model).estimate(image, Camera.from_focal(80, 60, focal_px=80))


def test_camera_of_another_size_is_refused_with_both_sizes(contract_model):
    with pytest.raises(CameraError, match=r"640x480.*80x60"):
        Estimator(contract_model).estimate(grey_image(60, 80), Camera.from_focal(640, 480, focal_px=80))


def test_warm_up_runs_and_says_how_long(contract_model):
    assert Estimator(contract_model).warm_up((60, 80)) > 0


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_onnx_community_model_is_padded_scaled_and_cropped(tmp_path, half):
    model = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx", half=half))
    rgb = np.random.default_rng(1).integers(1, 255, (45, 70, 3), np.uint8)
    estimate = Estimator(model).estimate(rgb, Camera.from_focal(70, 45, focal_px=250))
    assert estimate.depth_m.dtype == np.float32
    np.testing.assert_allclose(estimate.depth_m, rgb.mean(axis=2) * METRES * 0.25, rtol=3e-3 if half else 1e-5)
    np.testing.assert_allclose(estimate.normals, np.broadcast_to(tiny_models.NORMAL, (45, 70, 3)))
    assert estimate.confidence is None


@pytest.mark.parametrize("image_hw", [(56, 84), (112, 168), (100, 30), (30, 100), (84, 56)])
def test_fixed_size_model_takes_any_image_and_scales_depth_with_the_resizing(tmp_path, image_hw):
    model = open_model(tiny_models.save_authors_model(tmp_path / "authors.onnx", size_hw=(56, 84)))
    height, width = image_hw
    estimate = Estimator(model).estimate(grey_image(height, width), Camera.from_focal(width, height, focal_px=500))
    scale = min(56 / height, 84 / width)
    assert estimate.depth_m.shape == image_hw
    np.testing.assert_allclose(estimate.depth_m, 100 * METRES * 500 * scale / 1000, rtol=1e-4)
    assert estimate.inference_size_hw == (round(height * scale), round(width * scale))


def test_trained_size_needs_a_model_that_states_it(tmp_path):
    model = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx"))
    with pytest.raises(ConfigurationError, match="training size"):
        Estimator(model, inference_size="trained")


class LimitedModel:
    """A model that takes a set time for each megapixel, and has memory for a set number of pixels."""

    def __init__(self, model, *, most_pixels=float("inf"), clock=None, ms_per_megapixel=0.0):
        self._model, self.most_pixels, self._clock, self.ms_per_megapixel = (
            model,
            most_pixels,
            clock,
            ms_per_megapixel,
        )
        self.seen = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def run(self, feeds, *, outputs):
        shape = feeds["image"].shape[:3]
        pixels = int(np.prod(shape))
        self.seen.append(shape)
        if pixels > self.most_pixels:
            raise OutOfMemoryError(f"no memory for {pixels} pixels")
        if self._clock is not None:
            self._clock.now_s += pixels / 1e6 * self.ms_per_megapixel / 1e3
        return self._model.run(feeds, outputs=outputs)


@pytest.fixture
def clock(monkeypatch):
    """Time as the estimator sees it: it passes only in a LimitedModel."""
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr("metric3d_ros.estimation.estimator.time", SimpleNamespace(perf_counter=lambda: clock.now_s))
    return clock


def test_auto_finds_a_size_that_holds_the_rate(contract_model, clock):
    # 100 Hz leaves 10 ms, of which 9 are used: 0.018 megapixels at 500 ms for each.
    model = LimitedModel(contract_model, clock=clock, ms_per_megapixel=500.0)
    estimator = Estimator(model, inference_size="auto", target_rate_hz=100.0)
    camera, rgb = Camera.from_focal(320, 240, focal_px=300), grey_image(240, 320)
    for _ in range(60):
        estimate = estimator.estimate(rgb, camera)
    height, width = estimate.inference_size_hw
    assert 0.014e6 < height * width <= 0.020e6
    assert estimate.depth_m.shape == (240, 320)
    np.testing.assert_allclose(
        estimate.depth_m, 100 * METRES * 300 * (width / 320 + height / 240) / 2 / 1000, rtol=1e-5
    )


def test_auto_leaves_time_for_what_else_a_frame_costs(contract_model, clock):
    sizes = {}
    for other_ms in (0.0, 6.0):
        model = LimitedModel(contract_model, clock=clock, ms_per_megapixel=500.0)
        estimator = Estimator(model, inference_size="auto", target_rate_hz=100.0)
        for _ in range(60):
            estimate = estimator.estimate(grey_image(240, 320), Camera.from_focal(320, 240, focal_px=300))
            estimator.size.note_round(sum(estimate.timings_ms.values()) + other_ms)
        sizes[other_ms] = estimate.inference_size_hw
    assert sizes[6.0] < sizes[0.0]


def test_auto_shares_the_time_among_cameras_that_cannot_go_through_the_network_together(contract_model, clock):
    model = LimitedModel(contract_model, clock=clock, ms_per_megapixel=500.0)
    estimator = Estimator(model, inference_size="auto", target_rate_hz=100.0)
    rounds_ms = []
    for _ in range(100):
        started_s = clock.now_s
        for height, width in ((240, 320), (180, 320)):
            estimator.estimate(grey_image(height, width), Camera.from_focal(width, height, focal_px=300))
        rounds_ms.append((clock.now_s - started_s) * 1e3)
        estimator.size.note_round(rounds_ms[-1])
    assert 5.0 < max(rounds_ms[-30:]) <= 10.0


def test_auto_keeps_to_sizes_that_the_network_was_trained_for(contract_model, clock):
    estimator = Estimator(LimitedModel(contract_model, clock=clock), inference_size="auto", target_rate_hz=1.0)
    for _ in range(30):
        estimate = estimator.estimate(grey_image(480, 640), Camera.from_focal(640, 480, focal_px=300))
    # 1.5 times 112 x 168, at the image's aspect.
    assert estimate.inference_size_hw == (145, 193)
    assert estimator.size.advice((480, 640)) is None


def test_too_little_memory_costs_one_frame_and_halves_the_size_with_one_warning(contract_model, caplog):
    model = LimitedModel(contract_model, most_pixels=3000)
    estimator = Estimator(model)
    camera, rgb = Camera.from_focal(80, 60, focal_px=80), grey_image(60, 80)
    with pytest.raises(OutOfMemoryError):
        estimator.estimate(rgb, camera)
    for _ in range(3):
        estimate = estimator.estimate(rgb, camera)
    assert estimate.inference_size_hw == (42, 56)
    assert estimate.depth_m.shape == (60, 80)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "80x60 does not fit into memory: inference runs at 56x42" in warning


def test_memory_that_shrinks_further_costs_another_frame(contract_model):
    model = LimitedModel(contract_model, most_pixels=1700)
    estimator = Estimator(model)
    camera, rgb = Camera.from_focal(80, 60, focal_px=80), grey_image(60, 80)
    for _ in range(2):
        with pytest.raises(OutOfMemoryError):
            estimator.estimate(rgb, camera)
    assert estimator.estimate(rgb, camera).inference_size_hw == (29, 39)


def test_a_new_inference_size_is_tried_in_full(contract_model):
    model = LimitedModel(contract_model, most_pixels=3000)
    estimator = Estimator(model)
    camera, rgb = Camera.from_focal(80, 60, focal_px=80), grey_image(60, 80)
    with pytest.raises(OutOfMemoryError):
        estimator.estimate(rgb, camera)
    model.most_pixels = float("inf")
    estimator.size.ask("native")  # it was that before
    assert estimator.estimate(rgb, camera).inference_size_hw == (42, 56)
    estimator.size.ask("100x100")
    assert estimator.estimate(rgb, camera).inference_size_hw == (60, 80)


def test_a_batch_that_does_not_fit_is_halved_before_the_size_is(contract_model, caplog):
    model = LimitedModel(contract_model, most_pixels=10_000)
    estimator = Estimator(model)
    images, cameras = [grey_image(60, 80)] * 3, [Camera.from_focal(80, 60, focal_px=80)] * 3
    with pytest.raises(OutOfMemoryError):
        estimator.estimate_batch(images, cameras)
    estimates = estimator.estimate_batch(images, cameras)
    assert [estimate.inference_size_hw for estimate in estimates] == [(60, 80)] * 3
    assert model.seen == [(3, 60, 80)] + [(1, 60, 80)] * 3
    assert "3 images at once" in caplog.text


def test_an_estimate_stays_as_it_is_while_the_next_ones_are_made(contract_model):
    estimator, camera = Estimator(contract_model), Camera.from_focal(80, 60, focal_px=80)
    estimates = [estimator.estimate(grey_image(60, 80, level), camera) for level in range(50, 60)]
    for level, estimate in zip(range(50, 60), estimates, strict=True):
        np.testing.assert_allclose(estimate.depth_m, level * METRES * 80 / 1000, rtol=1e-5)


def test_failing_provider_is_an_inference_error_that_names_a_remedy(contract_model):
    feeds = {"image": np.zeros((1, 30, 40, 4), np.uint8), "focal_length": np.ones(1, np.float32)}
    with pytest.raises(InferenceError, match="inference_size"):
        contract_model.run(feeds, outputs={"depth"})
