"""Frames of several cameras walk the line: batches, fairness, and one camera's failure beside the others."""

import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models

from metric3d_ros.codecs.sixteen_bits import SteadySampleRange
from metric3d_ros.corrections import Corrected
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import ALL_OUTPUTS, DEPTH, Estimator
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.health.calibration_watch import CalibrationWatch
from metric3d_ros.nodes.health.camera_progress import CameraProgress
from metric3d_ros.nodes.health.frame_counts import Dropped, FrameCounts
from metric3d_ros.nodes.parameters.corrections.edges import EdgesParameters
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.pipeline.line import Line
from metric3d_ros.pictures import SteadyRange
from metric3d_ros.scale import ScaleState

WIDE, HIGH = (48, 64), (64, 48)


class Camera:
    """Stands for a NodeCamera: it wants one output, whose message is the result itself, and keeps what it is given."""

    def __init__(self, name, *, wants=True):
        self.name, self.results, self.saved = name, [], []
        self.progress = CameraProgress(FrameCounts(warn=print))
        self.sample_range, self.calibration = SteadySampleRange(), CalibrationWatch(warn=print)
        self.outlet = self
        self.depth_range, self.snapshot_is_wanted, self.wants = SteadyRange(), False, wants

    @property
    def counts(self):
        return self.progress.counts

    def wanted(self):
        return ("depth/image",) if self.wants else ()

    def needs(self, frame, parameters):
        return ALL_OUTPUTS if frame.for_snapshot else frozenset({DEPTH} if frame.wanted else ())

    def check(self, result):
        pass

    def build(self, topic, result):
        return result

    def publish(self, topic, result):
        assert self.progress.is_busy
        self.results.append(result)

    def correct(self, frame, estimate, options, parameters):
        return Corrected(estimate, is_corrected=options.is_on)

    def save_snapshot(self, result):
        self.saved.append(float(result.estimate.depth_m[0, 0]))
        self.snapshot_is_wanted = False


