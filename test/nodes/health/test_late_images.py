"""How many images are too old when their outputs come out, and at which rate smaller sizes would run."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models

from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.nodes.health.camera_progress import CameraProgress
from metric3d_ros.nodes.health.frame_counts import FrameCounts
from metric3d_ros.nodes.health.late_images import LateImages
from metric3d_ros.nodes.health.slowness import explain_delay, explain_lateness, explain_slowness, try_smaller_sizes
from metric3d_ros.nodes.health.speed_trial import SlowCase, SpeedTrial
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def late_images(*ages_s, every_s=1.0, estimate=0.9, other=0.05):
    clock = Clock()
    images = LateImages(clock_s=clock)
    for age_s in ages_s:
        clock.now_s += every_s
        images.add(total_ms=age_s * 1e3, estimate_ms=age_s * estimate * 1e3, other_ms=age_s * other * 1e3)
    return images.summarise(max_age_s=1.0)


def test_nothing_is_late_before_anything_has_come():
    assert late_images() is None


def test_late_images_are_counted_with_what_took_the_time():
    late = late_images(0.5, 2.0, 3.0)
    assert (late.late, late.images, late.median_s, late.estimate_s, late.other_s) == pytest.approx(
        (2, 3, 2.0, 1.8, 0.1)
    )
    assert late.is_too_slow


@pytest.mark.parametrize(
    ("ages_s", "is_too_slow"),
    [((5.0,), False), ((5.0, 0.1, 0.1), False), ((2.0, 2.0, 0.1, 0.1), True), ((2.0, 2.0, 0.1, 0.1, 0.1), False)],
)
def test_first_image_and_the_smaller_part_of_them_do_not_count(ages_s, is_too_slow):
    assert late_images(*ages_s).is_too_slow is is_too_slow


def test_network_that_is_slower_than_the_window_is_judged_by_its_last_images():
    late = late_images(12.0, 12.0, 12.0, 12.0, every_s=12.0)
    assert (late.late, late.images) == (3, 3)


def test_what_is_long_past_is_forgotten():
    clock = Clock()
    images = LateImages(clock_s=clock)
    for _ in range(5):
        images.add(total_ms=5000.0, estimate_ms=1.0, other_ms=1.0)
    clock.now_s += 1000.0
    assert images.summarise(max_age_s=1.0) is None


IMAGE_HW = (480, 640)


class SlowModel:
    """A real model that takes longer the more pixels it sees: 1 ms for each thousand, however fast the machine is."""

    def __init__(self, model):
        self._model = model
        self.seen_hw = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def run(self, feeds, *, outputs):
        height, width = feeds["image"].shape[1:3]
        self.seen_hw.append((height, width))
        time.sleep(height * width / 1e6)
        return self._model.run(feeds, outputs=outputs)


@pytest.fixture
def model(tmp_path):
    return SlowModel(open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu"))


def case(**changes):
    values = {
        "image_hw": IMAGE_HW,
        "inference_size": "native",
        "inference_hw": IMAGE_HW,
        "target_rate_hz": 10.0,
    }
    return SlowCase(**(values | changes))


def test_rates_of_smaller_sizes_are_those_that_the_network_ran_at(model):
    trial, slow = SpeedTrial(estimator=Estimator(model)), case()
    assert trial.rates_hz(slow) is None
    trial.measure(slow, other_s=0.01, images=1, estimate_s=0.3)
    rates = trial.rates_hz(slow)
    # As many pixels as 112x168, at the image's aspect: 118x157 take 18.5 ms at least, and 10 ms go besides.
    assert 0 < rates["trained"] < 1 / 0.0285
    # No more than is asked for.
    assert rates["auto"] <= 10.0
    sizes = set(model.seen_hw)
    assert all(np.prod(size) < np.prod(IMAGE_HW) for size in sizes), "the slow size is known already"
    assert (118, 157) in sizes
    before = len(model.seen_hw)
    assert trial.rates_hz(slow) == rates
    assert len(model.seen_hw) == before


def test_rate_that_no_size_holds_is_that_of_the_smallest(model):
    trial, slow = SpeedTrial(estimator=Estimator(model)), case(target_rate_hz=1000.0)
    trial.measure(slow, other_s=0.5, images=2, estimate_s=600.0)
    assert 0 < trial.rates_hz(slow)["auto"] < 1 / (2 * 0.5), (
        "two cameras share the time, and half a second goes besides"
    )
    assert min(np.prod(size) for size in model.seen_hw) < 10_000


def test_nothing_is_promised_where_nothing_smaller_is_to_be_had(model, tmp_path):
    trial = SpeedTrial(estimator=Estimator(model))
    for slow in (case(inference_size="auto"), case(inference_hw=(28, 37))):
        trial.measure(slow, other_s=0.0, images=1, estimate_s=600.0)
        assert not trial.rates_hz(slow)
    fixed = open_model(tiny_models.save_authors_model(tmp_path / "fixed.onnx", size_hw=(112, 168)), provider="cpu")
    trial = SpeedTrial(estimator=Estimator(fixed))
    trial.measure(case(), other_s=0.0, images=1, estimate_s=600.0)
    assert trial.rates_hz(case()) == {}


class Camera:
    """A camera whose last images took this long in the network, and nothing besides."""

    image_topic = "/image"

    def __init__(self, *, estimate_ms, is_wanted=True):
        self.is_wanted = is_wanted
        self.progress = CameraProgress(FrameCounts(warn=print))
        self.progress.note_estimate(image_hw=IMAGE_HW, inference_size_hw=IMAGE_HW)
        for _ in range(3):
            self.progress.finish({"total": 1300.0, "infer": estimate_ms, "decode": 0.0, "outputs": 0.0})


@pytest.mark.parametrize(
    ("estimate_s", "text"),
    [
        # One after another, two images take 1.2 s now and would take 0.6 s.
        (1.2, "inference_size auto would give about 1.7 Hz, trained about 1.7 Hz"),
        (0.65, "take a smaller model, or another provider"),  # which is hardly faster
        # Together, they take 0.6 s now, too.
        (0.6, "take a smaller model, or another provider"),
    ],
)
def test_smaller_sizes_are_compared_with_what_a_round_of_all_cameras_takes(model, monkeypatch, estimate_s, text):
    monkeypatch.setattr(SpeedTrial, "_time_ms", lambda *_: 300.0)
    cameras, parameters = [Camera(estimate_ms=600.0), Camera(estimate_ms=600.0)], DepthParameters(max_age_s=1.0)
    cameras.append(Camera(estimate_ms=600.0, is_wanted=False))  # of which nothing is estimated
    trial, lines = SpeedTrial(estimator=Estimator(model)), []
    log = SimpleNamespace(info=lines.append)
    try_smaller_sizes(cameras, trial, parameters, estimate_s=0.0, log=log)
    assert not lines, "nothing was estimated"
    try_smaller_sizes(cameras, trial, parameters, estimate_s=estimate_s, log=log)
    assert text in explain_lateness(cameras[0].progress, parameters, trial=trial)
    assert lines == ["/image: images come out too old, trying smaller sizes once"]
    try_smaller_sizes(cameras, trial, parameters, estimate_s=estimate_s, log=log)
    assert len(lines) == 1


@pytest.mark.parametrize("why", ["auto", "a model of one size", "small already"])
def test_nothing_is_logged_if_there_is_no_smaller_size_to_try(model, tmp_path, why):
    size_hw = (28, 37) if why == "small already" else IMAGE_HW
    if why == "a model of one size":
        model = open_model(tiny_models.save_authors_model(tmp_path / "fixed.onnx", size_hw=(112, 168)), provider="cpu")
    parameters = DepthParameters(max_age_s=1.0, inference_size="auto" if why == "auto" else "native")
    camera, trial, lines = Camera(estimate_ms=600.0), SpeedTrial(estimator=Estimator(model)), []
    camera.progress.note_estimate(image_hw=IMAGE_HW, inference_size_hw=size_hw)
    try_smaller_sizes([camera], trial, parameters, estimate_s=0.6, log=SimpleNamespace(info=lines.append))
    assert lines == []
    assert "take a smaller model, or another provider" in explain_lateness(camera.progress, parameters, trial=trial)


def explain(late, slow, rates_hz):
    return explain_slowness(late, slow, rates_hz=rates_hz, max_age_s=1.0)


def test_explanation_names_number_age_and_remedy():
    late = late_images(12.0, 12.5, 11.5, every_s=12.0)
    start = "3 of 3 images are older than 1 s when their outputs come out (median 12 s); "
    assert explain(late, case(), {"auto": 10.0, "trained": 0.426}) == (
        start + "inference_size auto would give about 10 Hz, trained about 0.43 Hz"
    )
    assert explain(late, case(), None) == start + "the network takes 11 s of it at 640x480"
    assert explain(late, case(), {}).endswith("at 640x480: take a smaller model, or another provider (docs/speed.md)")
    assert "trained" not in explain(late, case(), {"auto": 10.0})
    assert "the size that auto has come down to" in explain(late, case(inference_size="auto"), {})


def test_image_that_is_not_done_after_long_is_told_before_any_has_come_out():
    parameters = DepthParameters(max_age_s=2.0)
    assert explain_delay(5.9, parameters) == ""
    assert explain_delay(40.0, parameters) == (
        "an image has been worked on for 40 s and is not done: if it is large, inference_size auto or trained is faster"
    )
    assert explain_delay(40.0, DepthParameters(inference_size="auto")).endswith("inference_size trained is faster")


def test_outputs_that_take_the_time_are_blamed_themselves():
    late = late_images(2.0, 2.0, 2.0, estimate=0.1, other=0.8)
    assert explain(late, case(), None).endswith(
        "decoding and outputs take 1.6 s of it: subscribe to fewer outputs, or raise points.stride"
    )
