"""A frame for which memory runs out, wherever on its way, is dropped with the remedy; the next one is published."""

import array
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import rclpy
import tiny_models
from frame_path import FramePath
from memory_limit import memory_of
from rclpy.context import Context
from rclpy.node import Node
from ros_process import next_domain
from sensor_msgs.msg import CameraInfo, Image

from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.nodes.health.frame_counts import Dropped
from metric3d_ros.nodes.health.speed_trial import SlowCase, SpeedTrial
from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.outputs.table import OUTPUTS

WIDTH, HEIGHT = 1280, 960
STEP_BYTES, MOST_BYTES = 5 << 20, 120 << 20


def messages(width=WIDTH, height=HEIGHT):
    image = Image(height=height, width=width, encoding="bgr8", step=3 * width)
    image.data = array.array("B", bytes([100])) * (3 * width * height)
    k = [0.7 * width, 0.0, width / 2, 0.0, 0.7 * width, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(height=height, width=width, k=k), image


def take(path, camera_info, image):
    path.intake.take_camera_info(camera_info)
    path.intake.take_image(image)


def make_path(node, model, **options):
    every_output = {f"outputs.{output.switch}": True for output in OUTPUTS}
    path = FramePath(node, Estimator(open_model(model, provider="cpu", threads=1)), **every_output, **options)
    serialise = path.camera.outlet.publish

    def publish(topic, message):
        serialise(topic, message)
        type(path.camera.outlet).publish(path.camera.outlet, topic, message)

    path.camera.outlet.publish = publish
    return path


def sweep(model):
    """Print, for each memory limit, whether a frame was published and if not, why; runs in its own process."""
    context = Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = Node("frame_path", context=context)
    path = make_path(node, model, max_pixels=WIDTH * HEIGHT)
    for output in OUTPUTS:
        node.create_subscription(message_class(output), output.topic, lambda message: None, 1)
    take(path, *messages())
    assert path.counts.published == 1
    for spare_bytes in range(0, MOST_BYTES, STEP_BYTES):
        published, (camera_info, image) = path.counts.published, messages()
        with memory_of(spare_bytes):
            take(path, camera_info, image)
        path.check()
        outcome = "published" if path.counts.published > published else path.counts.last_reason
        print(f"{spare_bytes >> 20} MiB: {outcome}")
    published = path.counts.published
    take(path, *messages())
    print("after all:", "published" if path.counts.published > published else path.counts.last_reason)


def test_frame_within_any_limit_of_memory_is_published_or_dropped_with_the_remedy(tmp_path):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    command, environment = [sys.executable, __file__, str(model)], os.environ | {"PYTHONPATH": ":".join(sys.path)}
    for _ in range(4):
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        # Fast DDS aborts the process if it cannot start one of its threads. The frame's path has no part in that.
        if not (run.returncode == -signal.SIGABRT and "pthread_create failed" in run.stderr):
            break
    assert run.returncode == 0, run.stderr
    *limited, last = [line.partition(": ")[2] for line in run.stdout.splitlines() if "MiB: " in line or "all: " in line]
    reasons = {reason for reason in limited if reason != "published"}
    assert len(limited) == MOST_BYTES // STEP_BYTES
    assert last == "published"
    assert any("estimating" in reason for reason in reasons)
    assert any("building the outputs" in reason for reason in reasons)
    assert [reason for reason in reasons if ": out of memory; " not in reason] == []


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    context = Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = Node("frame_path", context=context)
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    yield make_path(node, model, **{"depth.min_m": 0.1, "outputs_in": "rectified"})
    node.destroy_node()
    rclpy.shutdown(context=context)


def no_memory(*_, **__):
    raise MemoryError


def no_memory_for_opencv(*_, **__):
    raise cv2.error("OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 921600 bytes")


PLACES = {
    "decoding": "metric3d_ros.nodes.pipeline.line.describe_camera",
    "checking the calibration": "metric3d_ros.nodes.health.calibration_watch.CalibrationWatch.check",
    "rectifying": "metric3d_ros.nodes.pipeline.line.show_rectified",
    "placing": "metric3d_ros.estimation.placement.Placement.place",
    "finishing": "metric3d_ros.estimation.estimator._finish",
    "looking for subscribers": "metric3d_ros.nodes.outlet.camera_outlet.CameraOutlet.needs",
    "checking outputs": "metric3d_ros.nodes.outlet.camera_outlet.CameraOutlet.check",
    "building": "metric3d_ros.outputs.builders.depth_to_image",
    "sharing": "metric3d_ros.outputs.result.filter_depth",
    "counting pixels": "metric3d_ros.outputs.result.Result.missing_depth",
}


@pytest.mark.parametrize("fail", [no_memory, no_memory_for_opencv])
@pytest.mark.parametrize("place", PLACES)
def test_too_little_memory_at_any_place_costs_that_frame_alone(path, monkeypatch, place, fail):
    bad, published = path.counts.dropped[Dropped.BAD], path.counts.published
    with monkeypatch.context() as patch:
        patch.setattr(PLACES[place], fail)
        take(path, *messages(112, 84))
    assert (path.counts.dropped[Dropped.BAD], path.counts.published) == (bad + 1, published)
    assert ": out of memory; " in path.counts.last_reason
    assert not path.unexpected
    take(path, *messages(112, 84))
    assert path.counts.published == published + 1


def test_times_that_cannot_be_published_leave_the_frame_counted_once(path, monkeypatch):
    published = path.counts.published
    monkeypatch.setattr(path.line, "_on_published", no_memory)
    take(path, *messages(112, 84))
    assert path.counts.published == published + 1
    assert "MemoryError" in path.unexpected.pop()
    path.check()


def test_snapshot_without_memory_is_refused_and_its_frame_dropped(path, monkeypatch):
    from rclpy.task import Future

    service = path.camera.outlet._snapshots
    service._waiting = answer = Future()
    monkeypatch.setattr("metric3d_ros.nodes.outlet.snapshot_service.write_snapshot", no_memory_for_opencv)
    take(path, *messages(112, 84))
    assert not answer.result().success
    assert answer.result().message == "nothing was saved: writing a snapshot: out of memory; give the node more memory"
    path.check()


def test_speed_trial_without_memory_is_given_up(tmp_path, monkeypatch):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu", threads=1)
    trial = SpeedTrial(estimator=Estimator(model))
    case = SlowCase(image_hw=(480, 640), inference_size="native", inference_hw=(480, 640), target_rate_hz=10.0)
    monkeypatch.setattr("metric3d_ros.nodes.health.speed_trial.np", SimpleNamespace(zeros=no_memory, uint8=np.uint8))
    trial.measure(case, other_s=0.0, images=1, estimate_s=1.0)
    assert trial.rates_hz(case) == {}


if __name__ == "__main__":
    sweep(sys.argv[1])