def frame(level, hw=WIDE, *, focal_px=1000.0, camera_hw=None, has_our_stamp=True, decode=None):
    rgb = np.full((*hw, 3), level, np.uint8)
    height, width = camera_hw or hw
    k = [focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0]
    whole = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    camera_info = SimpleNamespace(
        width=width, height=height, k=k, d=[], p=[0.0] * 12, r=[0.0] * 9, distortion_model="", roi=whole
    )
    camera_info.binning_x = camera_info.binning_y = 0
    return Frame(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id=""),
        height=hw[0],
        width=hw[1],
        message=None,
        decode=decode or (lambda message, **_: rgb),
        has_our_stamp=has_our_stamp,
    ).complete(camera_info)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return open_model(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


class Session:
    """A line that notes how many images went through the network together."""

    def __init__(self, engine, *, on_scaled=lambda camera, frame, state: None, **values):
        self.estimator, self.batches, self.errors = Estimator(engine), [], []
        self.published, self.now_ns = [], 3_000_000_000
        estimate = self.estimator.estimate_batch

        def note(images, cameras, **options):
            self.batches.append(len(images))
            return estimate(images, cameras, **options)

        self.estimator.estimate_batch = note
        self.line = Line(
            self.estimator,
            parameters=lambda: DepthParameters(**values),
            now_ns=lambda: self.now_ns,
            on_published=lambda camera, frame, times_ms: self.published.append((camera.name, times_ms)),
            log=SimpleNamespace(warning=print, error=self.errors.append),
            on_scaled=on_scaled,
        )


def depth_m(camera):
    return [float(result.estimate.depth_m[0, 0]) for result in camera.results]


def test_images_of_one_size_go_through_the_network_together_and_come_back_to_their_cameras(engine):
    session, left, right, high = Session(engine), Camera("left"), Camera("right"), Camera("high")
    session.line.run({left: frame(100), high: frame(60, HIGH), right: frame(200, focal_px=500.0)})
    assert sorted(session.batches) == [1, 2]
    # 0.05 m a level at a focal length of 1000 px, half of that at 500 px.
    assert (depth_m(left), depth_m(right), depth_m(high)) == ([5.0], [5.0], [3.0])
    assert right.progress.inference_size_hw == WIDE
    assert [camera.counts.published for camera in (left, right, high)] == [1, 1, 1]
    assert sorted(name for name, _ in session.published) == ["high", "left", "right"]


def test_batches_are_no_larger_than_allowed(engine):
    session, cameras = Session(engine, max_batch=2), [Camera(str(n)) for n in range(5)]
    session.line.run({camera: frame(20 * n + 20) for n, camera in enumerate(cameras)})
    assert session.batches == [2, 2, 1]
    assert [depth_m(camera) for camera in cameras] == [[1.0], [2.0], [3.0], [4.0], [5.0]]


def test_camera_is_busy_until_the_last_of_two_frames_is_published(engine):
    session, camera = Session(engine), Camera("camera")
    first = session.line.estimate({camera: frame(100)})
    second = session.line.estimate({camera: frame(60)})
    assert camera.progress.is_busy
    published_s = time.monotonic()
    session.line.publish(first)
    assert camera.progress.is_busy
    assert camera.progress.busy_s <= time.monotonic() - published_s, (
        "else overlapping frames would look like one without an end"
    )
    session.line.publish(second)
    assert not camera.progress.is_busy
    assert depth_m(camera) == [5.0, 3.0]


def test_camera_is_not_busy_after_a_defect(engine):
    session, camera = Session(engine), Camera("camera")
    session.estimator.size.advice = lambda image_hw: 1 / 0
    session.line.run({camera: frame(100)})
    assert not camera.progress.is_busy
    assert camera.counts.dropped[Dropped.BAD] == 1
    assert "ZeroDivisionError" in session.errors[0]


def test_one_snapshot_is_saved_for_one_request_though_two_frames_are_on_their_way(engine):
    session, camera = Session(engine), Camera("camera")
    camera.snapshot_is_wanted = True
    estimated = [session.line.estimate({camera: frame(level)}) for level in (100, 60)]
    for each in estimated:
        session.line.publish(each)
    assert camera.saved == [5.0]


def test_camera_that_nobody_wants_is_not_in_the_batch(engine):
    session, left, right = Session(engine), Camera("left"), Camera("right", wants=False)
    session.line.run({left: frame(100), right: frame(100)})
    assert session.batches == [1]
    assert (right.counts.dropped[Dropped.UNWANTED], right.counts.published, right.results) == (1, 0, [])


def test_bad_frame_of_one_camera_leaves_the_others_alone(engine):
    session, good, bad = Session(engine), Camera("good"), Camera("bad")
    session.line.run({bad: frame(100, camera_hw=HIGH), good: frame(100)})
    assert (good.counts.published, good.counts.dropped[Dropped.BAD]) == (1, 0)
    assert (bad.counts.published, bad.counts.dropped[Dropped.BAD]) == (0, 1)
    assert "calibrated for 48x64, but the image is 64x48" in bad.counts.last_reason
    assert not session.errors, "a bad frame is nothing unexpected"


def test_memory_that_does_not_suffice_for_all_is_tried_one_by_one(engine):
    session, cameras = Session(engine), [Camera("left"), Camera("right")]
    estimate = session.estimator.estimate_batch

    def fail_together(images, cameras, **options):
        if len(images) > 1:
            raise InferenceError("out of memory")
        return estimate(images, cameras, **options)

    session.estimator.estimate_batch = fail_together
    session.line.run({camera: frame(100) for camera in cameras})
    assert [camera.counts.published for camera in cameras] == [1, 1]


def test_defect_is_logged_with_its_traceback_and_counted(engine):
    session, camera = Session(engine), Camera("camera")
    broken = frame(100, decode=lambda message, **_: 1 / 0)
    session.line.run({camera: broken})
    assert camera.counts.dropped[Dropped.BAD] == 1
    assert "ZeroDivisionError" in session.errors[0]


def test_correction_that_fails_drops_the_frame_of_its_camera_alone(engine):
    front, rear = Camera("front"), Camera("rear")

    def fail(*_):
        raise RuntimeError("no correction")

    front.correct = fail
    session = Session(engine, edges=EdgesParameters(remove=True))
    session.line.run({front: frame(100), rear: frame(200)})
    assert (front.counts.dropped[Dropped.BAD], front.counts.published) == (1, 0)
    assert (rear.counts.dropped[Dropped.BAD], rear.counts.published) == (0, 1)
    assert "no correction" in session.errors[0]
    assert not front.progress.is_busy


def test_a_factor_that_a_camera_keeps_is_applied_though_all_corrections_are_off(engine):
    camera, kept, told = Camera("camera"), ScaleState(factor=1.2, source="known distance"), []
    session = Session(engine, on_scaled=lambda camera, frame, state: told.append((camera.name, state)))
    session.line.run({camera: frame(100)})
    camera.correct = lambda frame, estimate, options, parameters: Corrected(
        dataclasses.replace(estimate, depth_m=estimate.depth_m * np.float32(1.2)), kept
    )
    session.line.run({camera: frame(100)})
    assert depth_m(camera) == pytest.approx([5.0, 6.0])
    assert [result.is_corrected for result in camera.results] == [False, True]
    assert told == [("camera", kept)]
    assert ["correct" in times_ms for _, times_ms in session.published] == [False, True]


def test_stamp_of_another_clock_gives_no_age(engine):
    session, camera = Session(engine), Camera("camera")
    session.line.run({camera: frame(100, has_our_stamp=False)})
    ((_, times_ms),) = session.published
    assert "age" not in times_ms
    assert times_ms["total"] > 0


def test_age_leaves_out_the_writing_of_a_snapshot(engine):
    session, camera = Session(engine), Camera("camera")
    camera.snapshot_is_wanted = True

    def take_a_minute(result):
        session.now_ns += 60_000_000_000
        camera.saved.append(result)

    camera.save_snapshot = take_a_minute
    session.line.run({camera: frame(100)})
    ((_, times_ms),) = session.published
    assert len(camera.saved) == 1
    assert times_ms["age"] == 2000.0


def test_stages_are_timed_and_the_age_is_that_of_the_stamp(engine):
    session, camera = Session(engine), Camera("camera")
    session.line.run({camera: frame(100)})
    ((_, times_ms),) = session.published
    assert times_ms["age"] == 2000.0
    assert set(times_ms) >= {"wait", "decode", "prepare", "infer", "finish", "depth/image", "outputs", "total"}
    assert not camera.progress.is_busy
