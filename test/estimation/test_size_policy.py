"""SizePolicy: sizes that hold a rate, fit into memory, and are advised against; with a clock that the test moves."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError, OutOfMemoryError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

METRES = tiny_models.METRES_PER_LEVEL


@pytest.fixture(scope="module")
def contract_model(tmp_path_factory):
    return open_model(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


def grey_image(height, width, level=100):
    return np.full((height, width, 3), level, np.uint8)


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


def test_native_size_far_above_training_is_advised_against_once_asked(contract_model):
    estimator = Estimator(contract_model)
    assert estimator.size.advice((112, 168)) is None
    assert "168x112" in estimator.size.advice((480, 640))
    estimator.size.ask("trained")
    assert estimator.size.advice((480, 640)) is None


def test_trained_size_needs_a_model_that_states_it(tmp_path):
    model = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx"))
    with pytest.raises(ConfigurationError, match="training size"):
        Estimator(model, inference_size="trained")


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


def test_alternatives_are_the_sizes_that_auto_and_trained_would_choose(contract_model):
    sizes_hw = Estimator(contract_model).size.alternatives((480, 640), target_rate_hz=10.0)
    assert set(sizes_hw) == {"auto", "trained"}
    first, smallest = sizes_hw["auto"]
    assert smallest < first < (480, 640)
    # 112 x 168 pixels at the image's aspect.
    assert sizes_hw["trained"] == [(118, 158)]


def test_a_model_of_one_size_has_no_alternatives_and_one_size_for_each_image(tmp_path):
    model = open_model(tiny_models.save_authors_model(tmp_path / "authors.onnx", size_hw=(56, 84)), provider="cpu")
    policy = Estimator(model, inference_size="auto").size
    assert policy.alternatives((480, 640), target_rate_hz=10.0) == {}
    assert policy.choose((480, 640)) == (56, 75)
    assert policy.choose((100, 300)) == (28, 84)


def test_files_of_others_take_one_image_at_a_time(contract_model, tmp_path):
    community = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx"), provider="cpu")
    assert Estimator(community).size.split(3) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert Estimator(contract_model).size.split(3) == [slice(0, 3)]


@pytest.mark.parametrize(
    ("place", "next_size_hw"), [("placement.Placement.place", (42, 56)), ("estimator._finish", (60, 80))]
)
def test_a_smaller_inference_size_is_tried_if_that_is_what_the_memory_went_to(
    contract_model, monkeypatch, place, next_size_hw
):
    estimator = Estimator(contract_model)
    camera, rgb = Camera.from_focal(80, 60, focal_px=80), grey_image(60, 80)

    def no_memory(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(f"metric3d_ros.estimation.{place}", no_memory)
        with pytest.raises(OutOfMemoryError):
            estimator.estimate(rgb, camera)
    assert estimator.estimate(rgb, camera).inference_size_hw == next_size_hw


def test_a_new_size_may_be_asked_for_while_one_is_chosen(contract_model, monkeypatch):
    policy = Estimator(contract_model, inference_size="auto").size
    make = policy._make_adaptive

    def ask_meanwhile(*arguments):
        policy.ask("auto", target_rate_hz=20.0)
        return make(*arguments)

    monkeypatch.setattr(policy, "_make_adaptive", ask_meanwhile)
    assert policy.choose((480, 640))[0] >= 28
