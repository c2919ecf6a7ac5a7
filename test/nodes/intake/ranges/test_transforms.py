"""Where another sensor is: from given numbers, and from tf2, of which a stand-in answers if it is not installed."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rclpy.clock import ClockType, ROSClock
from rclpy.time import Time
from std_msgs.msg import Header

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.nodes.intake.ranges.transforms import GivenTransform, TfTransform

FORWARD_TO_OPTICAL = (0.0, 0.0, 0.0, -np.pi / 2, 0.0, -np.pi / 2)
POINTS = np.float32([[2, 0, 0], [3, 1, 0.5], [np.nan, 0, 0]])
HALF = 0.5
"""The quaternion that turns x forward, z up into x right, z forward: all four parts are 0.5, up to their signs."""


class Failure(Exception):
    """As tf2_ros names it."""


class Buffer:
    def __init__(self):
        self.asked, self.cleared = [], 0

    def clear(self):
        self.cleared += 1

    def lookup_transform(self, target, source, time):
        self.asked.append((target, source, time.nanoseconds))
        if source not in self.known:
            raise Failure(f'"{source}" passed to lookupTransform argument source_frame does not exist')
        x, y, z, w, *offset = self.known[source]
        rotation = SimpleNamespace(x=x, y=y, z=z, w=w)
        translation = SimpleNamespace(**dict(zip("xyz", offset, strict=True)))
        return SimpleNamespace(transform=SimpleNamespace(rotation=rotation, translation=translation))


@pytest.fixture
def clock():
    """A clock of ROS that a test sets."""
    clock = ROSClock()
    clock._set_ros_time_is_active(True)
    clock.set_ros_time_override(Time(seconds=100, clock_type=ClockType.ROS_TIME))
    return clock


@pytest.fixture
def tf(monkeypatch, clock):
    module = ModuleType("tf2_ros")
    module.TransformException = Failure
    module.Buffer = Buffer
    module.TransformListener = lambda buffer, node: None
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    # The optical frame is 0.1 m before the laser and 0.2 m above it: in it, the laser is at z = -0.1, y = 0.2.
    laser = (HALF, -HALF, HALF, HALF, 0.0, 0.2, -0.1)
    Buffer.known = {"laser": laser, "broken": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)}
    return TfTransform(node=SimpleNamespace(get_clock=lambda: clock))


def header(frame_id="laser"):
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = 7, 500
    return made


def test_given_numbers_turn_a_forward_sensor_into_the_optical_frame():
    points = GivenTransform().apply(POINTS, header(), frame_id="optical", given=FORWARD_TO_OPTICAL)
    np.testing.assert_allclose(points[:2], [[0, 0, 2], [-1, -0.5, 3]], atol=1e-6)
    before = GivenTransform().apply(POINTS, header(), frame_id="optical", given=(0.1, 0, 0.2, *FORWARD_TO_OPTICAL[3:]))
    np.testing.assert_allclose(before[:2], [[0, 0.2, 1.9], [-1, -0.3, 2.9]], atol=1e-6)
    assert np.isnan(points[2]).all()


def test_tf_gives_the_same_at_the_stamp_of_the_message(tf):
    points = tf.apply(POINTS, header(), frame_id="optical", given=(9.0,) * 6)
    np.testing.assert_allclose(points[:2], [[0, 0.2, 1.9], [-1, -0.3, 2.9]], atol=1e-6)
    assert tf._buffer.asked == [("optical", "laser", 7_000_000_500)]


@pytest.mark.parametrize(
    ("frame_id", "reason"), [("lidar", "tf has no transform from 'lidar'"), ("broken", "is no rotation")]
)
def test_a_missing_or_broken_transform_is_refused_with_the_reason(tf, frame_id, reason):
    with pytest.raises(DataError, match=reason):
        tf.apply(POINTS, header(frame_id), frame_id="optical", given=(0.0,) * 6)


def test_transforms_are_forgotten_if_time_goes_back_and_only_then(tf, clock):
    for seconds, cleared in ((110, 0), (109.5, 0), (20, 1), (21, 1)):
        clock.set_ros_time_override(Time(nanoseconds=int(seconds * 1e9), clock_type=ClockType.ROS_TIME))
        assert tf._buffer.cleared == cleared


def test_without_tf2_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(ConfigurationError, match="apt install"):
        TfTransform(node=None)
