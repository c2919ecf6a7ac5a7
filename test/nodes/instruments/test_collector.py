"""The collector gathers what comes for one image by its stamp, and gives up what stays incomplete."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
from ros_process import are_matched, enter_environment
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.errors import MessageError
from metric3d_ros.messages import array_to_image, camera_to_camera_info, points_to_cloud
from metric3d_ros.nodes.instruments import collector as collector_module
from metric3d_ros.nodes.instruments.collector import (
    COLLECTED,
    CONFIDENCE,
    DEPTH,
    DEPTH_CAMERA_INFO,
    IMAGE,
    NORMALS,
    POINTS,
    TOPICS,
    Collector,
    CollectorSession,
)

CAMERA = Camera(6, 4, fx=5.0, fy=7.0, cx=1.5, cy=2.0)
RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
DEPTH_M = np.arange(1, 25, dtype=np.float32).reshape(4, 6)
NORMALS_UP = np.broadcast_to(np.array([0, -1, 0], np.float32), (4, 6, 3)).copy()


def made(topic, second, *, rgb=RGB):
    header = Header(frame_id="camera")
    header.stamp.sec = second
    if topic == DEPTH_CAMERA_INFO:
        return camera_to_camera_info(CAMERA, header=header, sensor_msgs=sensor_msgs.msg)
    if topic == POINTS:
        points = CAMERA.rays().astype(np.float32) * DEPTH_M[..., None]
        return points_to_cloud(points, header=header, sensor_msgs=sensor_msgs.msg, rgb=rgb)
    array, encoding = {
        DEPTH: (DEPTH_M, "32FC1"),
        CONFIDENCE: (DEPTH_M / 24, "32FC1"),
        NORMALS: (NORMALS_UP, "32FC3"),
    }[topic]
    return array_to_image(array, encoding, header=header, sensor_msgs=sensor_msgs.msg)


class Stage:
    """A collector, and publishers of all that a depth_node gives, in one process over DDS."""

    def __init__(self, bench):
        self.bench, self.frames = bench, []
        self.collector = Collector(bench.node, on_frame=self.frames.append)
        self.announced = bench.listen(Image, COLLECTED)
        self._publishers = {topic: bench.advertise(kind, topic) for topic, kind in TOPICS.items()}

    def connect(self):
        self.bench.node.create_subscription(Image, IMAGE, lambda _: None, 1)
        assert self.bench.spin_until(self.collector.is_connected)
        assert self.bench.spin_until(lambda: are_matched(self._publishers.values()))

    def publish(self, second, topics, **options):
        for topic in topics:
            self._publishers[topic].publish(made(topic, second, **options))

    def wait(self, done):
        assert self.bench.spin_until(done)

    def give_up(self, second, topics, monkeypatch):
        """Give up what is late once these topics have come for a frame."""
        pending = self.collector._pending
        self.wait(lambda: second * 10**9 in pending and set(topics) <= pending[second * 10**9].messages.keys())
        with monkeypatch.context() as patch:
            patch.setattr(collector_module, "_GRACE_S", -1.0)
            self.collector._settle_late_frames()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """No frame is late, however busy the machine is."""
    monkeypatch.setattr(collector_module, "_GRACE_S", 600.0)


@pytest.fixture
def stage(bench):
    return Stage(bench)


def test_it_is_connected_once_a_node_wants_images_and_offers_every_output(stage):
    stage.bench.spin_for(0.3)
    assert not stage.collector.is_connected()  # nobody wants images
    stage.connect()


def test_a_frame_is_complete_whatever_the_order_of_its_messages(stage):
    stage.connect()
    stage.publish(1, [POINTS, DEPTH])
    stage.publish(2, TOPICS)
    stage.publish(1, [CONFIDENCE, NORMALS, DEPTH_CAMERA_INFO])
    stage.wait(lambda: len(stage.frames) == 2)
    assert sorted(frame.stamp_ns for frame in stage.frames) == [10**9, 2 * 10**9]
    for frame in stage.frames:
        np.testing.assert_array_equal(frame.depth_m, DEPTH_M)
        np.testing.assert_array_equal(frame.rgb, RGB)
        np.testing.assert_array_equal(frame.normals, NORMALS_UP)
        np.testing.assert_allclose(frame.confidence, DEPTH_M / 24)
        assert frame.camera.size_hw == (4, 6)
        assert frame.latency_ms.keys() == TOPICS.keys()
    stage.wait(lambda: len(stage.announced) == 2)
    assert stage.collector.missing == []


def test_a_model_without_confidence_is_waited_for_once(stage, monkeypatch):
    stage.connect()
    without = [topic for topic in TOPICS if topic != CONFIDENCE]
    stage.publish(1, without)
    stage.give_up(1, without, monkeypatch)
    assert len(stage.frames) == 1
    assert stage.frames[0].confidence is None
    stage.publish(2, without)
    stage.wait(lambda: len(stage.frames) == 2)
    assert stage.collector.missing == []


def test_a_frame_that_stays_incomplete_is_given_up_and_announced(stage, monkeypatch):
    stage.connect()
    stage.publish(1, [DEPTH, NORMALS])
    stage.give_up(1, [DEPTH, NORMALS], monkeypatch)
    stage.wait(lambda: stage.announced)
    assert stage.collector.missing == [{CONFIDENCE, DEPTH_CAMERA_INFO, POINTS}]
    assert [message.header.stamp.sec for message in stage.announced] == [1]
    assert stage.frames == []


def test_a_cloud_without_colours_is_a_fault(stage):
    stage.connect()
    stage.publish(1, TOPICS, rgb=None)
    with pytest.raises(MessageError, match="the cloud on points has no colours"):
        stage.wait(lambda: stage.frames)


def test_a_session_collects_in_a_namespace_of_its_own(monkeypatch, environment, bench):
    enter_environment(monkeypatch, environment)
    frames = []
    with CollectorSession("/demo", on_frame=frames.append) as session:
        assert not session.collector.is_connected()
        publishers = {topic: bench.advertise(kind, f"/demo/{topic}") for topic, kind in TOPICS.items()}
        bench.node.create_subscription(Image, f"/demo/{IMAGE}", lambda _: None, 1)

        def both(done):
            return bench.spin_until(lambda: session.spin_once(0.02) or done())

        assert both(lambda: session.collector.is_connected() and are_matched(publishers.values()))
        for topic, publisher in publishers.items():
            publisher.publish(made(topic, 5))
        assert both(lambda: frames)
    assert frames[0].stamp_ns == 5 * 10**9
