"""Frames of several cameras through the pipeline: batches, fairness, and one camera's failure beside the others."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.engine import open_engine
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.estimator import DEPTH, Estimator
from metric3d_ros.messages.sixteen_bits import SteadySampleRange
from metric3d_ros.nodes.health.calibration_watch import CalibrationWatch
from metric3d_ros.nodes.health.frame_counts import FrameCounts
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.pipeline.pipeline import Pipeline
from metric3d_ros.pictures import SteadyRange

WIDE, HIGH = (48, 64), (64, 48)


class Stream:
    """Stands for a CameraStream: it wants one output and keeps what it is given."""

    def __init__(self, name, *, wants=True):
        self.name, self.counts, self.results, self.finished = name, FrameCounts(), [], []
        self.busy, self.inference_size_hw, self.wants = False, None, wants
        self.depth_range, self.sample_range = SteadyRange(), SteadySampleRange()
        self.publishers = SimpleNamespace(wanted=self._wanted, publish=self._publish)
        self.snapshots = SimpleNamespace(is_wanted=False)
        self.calibration = CalibrationWatch(warn=lambda _: None)

    def _wanted(self):
        needs = frozenset({DEPTH})
        output = SimpleNamespace(topic="depth/image", needs=lambda _: needs, build=lambda result: result)
        return [output] if self.wants else []

    def _publish(self, output, result):
        assert self.busy
        self.results.append(result)

    def finish(self, frame, times_ms):
        self.counts.published += 1
        self.finished.append(times_ms)

    def drop(self, error):
        self.counts.add_bad(error)


def frame(level, hw=WIDE, *, focal_px=1000.0, camera_hw=None, has_our_stamp=True):
    rgb = np.full((*hw, 3), level, np.uint8)
    height, width = camera_hw or hw
    stamp = SimpleNamespace(sec=1, nanosec=0)
    image = SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id=""), to_rgb=lambda **_: rgb)
    camera = Camera.from_focal(width, height, focal_px=focal_px)
    return SimpleNamespace(
        image=image,
        camera_info=None,
        description=None,
        is_rectified=lambda parameters: False,
        complete_s=0.0,
        has_our_stamp=has_our_stamp,
        camera=lambda parameters: camera,
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return open_engine(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


class Session:
    """A pipeline that notes how many images went through the network together."""

    def __init__(self, engine, **values):
        self.estimator, self.batches, self.errors = Estimator(engine), [], []
        self.told = []
        estimate = self.estimator.estimate_batch

        def note(images, cameras, **options):
            self.batches.append(len(images))
            return estimate(images, cameras, **options)

        self.estimator.estimate_batch = note
        self.pipeline = Pipeline(
            self.estimator,
            parameters=lambda: DepthParameters(**values),
            now_ns=lambda: 3_000_000_000,
            on_finished=lambda stream, frame, times_ms: self.told.append(stream.name),
            log=SimpleNamespace(warning=print, error=self.errors.append),
        )


def depth_m(stream):
    return [float(result.estimate.depth_m[0, 0]) for result in stream.results]


def test_images_of_one_size_go_through_the_network_together_and_come_back_to_their_cameras(engine):
    session, left, right, high = Session(engine), Stream("left"), Stream("right"), Stream("high")
    session.pipeline.run({left: frame(100), high: frame(60, HIGH), right: frame(200, focal_px=500.0)})
    assert sorted(session.batches) == [1, 2]
    # 0.05 m a level at a focal length of 1000 px, half of that at 500 px.
    assert (depth_m(left), depth_m(right), depth_m(high)) == ([5.0], [5.0], [3.0])
    assert right.inference_size_hw == WIDE
    assert [stream.counts.published for stream in (left, right, high)] == [1, 1, 1]
    assert sorted(session.told) == ["high", "left", "right"]


def test_batches_are_no_larger_than_allowed(engine):
    session, streams = Session(engine, max_batch=2), [Stream(str(n)) for n in range(5)]
    session.pipeline.run({stream: frame(20 * n + 20) for n, stream in enumerate(streams)})
    assert session.batches == [2, 2, 1]
    assert [depth_m(stream) for stream in streams] == [[1.0], [2.0], [3.0], [4.0], [5.0]]


def test_stream_is_busy_until_the_last_of_two_frames_is_published(engine):
    session, stream = Session(engine), Stream("camera")
    first = session.pipeline.estimate({stream: frame(100)})
    second = session.pipeline.estimate({stream: frame(60)})
    assert stream.busy
    since_s = stream.busy_since_s
    session.pipeline.publish(first)
    assert stream.busy
    assert stream.busy_since_s > since_s, "or overlapping frames would look like one that never ends"
    session.pipeline.publish(second)
    assert not stream.busy
    assert depth_m(stream) == [5.0, 3.0]


def test_stream_is_not_busy_after_a_defect(engine):
    session, stream = Session(engine), Stream("camera")
    session.estimator.size_advice = lambda image_hw: 1 / 0
    with pytest.raises(ZeroDivisionError):
        session.pipeline.estimate({stream: frame(100)})
    assert not stream.busy


def test_one_snapshot_is_saved_for_one_request_though_two_frames_are_on_their_way(engine):
    session, stream, saved = Session(engine), Stream("camera"), []

    def save(result):
        saved.append(float(result.estimate.depth_m[0, 0]))
        stream.snapshots.is_wanted = False

    stream.snapshots = SimpleNamespace(is_wanted=True, save=save)
    estimated = [session.pipeline.estimate({stream: frame(level)}) for level in (100, 60)]
    for each in estimated:
        session.pipeline.publish(each)
    assert saved == [5.0]


def test_camera_that_nobody_wants_is_not_in_the_batch(engine):
    session, left, right = Session(engine), Stream("left"), Stream("right", wants=False)
    session.pipeline.run({left: frame(100), right: frame(100)})
    assert session.batches == [1]
    assert (right.counts.unwanted, right.counts.published, right.results) == (1, 0, [])


def test_bad_frame_of_one_camera_leaves_the_others_alone(engine):
    session, good, bad = Session(engine), Stream("good"), Stream("bad")
    session.pipeline.run({bad: frame(100, camera_hw=HIGH), good: frame(100)})
    assert (good.counts.published, good.counts.bad) == (1, 0)
    assert (bad.counts.published, bad.counts.bad) == (0, 1)
    assert "calibrated for 48x64, but the image is 64x48" in bad.counts.last_reason
    assert not session.errors, "a bad frame is nothing unexpected"


def test_memory_that_does_not_suffice_for_all_is_tried_one_by_one(engine):
    session, streams = Session(engine), [Stream("left"), Stream("right")]
    estimate = session.estimator.estimate_batch

    def fail_together(images, cameras, **options):
        if len(images) > 1:
            raise InferenceError("out of memory")
        return estimate(images, cameras, **options)

    session.estimator.estimate_batch = fail_together
    session.pipeline.run({stream: frame(100) for stream in streams})
    assert [stream.counts.published for stream in streams] == [1, 1]


def test_defect_is_logged_with_its_traceback_and_counted(engine):
    session, stream = Session(engine), Stream("camera")
    broken = frame(100)
    broken.image.to_rgb = lambda **_: 1 / 0
    session.pipeline.run({stream: broken})
    assert stream.counts.bad == 1
    assert "ZeroDivisionError" in session.errors[0]


def test_stamp_of_another_clock_gives_no_age(engine):
    session, stream = Session(engine), Stream("camera")
    session.pipeline.run({stream: frame(100, has_our_stamp=False)})
    (times_ms,) = stream.finished
    assert "age" not in times_ms
    assert times_ms["total"] > 0


def test_stages_are_timed_and_the_age_is_that_of_the_stamp(engine):
    session, stream = Session(engine), Stream("camera")
    session.pipeline.run({stream: frame(100)})
    (times_ms,) = stream.finished
    assert times_ms["age"] == 2000.0
    assert set(times_ms) >= {"wait", "decode", "prepare", "infer", "finish", "depth/image", "outputs", "total"}
    assert not stream.busy
